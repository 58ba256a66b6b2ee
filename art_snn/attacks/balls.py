"""The set of adversarial samples that an attack may return."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid, shown

SMALLEST = 1e-12
NORMS: Mapping[object, float] = {"inf": np.inf, np.inf: np.inf, "2": 2.0, 2: 2.0}


def require_norm(norm: object) -> float:
    """numpy.inf or 2.0; ValueError for anything else."""
    if isinstance(norm, int | float | str) and norm in NORMS:
        return NORMS[norm]
    remedy = "numpy.inf is the largest change of a value, 2 the Euclidean length."
    raise invalid("norm", "numpy.inf or 2", shown(norm), remedy)


@dataclass(frozen=True)
class Ball:
    """All points within eps of the samples ``centre [n, *shape]``, and in the range of low to high.

    :param mask: bool ``[n, *shape]``, where values may change; None: everywhere."""

    norm: float
    eps: float
    centre: Tensor
    low: Tensor
    high: Tensor
    mask: Tensor | None = None

    def of(self, which: Tensor) -> "Ball":
        """The set around some of the samples, rows [m]."""
        mask = None if self.mask is None else self.mask[which]
        return replace(self, centre=self.centre[which], mask=mask)

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the ball, clipped to the range, which is no farther."""
        if self.norm == np.inf:
            return x.clamp(*self._limits)
        moved = scale_to(self._free(x - self.centre), self.eps).add_(self.centre)
        return moved.clamp_(self.low, self.high)

    def start(self, direction: Tensor) -> Tensor:
        """Points at the rim of the ball in a direction from the samples, or nearer by the range."""
        free = self._free(direction)
        return self.project(self.centre + free * (self.eps / self.length(free).clamp_min(SMALLEST)))

    def step(self, change: Tensor, longest: float) -> Tensor:
        """Changes that are no longer than that, in every value or in their Euclidean length."""
        if self.norm == np.inf:
            return change.clamp(-longest, longest)
        return scale_to(change, longest)

    def length(self, change: Tensor) -> Tensor:
        """Length of changes ``[n, *shape]`` in the norm of the ball, [n, 1, ...]."""
        return length(change, self.norm)

    def direction(self, gradient: Tensor) -> Tensor:
        """Where a step along the gradient leads: its signs, or in norm 2 a change of length 1."""
        if self.norm == np.inf:
            return gradient.sign()
        return gradient / self.length(gradient).clamp_min(SMALLEST)

    @cached_property
    def _limits(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest values of a ball in the maximum norm."""
        lowest = (self.centre - self.eps).clamp_(min=self.low)
        highest = (self.centre + self.eps).clamp_(max=self.high)
        if self.mask is None:
            return lowest, highest
        return tuple(torch.where(self.mask, end, self.centre) for end in (lowest, highest))  # type: ignore[return-value]

    def _free(self, change: Tensor) -> Tensor:
        return change if self.mask is None else change * self.mask


def length(change: Tensor, norm: float) -> Tensor:
    """Length over all axes but the first, [n, 1, ...]."""
    dims = tuple(range(1, change.ndim))
    lengths: Tensor = torch.linalg.vector_norm(change, norm, dims, keepdim=True)
    return lengths


def scale_to(change: Tensor, longest: float) -> Tensor:
    """Changes whose Euclidean length is at most that."""
    return change * (longest / length(change, 2.0).clamp_min(SMALLEST)).clamp_max(1)


def wide(values: Tensor, like: Tensor) -> Tensor:
    """Values [n] as [n, 1, ...]."""
    return values.view(-1, *(1,) * (like.ndim - 1))
