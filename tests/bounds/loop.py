"""Neurons in a loop over exact numbers, written from the equations alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def spikes(currents: Sequence[float], dynamics: Any) -> list[int]:
    """The spikes of one neuron.

    :param dynamics: with the settings of :class:`art_snn.dynamics.Dynamics`, all numbers."""
    drop = dynamics.threshold if dynamics.drop is None else dynamics.drop
    decay, gain, constant, rest, drop, v = map(
        Fraction,
        (dynamics.decay, dynamics.gain, dynamics.constant, dynamics.rest, drop, dynamics.start),
    )
    train = []
    for x in currents:
        u = decay * v + gain * Fraction(x) + constant
        s = u > dynamics.threshold if dynamics.strict else u >= dynamics.threshold
        train.append(int(s))
        v = u
        if s and dynamics.reset == "hard":
            v = rest
        elif s and dynamics.reset == "soft":
            v = u - drop
    return train


def counts(currents: Sequence[float], dynamics: Any) -> list[int]:
    """How many spikes there are up to each step."""
    total, so_far = 0, []
    for s in spikes(currents, dynamics):
        total += s
        so_far.append(total)
    return so_far
