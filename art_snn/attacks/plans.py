"""The plans that have names: fixed grids of rules and losses, chosen on other networks and samples
than any that is reported."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import SquareAttack
from torch import Tensor

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.plan import FLIPS, SHIFT, Plan, Stage
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.checks import require_choice
from art_snn.gradients import (
    ASSG,
    BPTR,
    ENSEMBLE_19,
    HART,
    RGA,
    STBP,
    Gradient,
    Triangle,
    sharpness_of,
)

DLR = "difference_logits_ratio"


def hart(width: float) -> Gradient:
    """HART with a triangle of that width."""
    return HART(surrogate=Triangle(width))


def stbp(width: float) -> Gradient:
    """STBP with a triangle of that width."""
    return STBP(surrogate=Triangle(width))


def assg(vanishing: float) -> Gradient:
    """ASSG of that vanishing degree."""
    return ASSG(omega=sharpness_of(vanishing))


class OnwardPGD(AutoPGD):
    """AutoPGD that goes on where it has succeeded, so that adversarials may carry over."""

    def succeeded(self, logits: Tensor, classes: Tensor) -> Tensor:
        return torch.zeros_like(classes, dtype=torch.bool)


def _standard() -> tuple[Stage, ...]:
    grid = (hart(0.5), hart(1.0), hart(2.0), RGA(), stbp(0.5), stbp(1.0), stbp(2.0), BPTR())
    return (
        *(Stage(AutoPGD, rule, {"max_iter": 20}) for rule in grid),
        Stage(OnwardPGD, None, {"max_iter": 20}, transfer=True),
        *(
            Stage(StableAdaptivePGD, assg(degree), {"max_iter": 100})
            for degree in (0.95, 0.85, 0.7)
        ),
        Stage(AutoPGD, assg(0.95), {"max_iter": 100}),
        Stage(AutoPGD, assg(0.95), {"max_iter": 100, "loss_type": DLR}),
        Stage(AutoPGD, hart(0.5), {"max_iter": 20, "loss_type": DLR, "targets": 9}),
        Stage(SquareAttack, None, {"max_iter": 1000}),
    )


def _fast() -> tuple[Stage, ...]:
    return (
        Stage(AutoPGD, hart(0.5), {"max_iter": 20}),
        Stage(OnwardPGD, None, {"max_iter": 20}, transfer=True),
        Stage(StableAdaptivePGD, assg(0.95), {"max_iter": 100}),
        Stage(AutoPGD, assg(0.85), {"max_iter": 50}),
    )


def _ensemble(attack: type, **options: Any) -> tuple[Stage, ...]:
    return tuple(Stage(attack, rule, options) for rule in ENSEMBLE_19)


def _each(attack: type, rules: tuple[Gradient, ...], **options: Any) -> tuple[Stage, ...]:
    return tuple(Stage(attack, rule, options) for rule in rules)


FEW = (hart(1.0), stbp(1.0))
TEMPORAL = (stbp(1.0), stbp(0.5), stbp(2.0), assg(0.85), assg(0.95))
"""Rules that know the order of spikes."""

PLANS: Mapping[str, Mapping[float | str, Callable[[], tuple[Stage, ...]]]] = MappingProxyType(
    {
        "standard": {
            np.inf: _standard,
            2.0: _standard,
            FLIPS: lambda: _each(SparseDynamicAttack, (*FEW, hart(2.0), *TEMPORAL[1:], RGA())),
            SHIFT: lambda: _each(SpikeRetiming, TEMPORAL, max_iter=40),
        },
        "fast": {
            np.inf: _fast,
            2.0: _fast,
            FLIPS: lambda: _each(SparseDynamicAttack, FEW[:1]),
            SHIFT: lambda: _each(SpikeRetiming, TEMPORAL[:1], max_iter=20),
        },
        "ensemble-19": {
            np.inf: lambda: _ensemble(AutoPGD, max_iter=50),
            2.0: lambda: _ensemble(AutoPGD, max_iter=50),
            FLIPS: lambda: _ensemble(SparseDynamicAttack),
            SHIFT: lambda: _ensemble(SpikeRetiming),
        },
    }
)
"""Name, then norm."""


def planned(plan: object, norm: float | str) -> Plan:
    """A plan as it is, or the one of that name for a norm.

    :raises ValueError: for an unknown name."""
    if isinstance(plan, Plan):
        return plan
    remedy = "Or give a Plan of your own."
    require_choice("plan", plan, tuple(PLANS), remedy=remedy)
    return Plan(str(plan), PLANS[str(plan)][norm]())
