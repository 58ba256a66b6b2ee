"""Balls of adversarial samples around the samples."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from art_snn.attacks.measures import EUCLIDEAN, MAXIMUM, Measure

ROUNDING = 1e-6
"""How far samples may lie outside the clip range, in its width, or beyond a ball, in their size."""
SMALLEST = 1e-12


@dataclass(frozen=True)
class Ball:
    """All points within eps of samples ``centre [n, *shape]``, and in the range of low to high."""

    measure: Measure
    eps: float
    centre: Tensor
    low: Tensor
    high: Tensor

    def select(self, which: Tensor) -> "Ball":
        """The set around some of the samples, rows [m]."""
        return replace(self, centre=self.centre[which])

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the ball, clipped to the range, which is no farther."""
        if self.measure == MAXIMUM:
            return x.clamp(*self._limits)
        moved = _scale_to(x - self.centre, self.eps).add_(self.centre)
        return moved.clamp_(self.low, self.high)

    def start(self, direction: Tensor) -> Tensor:
        """Points at the rim of the ball in a direction from the samples, or nearer by the range."""
        scale = self.eps / self.measure.length(direction).clamp_min(SMALLEST)
        return self.project(self.centre + direction * scale)

    def step(self, change: Tensor, longest: float) -> Tensor:
        """Changes that are no longer than that, in every value or in their Euclidean length."""
        if self.measure == MAXIMUM:
            return change.clamp(-longest, longest)
        return _scale_to(change, longest)

    def direction(self, gradient: Tensor) -> Tensor:
        """Where a step along the gradient leads: its signs, or in norm 2 a change of length 1."""
        if self.measure == MAXIMUM:
            return gradient.sign()
        return gradient / self.measure.length(gradient).clamp_min(SMALLEST)

    @cached_property
    def _limits(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest values of a ball in the maximum norm."""
        lowest = (self.centre - self.eps).clamp_(min=self.low)
        return lowest, (self.centre + self.eps).clamp_(max=self.high)


def _scale_to(change: Tensor, longest: float) -> Tensor:
    """Changes whose Euclidean length is at most that."""
    return change * (longest / EUCLIDEAN.length(change).clamp_min(SMALLEST)).clamp_max(1)


def rounding_of(samples: Tensor) -> np.ndarray:
    """The length by which rounding may take samples [n, ...] out of a ball [n].

    It is 1e-6 of the largest value of each; values below 1 count as 1."""
    largest = samples.abs().flatten(1).amax(1).double().clamp_min(1)
    return np.asarray(ROUNDING * largest.cpu().numpy())
