"""Norms as measures: distances of samples, shifts of spikes, budgets and their words, balls."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from art_snn.checks import (
    LARGEST_BUDGET,
    invalid,
    quote,
    require,
    require_count,
    require_number,
)
from art_snn.classifier.inputs import as_array, as_tensor

ROUNDING = 1e-6
"""How far samples may lie outside the clip range, in its width, or beyond a ball, in their size."""
SMALLEST = 1e-12
WHOLE = 1e-4
"""How far a value may lie from a whole number of spikes."""


@dataclass(frozen=True)
class Measure:
    """A norm, or how far the spikes of event frames were moved.

    :param norm: as attacks take it: numpy.inf, 2.0, 0.0 or "shift"; id: as files have it.
    :param title: what budgets are in, or count.
    :param clause: what an attack does; label: a budget in a table; phrase: where a number
        was measured. {eps} stands for budgets, {s} for a plural, {kind} for a sample.
    :param attack: the usual one, as :func:`parse_stage` reads it.
    :param counted: True if budgets are whole numbers."""

    norm: float | str
    id: str
    title: str
    clause: str
    label: str
    phrase: str = "at eps {eps}"
    attack: str = "PGD-7"
    usual_budget: float = 8 / 255
    counted: bool = False

    def require_budget(self, eps: object) -> float:
        """The budget; ValueError unless it is above 0, and whole where it counts."""
        if self.counted:
            return require_count("eps", eps, remedy="Flips and time steps are counted.")
        return require_number(
            "eps", eps, above=0, up_to=LARGEST_BUDGET, remedy="A usual budget is 8/255."
        )

    def length(self, change: Tensor) -> Tensor:
        """Length of changes ``[n, *shape]``, [n, 1, ...]; in norm 0 how many values changed."""
        dims = tuple(range(1, change.ndim))
        return torch.linalg.vector_norm(change, float(self.norm), dims, keepdim=True)  # type: ignore[no-any-return]  # torch gives Any.

    def distances(self, x: Tensor, adversarial: Tensor, low: Tensor | float) -> ndarray:
        """Distances [n] of adversarial samples from samples x ``[n, *shape]``.

        :param low: the value without spikes."""
        if self == SHIFT:
            return shifts(x, adversarial, low).largest.astype(float)
        return as_array(self.length(adversarial - x).flatten().double())


# fmt: off
MAXIMUM = Measure(
    norm=np.inf, id="inf", title="the maximum norm",
    clause="changes no {value} by more than {eps}", label="eps {eps}",
)
EUCLIDEAN = Measure(
    norm=2.0, id="2", title="the Euclidean norm",
    clause="moves no {kind} by more than {eps} in the Euclidean norm",
    label="eps {eps} (Euclidean)",
)
FLIPS = Measure(
    norm=0.0, id="0", title="changed values",
    clause="changes at most {eps} value{s} of each", label="{eps} value{s}",
    phrase="with {eps} changed value{s}",
    attack="SparseDynamicAttack", usual_budget=8, counted=True,
)
SHIFT = Measure(
    norm="shift", id="shift", title="time steps that a spike moves",
    clause="moves no spike by more than {eps} time step{s}", label="{eps} step{s}",
    phrase="with spikes moved by {eps} step{s}",
    attack="SpikeRetiming", usual_budget=1, counted=True,
)
# fmt: on
SIZES = (MAXIMUM, EUCLIDEAN)
MEASURES = (*SIZES, FLIPS, SHIFT)
Norm = float | str | Measure


def require_measure(norm: object, among: tuple[Measure, ...] = MEASURES) -> Measure:
    """The measure of a norm, of its id, or the measure itself; ValueError for anything else."""
    if isinstance(norm, float | int | str | Measure) and not isinstance(norm, bool):
        for one in among:
            if norm in (one, one.norm, one.id):
                return one
    expected = "numpy.inf, 2, 0 or 'shift'" if FLIPS in among else "numpy.inf or 2"
    meanings = ", ".join(f"{one.norm!r} for {one.title}" for one in among)
    raise invalid("norm", expected, quote(norm), f"Give {meanings}.")


@dataclass(frozen=True)
class Ball:
    """All points within eps of samples ``centre [n, *shape]``, and in the range of low to high."""

    measure: Measure
    eps: float
    centre: Tensor
    low: Tensor
    high: Tensor

    def select(self, which: Tensor) -> "Ball":
        """The ball around some of the samples, rows [m]."""
        return replace(self, centre=self.centre[which])

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the ball, clipped to the range, which is no farther."""
        if self.measure == MAXIMUM:
            lowest = (self.centre - self.eps).clamp_(min=self.low)
            highest = (self.centre + self.eps).clamp_(max=self.high)
            return x.clamp(lowest, highest)
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


def _scale_to(change: Tensor, longest: float) -> Tensor:
    """Changes whose Euclidean length is at most that."""
    return change * (longest / EUCLIDEAN.length(change).clamp_min(SMALLEST)).clamp_max(1)


def rounding_of(samples: Tensor) -> ndarray:
    """The length by which rounding may take samples [n, ...] out of a ball [n].

    It is 1e-6 of the largest value of each; values below 1 count as 1."""
    largest = samples.abs().flatten(1).amax(1).double().clamp_min(1)
    return ROUNDING * as_array(largest)


class Shifts(NamedTuple):
    """Of every sample the largest shift of a spike, the sum of all in steps, and how many moved."""

    largest: ndarray
    total: ndarray
    moved: ndarray


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

    remedy = "Compare samples with what was made of them."
    require(
        before.shape == after.shape,
        "adversarial",
        f"shape {tuple(before.shape)}",
        tuple(after.shape),
        remedy,
    )
    require(
        before.sum(1).equal(after.sum(1)),
        "adversarial",
        "as many spikes as clean at every place",
        "another number of spikes at some place",
        remedy,
    )

    owner, start = _spike_times(before)
    _, end = _spike_times(after)
    distance = (end - start).abs()
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
        raise invalid(
            argument,
            "event frames of whole numbers of spikes",
            f"values such as {x[strange][0]:g}",
            "A spike adds 1 to the lowest value: give counts, not divided by their maximum.",
        )
    return whole.long().flatten(2)


def _spike_times(spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Sample and time of every spike [S] of counts [N, T, P]: place by place, in order of time."""
    by_place = spikes.transpose(1, 2)
    owner, _, time = by_place.nonzero(as_tuple=True)
    many = by_place[by_place > 0]
    return owner.repeat_interleave(many), time.repeat_interleave(many)
