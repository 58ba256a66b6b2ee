"""How far the spikes of event frames were moved in time."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid, require
from art_snn.classifier.inputs import as_tensor

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

    remedy = "Compare samples with what was made of them."
    require(
        before.shape == after.shape,
        "adversarial",
        f"shape {tuple(before.shape)}",
        str(tuple(after.shape)),
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
