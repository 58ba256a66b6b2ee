"""Sets of perturbed samples: boxes around everything that a budget allows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.attacks.distances import FLIPS
from art_snn.bounds.box import Box, Reach, Spread, Unbounded

ROUNDING = 2e-6
"""How much more than the budget counts as within it, in units of the largest value, or of 1."""

Limits = tuple[Any, Any] | None
"""Lowest and highest values, which broadcast to the samples; None where there are none."""


def perturbed(x: Tensor, eps: float, norm: float, limits: Limits) -> Box:
    """All samples within a budget around x [N, ...], and within the limits.

    :param norm: numpy.inf, 2, or FLIPS, of samples whose values are the limits themselves."""
    slack = ROUNDING * x.abs().amax().clamp_min(1.0)
    ends = None
    if limits is not None:
        ends = tuple(torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in limits)
    if norm == FLIPS:
        assert ends is not None
        up, down = ends[1] - x, x - ends[0]
        spread = Spread(torch.maximum(up, down), slack, reach=Flips(int(eps), up, down))
        return Box.around(x, spread)
    low, high = x - eps, x + eps
    if ends is not None:
        low, high = torch.maximum(low, ends[0]), torch.minimum(high, ends[1])
    if norm == 2:
        reach = Ball(eps, torch.ones_like(x))
        return Box.around(x, Spread(torch.maximum(high - x, x - low), slack, reach=reach))
    return Box.around((low + high) / 2, Spread((high - low) / 2, slack))


@dataclass(frozen=True)
class Ball(Reach):
    """Perturbations whose Euclidean length is at most eps, each value scaled afterwards.

    :param scale: of each value, in the shape of the samples."""

    eps: float
    scale: Tensor

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Ball":
        return replace(self, scale=function(self.scale))

    def scaled(self, factor: Any) -> "Ball":
        return replace(self, scale=self.scale * factor)

    def changes(self, func: Any, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        """eps times the Euclidean length of each row of weights (Cauchy and Schwarz)."""
        longest = self.eps * func(self.scale.square(), weight.square(), None, *rest).sqrt()
        return longest, longest


@dataclass(frozen=True)
class Flips(Reach):
    """Perturbations that change at most so many values, each to the other limit.

    :param up, down: how far each value can rise and fall, in the shape of the samples."""

    count: int
    up: Tensor
    down: Tensor

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Flips":
        return replace(self, up=function(self.up), down=function(self.down))

    def scaled(self, factor: Any) -> "Flips":
        return replace(self, up=self.up * factor, down=self.down * factor)

    def changes(self, func: Any, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        """The sums of the largest changes of an output that so many values can make."""
        up, down = _patches(func, self.up, weight, *rest), _patches(func, self.down, weight, *rest)
        shape = func(self.up[:1], weight, None, *rest).shape[1:] if up.ndim == 3 else None
        falls, rises = [], []
        for row in weight.flatten(1):
            row = row.view(-1, *(1,) * (up.ndim - 2))
            a, b = row * up, row * down
            rises.append(self._largest(torch.maximum(a, -b)))
            falls.append(self._largest(torch.maximum(-a, b)))
        results = torch.stack(falls, 1), torch.stack(rises, 1)
        if shape is None:
            return results
        return tuple(part.view(-1, *shape) for part in results)  # type: ignore[return-value]

    def _largest(self, changes: Tensor) -> Tensor:
        """The sum of the largest values along axis 1, as many as may change."""
        count = min(self.count, changes.shape[1])
        return changes.topk(count, 1, sorted=False).values.sum(1)


def _patches(func: Any, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """What each output sees of x: [N, inputs], of a convolution [N, inputs, places]."""
    if func is functional.linear and x.ndim == 2:
        return x
    stride, padding, dilation, groups = (*rest, 1, 0, 1, 1)[:4] if len(rest) < 4 else rest
    if func is not functional.conv2d or groups != 1 or isinstance(padding, str):
        raise Unbounded("flips in front of a layer that is no plain linear layer or convolution")
    return functional.unfold(x, weight.shape[2:], dilation, padding, stride)
