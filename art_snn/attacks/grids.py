"""The plans that have names: grids of rules and losses, chosen on samples that are not reported."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.balls import FLIPS, SHIFT, Ball
from art_snn.attacks.crafting import STEP, STEPS, parse_stage
from art_snn.attacks.iterated import IteratedAttack, Walk
from art_snn.attacks.plan import Plan, Stage
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
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
SQUARE_ATTACK = {"share": 0.8, "halving": True, "stripes": True}
"""SquareAttack (Andriushchenko et al., ECCV 2020) as a search of ours, for the control."""
FARTHEST, REACH, FARTHER, FAR, NEAR, NEXT = 0.4, 0.3, 0.2, 0.15, 0.08, 0.04
"""Largest distances from the boundary for stages: the more expensive, the nearer."""


def _stbp(width: float) -> Gradient:
    """STBP with a triangle of that width."""
    return STBP(surrogate=Triangle(width))


def _assg(vanishing: float) -> Gradient:
    """ASSG of that vanishing degree."""
    return ASSG(omega=sharpness_of(vanishing))


class PGD(IteratedAttack):
    """Projected gradient descent, as ART's ProjectedGradientDescent, with steps of 2.55/8 eps.

    From the sample itself or a random start, g the gradient of the cross entropy::

        x[k+1] = project(x[k] + 2.55/8 eps d(g[k]))

    where d is the sign of the gradient, with norm=2 its direction. Unlike ART's it leaves a sample
    at the first adversarial of its path."""

    def walk(self, ball: Ball, start: Tensor) -> Walk:
        return _Equal(ball, start, STEP * self.eps)


class _Equal(Walk):
    """The equation of the class, with steps of that length."""

    def __init__(self, ball: Ball, start: Tensor, step: float) -> None:
        super().__init__(ball, start)
        self.step = step

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        moved = self.ball.direction(gradient).mul_(self.step).add_(self.points)
        # ART clips first; in the Euclidean norm the order matters.
        self.points = self.ball.project(moved.clamp_(self.ball.low, self.ball.high))


class OnwardPGD(AutoPGD):
    """AutoPGD that goes on where it has succeeded, so that adversarials may carry over."""

    def succeeded(self, logits: Tensor, classes: Tensor) -> Tensor:
        return torch.zeros_like(classes, dtype=torch.bool)


def _each(attack: type, rules: Iterable[Gradient], **options: Any) -> tuple[Stage, ...]:
    return tuple(Stage(attack, rule, options) for rule in rules)


PAPERS = Stage(PGD, STBP(), {"max_iter": STEPS, "num_random_init": 0})
"""PGD-7 with STBP, as papers report it: a stage of every plan, so that none breaks less."""
_FLIPS, _SHIFT = (replace(parse_stage(None, norm, 1), rule=STBP()) for norm in (FLIPS, SHIFT))
"""The same on event frames: what evaluations show next to a plan."""
_RESET, _SPREAD = ASSG(detach_reset=False), PDSG(per_sample=True)

_GRID, _MARGIN = {"max_iter": 20}, {"max_iter": 100, "loss_type": "margin"}
_RATIO = {"max_iter": 40, "loss_type": DLR}
_FEW_SQUARES = {"max_iter": 200, "share": 0.01}
_FAST = (
    Stage(AutoPGD, HART(surrogate=Triangle(0.5)), _GRID),
    Stage(StableAdaptivePGD, _assg(0.95), {"max_iter": 60}, warm=True),
    Stage(AutoPGD, _stbp(0.5), _GRID, warm=True, within=FAR),
    Stage(AutoPGD, _assg(0.95), _RATIO, warm=True, within=FAR),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 60}, warm=True, within=FARTHER),
    Stage(SquareSearch, None, _FEW_SQUARES, warm=True, within=NEAR),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=NEAR),
    Stage(SquareSearch, None, _FEW_SQUARES | {"share": 0.05}, warm=True, within=NEAR),
    Stage(OnwardPGD, None, _GRID, transfer=True, within=NEAR),
    PAPERS,
)
"""Most begin where those before came furthest; the costly ones leave out far samples."""
_STANDARD = (
    *_FAST,
    Stage(OnwardPGD, None, _GRID, transfer=True),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 100}, within=FARTHEST),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=FARTHEST),
    Stage(AutoPGD, _assg(0.9), {**_MARGIN, "num_random_init": 2}, within=REACH),
    Stage(StableAdaptivePGD, _assg(0.7), {"max_iter": 100}, within=FARTHER),
    Stage(SquareSearch, None, {"max_iter": 600, "share": 0.02}, warm=True, within=NEXT),
    Stage(SquareSearch, None, {"max_iter": 1000, **SQUARE_ATTACK, "racing": True}),
)
"""After those of `fast` stages with new starts, and a search that gives up what is far."""
_FAST_FLIPS = (Stage(SparseDynamicAttack, _stbp(2.0)), _FLIPS)
"""With a wide surrogate the search ends soonest, with the fewest flips."""
_STANDARD_FLIPS = (
    *_FAST_FLIPS,
    *_each(SpikeRetiming, (_RESET, _stbp(2.0))),
    *_each(SparseDynamicAttack, (HART(), _SPREAD, RGA(), _RESET)),
)
"""Retiming is cheap; searches take long where they fail."""
_WIDE = Stage(SpikeRetiming, _stbp(2.0), {"max_iter": 20})
_FAST_SHIFT = (Stage(SpikeRetiming, _RESET), _WIDE, _SHIFT)
"""The first breaks nearly all that any stage does."""
_STANDARD_SHIFT = (
    *_FAST_SHIFT,
    *_each(SpikeRetiming, (_assg(0.85), _SPREAD, _stbp(2.0), _stbp(0.5)), max_iter=100),
    Stage(SpikeRetiming, _RESET, {"max_iter": 100, "eta": 0.1}),
)
"""What is left costs little, so that each rule takes long."""
_ENSEMBLE = (*_each(AutoPGD, ENSEMBLE_19, max_iter=50), PAPERS)
_IN_TIME = [rule for rule in ENSEMBLE_19 if isinstance(rule, TemporalGradient)]

PLANS: Mapping[str, Mapping[float | str, tuple[Stage, ...]]] = MappingProxyType(
    {
        "standard": {
            np.inf: _STANDARD,
            2.0: _STANDARD,
            FLIPS: _STANDARD_FLIPS,
            SHIFT: _STANDARD_SHIFT,
        },
        "fast": {np.inf: _FAST, 2.0: _FAST, FLIPS: _FAST_FLIPS, SHIFT: _FAST_SHIFT},
        "ensemble-19": {
            np.inf: _ENSEMBLE,
            2.0: _ENSEMBLE,
            FLIPS: _each(SparseDynamicAttack, ENSEMBLE_19),
            SHIFT: _each(SpikeRetiming, _IN_TIME),
        },
    }
)
"""Name, then norm."""


def resolve_plan(plan: object, norm: float | str) -> Plan:
    """A plan as it is, or the one of that name for a norm; ValueError for an unknown name."""
    if isinstance(plan, Plan):
        return plan
    require_choice("plan", plan, tuple(PLANS), remedy="Or give a Plan of your own.")
    return Plan(str(plan), PLANS[str(plan)][norm])
