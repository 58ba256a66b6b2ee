"""Attacks of ART by name and settings, crafting in batches under any rule, and our own attacks."""

from art_snn.attacks.attack import (
    ATTACKS as ATTACKS,
    Attack as Attack,
    attacked as attacked,
    batches as batches,
    crafted as crafted,
    predictions as predictions,
)
from art_snn.attacks.auto_pgd import AutoPGD as AutoPGD
from art_snn.attacks.distances import (
    FLIPS as FLIPS,
    SHIFT as SHIFT,
    Shifts as Shifts,
    require_budget as require_budget,
    require_measure as require_measure,
    shifts as shifts,
)
from art_snn.attacks.grids import PLANS as PLANS, planned as planned
from art_snn.attacks.outcome import Outcome as Outcome
from art_snn.attacks.plan import Plan as Plan, Stage as Stage
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack as SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming as SpikeRetiming
from art_snn.attacks.spiking_auto_attack import SpikingAutoAttack as SpikingAutoAttack
from art_snn.attacks.square_search import SquareSearch as SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD as StableAdaptivePGD
