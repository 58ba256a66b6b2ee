"""Attacks of ART and our own by text, crafting in batches with any rule, and plans of attacks."""

from art_snn.attacks.auto_pgd import AutoPGD as AutoPGD
from art_snn.attacks.crafting import (
    SHORT_NAMES as SHORT_NAMES,
    attack_errors as attack_errors,
    batches as batches,
    check_stage as check_stage,
    craft as craft,
    craft_batch as craft_batch,
    parse_stage as parse_stage,
    predict_logits as predict_logits,
)
from art_snn.attacks.measures import (
    FLIPS as FLIPS,
    MEASURES as MEASURES,
    SHIFT as SHIFT,
    Measure as Measure,
    Norm as Norm,
    Shifts as Shifts,
    require_measure as require_measure,
    shifts as shifts,
)
from art_snn.attacks.operations_attack import OperationsAttack as OperationsAttack
from art_snn.attacks.outcome import Outcome as Outcome, StageRecord as StageRecord
from art_snn.attacks.plans import PLANS as PLANS, resolve_plan as resolve_plan
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack as SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming as SpikeRetiming
from art_snn.attacks.spiking_auto_attack import SpikingAutoAttack as SpikingAutoAttack
from art_snn.attacks.square_search import SquareSearch as SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD as StableAdaptivePGD
from art_snn.attacks.stages import (
    Candidates as Candidates,
    Plan as Plan,
    Stage as Stage,
    StageSelection as StageSelection,
    select_stages as select_stages,
)
