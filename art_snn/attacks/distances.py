"""Norms and budgets, and how far adversarial samples lie from the samples."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.balls import NORMS, length
from art_snn.checks import invalid, require, require_count, require_number, shown
from art_snn.classifier.inputs import as_tensor

FLIPS, SHIFT = 0.0, "shift"
"""Norms of event frames: how many values have changed, and how far spikes were moved in time."""

WHOLE = 1e-4
"""How far a value may lie from a whole number of spikes."""


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
    owner, times = spike_times(before)
    distance = (spike_times(after)[1] - times).abs()
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


def spike_times(spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Sample and time of every spike [S] of counts [N, T, P]: place by place, in order of time."""
    by_place = spikes.transpose(1, 2)
    owner, _, time = by_place.nonzero(as_tuple=True)
    many = by_place[by_place > 0]
    return owner.repeat_interleave(many), time.repeat_interleave(many)


def require_measure(norm: object) -> float | str:
    """numpy.inf, 2.0, FLIPS or SHIFT; ValueError for anything else."""
    norms: dict[object, float | str] = {**NORMS, "0": FLIPS, FLIPS: FLIPS, SHIFT: SHIFT}
    if isinstance(norm, int | float | str) and not isinstance(norm, bool) and norm in norms:
        return norms[norm]
    expected = "numpy.inf, 2, 0 or 'shift'"
    remedy = (
        "numpy.inf is the largest change of a value and 2 the Euclidean length. Of event frames, 0 "
        "is the number of values that change, and 'shift' how many steps a spike is moved."
    )
    raise invalid("norm", expected, shown(norm), remedy)


def require_budget(norm: float | str, eps: object) -> float:
    """A budget in that norm; ValueError unless it is above 0, and whole where it counts."""
    if norm in (FLIPS, SHIFT):
        return require_count("eps", eps, remedy="Flips and time steps are counted.")
    return require_number("eps", eps, above=0, remedy="A usual budget is 8/255.")


def distances(norm: float | str, x: Any, adversarial: Any, low: Any) -> np.ndarray:
    """How far adversarial samples [n, ...] are from samples, in that norm [n]."""
    if norm == SHIFT:
        return shifts(x, adversarial, low).largest.astype(float)
    change = adversarial - x
    if norm == FLIPS:
        return np.asarray((change != 0).flatten(1).sum(1).cpu().numpy(), dtype=float)
    return np.asarray(length(change, float(norm)).flatten().double().cpu().numpy())
