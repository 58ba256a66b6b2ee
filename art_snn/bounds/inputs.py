"""Sets of perturbed samples: boxes around everything that a budget allows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from art_snn.attacks.balls import FLIPS
from art_snn.bounds.box import Box, Change, Reach, Spread
from art_snn.bounds.flips import FlipReach

ROUNDING = 2e-6
"""How much more than the budget counts as within it, in units of the largest value there may be,
or of 1."""

Limits = tuple[Any, Any] | None
"""Lowest and highest values, which broadcast to the samples; None where there are none."""


def perturbed(x: Tensor, eps: float, norm: float, limits: Limits) -> Box:
    """All samples within a budget around x [N, ...], and within the limits.

    :param norm: numpy.inf, 2, or FLIPS, of samples whose values are the limits themselves."""
    ends = None
    if limits is not None:
        ends = tuple(torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in limits)
    slack = ROUNDING * _largest(x, eps, ends).clamp_min(1.0)
    if norm == FLIPS:
        assert ends is not None
        unit = (ends[1] - ends[0]).expand_as(x)
        flips = FlipReach(eps, torch.ne(x, ends[0], out=torch.empty_like(x)), unit)
        return Box.around(x, Spread(unit, slack, reach=flips))
    low, high = x - eps, x + eps
    if ends is not None:
        low, high = torch.maximum(low, ends[0]), torch.minimum(high, ends[1])
    if norm == 2:
        reach = LengthReach(eps, torch.ones_like(x))
        return Box.around(x, Spread(torch.maximum(high - x, x - low), slack, reach=reach))
    return Box.around((low + high) / 2, Spread((high - low) / 2, slack))


def _largest(x: Tensor, eps: float, ends: Any) -> Tensor:
    """The largest value of a sample that an attack may meet, in this batch or in others."""
    if ends is not None and all(end.isfinite().all() for end in ends):
        return torch.stack([end.abs().amax() for end in ends]).amax()
    return x.abs().amax() + eps


@dataclass(frozen=True)
class LengthReach(Reach):
    """Perturbations whose Euclidean length is at most eps, each value scaled afterwards.

    :param scale: of each value, in the shape of the samples."""

    eps: float
    scale: Tensor

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "LengthReach":
        return replace(self, scale=function(self.scale))

    def scaled(self, factor: Any) -> "LengthReach":
        return replace(self, scale=self.scale * factor)

    def pooled(self, function: Callable[[Tensor], Tensor], area: int) -> "LengthReach":
        return replace(self, scale=(function(self.scale.square()) / area).sqrt())

    def changes(self, func: Any, weight: Tensor, *rest: Any) -> list[Change]:
        """eps times the Euclidean length of each row of weights (Cauchy and Schwarz)."""
        longest = self.eps * func(self.scale.square(), weight.square(), None, *rest).sqrt()
        return [(longest, longest)]
