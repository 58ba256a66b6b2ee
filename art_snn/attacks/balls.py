"""Norms, balls of adversarial samples, budgets, and distances from the samples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import LARGEST_BUDGET, invalid, require, require_count, require_number, shown
from art_snn.classifier.inputs import as_tensor

Norm = float | str
"""numpy.inf or 2.0, or one of the norms of event frames."""
FLIPS, SHIFT = 0.0, "shift"
"""Norms of event frames: how many values have changed, and how far spikes were moved in time."""
COUNTED = {FLIPS: 8, SHIFT: 1}
"""The norms whose budgets are whole numbers, of flips or of time steps, each with a usual one."""

WHOLE = 1e-4
"""How far a value may lie from a whole number of spikes."""
ROUNDING = 1e-6
"""How far samples may lie outside the clip range, in its width, or beyond a ball, in their size."""
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
    """All points within eps of samples ``centre [n, *shape]``, and in the range of low to high."""

    norm: float
    eps: float
    centre: Tensor
    low: Tensor
    high: Tensor

    def select(self, which: Tensor) -> "Ball":
        """The set around some of the samples, rows [m]."""
        return replace(self, centre=self.centre[which])

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the ball, clipped to the range, which is no farther."""
        if self.norm == np.inf:
            return x.clamp(*self._limits)
        moved = _scale_to(x - self.centre, self.eps).add_(self.centre)
        return moved.clamp_(self.low, self.high)

    def start(self, direction: Tensor) -> Tensor:
        """Points at the rim of the ball in a direction from the samples, or nearer by the range."""
        scale = self.eps / self.length(direction).clamp_min(SMALLEST)
        return self.project(self.centre + direction * scale)

    def step(self, change: Tensor, longest: float) -> Tensor:
        """Changes that are no longer than that, in every value or in their Euclidean length."""
        if self.norm == np.inf:
            return change.clamp(-longest, longest)
        return _scale_to(change, longest)

    def length(self, change: Tensor) -> Tensor:
        """Length of changes ``[n, *shape]`` in the norm of the ball, [n, 1, ...]."""
        return _length(change, self.norm)

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
        return lowest, highest


def _length(change: Tensor, norm: float) -> Tensor:
    """Length over all axes but the first, [n, 1, ...]."""
    dims = tuple(range(1, change.ndim))
    lengths: Tensor = torch.linalg.vector_norm(change, norm, dims, keepdim=True)
    return lengths


def _scale_to(change: Tensor, longest: float) -> Tensor:
    """Changes whose Euclidean length is at most that."""
    return change * (longest / _length(change, 2.0).clamp_min(SMALLEST)).clamp_max(1)


def wide(values: Tensor, like: Tensor) -> Tensor:
    """Values [n] as [n, 1, ...]."""
    return values.view(-1, *(1,) * (like.ndim - 1))


class Shifts(NamedTuple):
    """Of every sample the largest shift of a spike, the sum of all in steps, and how many moved."""

    largest: np.ndarray
    total: np.ndarray
    moved: np.ndarray


def shifts(clean: Any, adversarial: Any, low: Any = 0.0) -> Shifts:
    """The smallest shifts that turn event frames into others with the same spikes at every place.

    Spikes of a place are matched in their order in time: no other match has a smaller sum of
    shifts, or a smaller largest shift. `moved` is the sum of max(clean - adversarial, 0).

    :param clean: frames ``[N, T, *place]``, numpy or torch; a value of low + k is k spikes.
    :param adversarial: frames of the same shape.
    :param low: the value without spikes.
    :raises ValueError: for values that are no whole numbers of spikes, or other sums at a place."""
    before = counts(clean, low, "clean").cpu()
    after = counts(adversarial, low, "adversarial").cpu()
    got, remedy = str(tuple(after.shape)), "Compare samples with what was made of them."
    expected = f"shape {tuple(before.shape)}"
    require(before.shape == after.shape, "adversarial", expected, got, remedy)
    same, got = before.sum(1).equal(after.sum(1)), "another number of spikes at some place"
    require(same, "adversarial", "as many spikes as clean at every place", got, remedy)
    owner, times = _spike_times(before)
    distance = (_spike_times(after)[1] - times).abs()
    none = owner.new_zeros(len(before))
    largest = none.scatter_reduce(0, owner, distance, "amax")
    total = none.index_add(0, owner, distance)
    moved = (before - after).clamp_min(0).flatten(1).sum(1)
    return Shifts(largest.numpy(), total.numpy(), moved.numpy())


def counts(frames: Any, low: Any, argument: str = "x") -> Tensor:
    """Spikes [N, T, P] of frames ``[N, T, *place]``; ValueError for fractions of spikes."""
    x = as_tensor(frames).detach().double()
    spikes = x - torch.as_tensor(low, device=x.device).to(x)
    whole = spikes.round().clamp_min(0)
    strange = (spikes - whole).abs() > WHOLE
    if strange.any():
        remedy = "A spike adds 1 to the lowest value: give counts, not divided by their maximum."
        got = f"values such as {x[strange][0]:g}"
        raise invalid(argument, "event frames of whole numbers of spikes", got, remedy)
    return whole.long().flatten(2)


def _spike_times(spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Sample and time of every spike [S] of counts [N, T, P]: place by place, in order of time."""
    by_place = spikes.transpose(1, 2)
    owner, _, time = by_place.nonzero(as_tuple=True)
    many = by_place[by_place > 0]
    return owner.repeat_interleave(many), time.repeat_interleave(many)


def require_measure(norm: object) -> Norm:
    """numpy.inf, 2.0, FLIPS or SHIFT; ValueError for anything else."""
    norms: dict[object, Norm] = {**NORMS, "0": FLIPS, FLIPS: FLIPS, SHIFT: SHIFT}
    if isinstance(norm, int | float | str) and not isinstance(norm, bool) and norm in norms:
        return norms[norm]
    expected = "numpy.inf, 2, 0 or 'shift'"
    remedy = (
        "numpy.inf is the largest change of a value and 2 the Euclidean length. Of event frames, 0 "
        "is the number of values that change, and 'shift' how many steps a spike is moved."
    )
    raise invalid("norm", expected, shown(norm), remedy)


def require_budget(norm: Norm, eps: object) -> float:
    """A budget in that norm; ValueError unless it is above 0, and whole where it counts."""
    if norm in COUNTED:
        return require_count("eps", eps, remedy="Flips and time steps are counted.")
    remedy = "A usual budget is 8/255."
    return require_number("eps", eps, above=0, up_to=LARGEST_BUDGET, remedy=remedy)


def distances(norm: Norm, x: Any, adversarial: Any, low: Any) -> np.ndarray:
    """Distances of adversarial samples [n, ...] from samples, in that norm [n]."""
    if norm == SHIFT:
        return shifts(x, adversarial, low).largest.astype(float)
    # Of order 0 the length is the number of values that are not 0.
    return np.asarray(_length(adversarial - x, float(norm)).flatten().double().cpu().numpy())


def rounding_of(samples: Tensor) -> np.ndarray:
    """The length by which rounding may take samples [n, ...] out of a ball [n].

    It is 1e-6 of the largest value of each; values below 1 count as 1."""
    largest = samples.abs().flatten(1).amax(1).double().clamp_min(1)
    return np.asarray(ROUNDING * largest.cpu().numpy())
