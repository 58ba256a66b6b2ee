"""Plans of attacks by name, for every norm.

The plans are grids of rules and losses, chosen on samples that are not reported."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from art_snn.attacks.auto_pgd import AutoPGD, OnwardPGD
from art_snn.attacks.measures import (
    EUCLIDEAN,
    FLIPS,
    MAXIMUM,
    SHIFT,
    Measure,
    Norm,
    require_measure,
)
from art_snn.attacks.pgd import PGD, STEPS
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.square_search import SQUARE_ATTACK, SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import Plan, Stage
from art_snn.checks import require_choice
from art_snn.gradients import (
    ASSG,
    ENSEMBLE_19,
    HART,
    PDSG,
    RGA,
    STBP,
    Gradient,
    TemporalGradient,
    Triangle,
    sharpness_of,
)

DLR = "difference_logits_ratio"


def _stbp(width: float) -> Gradient:
    """STBP with a triangle of that width."""
    return STBP(surrogate=Triangle(width))


def _assg(vanishing: float) -> Gradient:
    """ASSG of that vanishing degree."""
    return ASSG(omega=sharpness_of(vanishing))


def _each(attack: type, rules: Iterable[Gradient], **options: Any) -> tuple[Stage, ...]:
    """The attack with each of the rules."""
    return tuple(Stage(attack, rule, options) for rule in rules)


PAPERS = Stage(PGD, STBP(), {"max_iter": STEPS, "num_random_init": 0})
"""PGD-7 with STBP, as papers report it: a stage of every plan, so that none breaks less."""

_RESET = ASSG(detach_reset=False)
_SPREAD = PDSG(per_sample=True)
_GRID = {"max_iter": 20}
_MARGIN = {"max_iter": 100, "loss_type": "margin"}
_FEW_SQUARES = {"max_iter": 200, "share": 0.01}

_FAST = (
    Stage(AutoPGD, HART(surrogate=Triangle(0.5)), _GRID),
    Stage(StableAdaptivePGD, _assg(0.95), {"max_iter": 60}, warm=True),
    Stage(AutoPGD, _stbp(0.5), _GRID, warm=True, within=0.15),
    Stage(
        AutoPGD, _assg(0.95), {"max_iter": 40, "loss_type": DLR}, warm=True, within=0.15
    ),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 60}, warm=True, within=0.2),
    Stage(SquareSearch, None, _FEW_SQUARES, warm=True, within=0.08),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=0.08),
    Stage(SquareSearch, None, _FEW_SQUARES | {"share": 0.05}, warm=True, within=0.08),
    Stage(OnwardPGD, None, _GRID, transfer=True, within=0.08),
    PAPERS,
)
"""Most begin where those before came furthest.

Expensive stages attack only samples `within` a share of the distance to the boundary."""

_STANDARD = (
    *_FAST,
    Stage(OnwardPGD, None, _GRID, transfer=True),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 100}, within=0.4),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=0.4),
    Stage(AutoPGD, _assg(0.9), {**_MARGIN, "num_random_init": 2}, within=0.3),
    Stage(StableAdaptivePGD, _assg(0.7), {"max_iter": 100}, within=0.2),
    Stage(SquareSearch, None, {"max_iter": 600, "share": 0.02}, warm=True, within=0.04),
    Stage(SquareSearch, None, {"max_iter": 1000, **SQUARE_ATTACK, "racing": True}),
)
"""After the stages of `fast` come new starts, and a search that gives up what is far."""

_FAST_FLIPS = _each(SparseDynamicAttack, (_stbp(2.0), STBP()))
"""With a wide surrogate the search ends soonest, with the fewest flips.

With STBP it is what evaluations show next to a plan."""

_STANDARD_FLIPS = (
    *_FAST_FLIPS,
    *_each(SpikeRetiming, (_RESET, _stbp(2.0))),
    *_each(SparseDynamicAttack, (HART(), _SPREAD, RGA(), _RESET)),
)
"""Retiming is cheap; searches take long where they fail."""

_FAST_SHIFT = (
    Stage(SpikeRetiming, _RESET),
    Stage(SpikeRetiming, _stbp(2.0), {"max_iter": 20}),
    Stage(SpikeRetiming, STBP()),
)
"""The first breaks nearly all that any stage does.

The last is what evaluations show next to a plan."""

_STANDARD_SHIFT = (
    *_FAST_SHIFT,
    *_each(SpikeRetiming, (_assg(0.85), _SPREAD, _stbp(2.0), _stbp(0.5)), max_iter=100),
    Stage(SpikeRetiming, _RESET, {"max_iter": 100, "eta": 0.1}),
)
"""What is left costs little, so that each rule takes long."""

_ENSEMBLE = (*_each(AutoPGD, ENSEMBLE_19, max_iter=50), PAPERS)
_IN_TIME = [rule for rule in ENSEMBLE_19 if isinstance(rule, TemporalGradient)]

PLANS: Mapping[str, Mapping[Measure, tuple[Stage, ...]]] = {
    "standard": {
        MAXIMUM: _STANDARD,
        EUCLIDEAN: _STANDARD,
        FLIPS: _STANDARD_FLIPS,
        SHIFT: _STANDARD_SHIFT,
    },
    "fast": {MAXIMUM: _FAST, EUCLIDEAN: _FAST, FLIPS: _FAST_FLIPS, SHIFT: _FAST_SHIFT},
    "ensemble-19": {
        MAXIMUM: _ENSEMBLE,
        EUCLIDEAN: _ENSEMBLE,
        FLIPS: _each(SparseDynamicAttack, ENSEMBLE_19),
        SHIFT: _each(SpikeRetiming, _IN_TIME),
    },
}
"""The stages of a plan, by its name and the measure."""


def resolve_plan(plan: Any, norm: Norm, sources: Sequence[object] = ()) -> Plan:
    """A plan as it is, or the one of that name for a norm; ValueError for an unknown name.

    :param sources: networks to transfer from; a name without any stands for the other stages."""
    if isinstance(plan, Plan):
        return plan
    require_choice("plan", plan, PLANS, remedy="Or give a Plan of your own.")
    stages = PLANS[plan][require_measure(norm)]
    return Plan(plan, tuple(one for one in stages if sources or not one.transfer))
