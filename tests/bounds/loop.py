"""Neurons in a loop over numbers in double precision, written from the equations alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def spikes(currents: Sequence[float], dynamics: Any) -> list[int]:
    """The spikes of one neuron.

    :param dynamics: with the settings of :class:`art_snn.dynamics.Dynamics`, all numbers."""
    v, train = dynamics.start, []
    for x in currents:
        u = dynamics.decay * v + dynamics.gain * x + dynamics.constant
        s = u > dynamics.threshold if dynamics.strict else u >= dynamics.threshold
        train.append(int(s))
        v = u
        if s and dynamics.reset == "hard":
            v = dynamics.rest
        elif s and dynamics.reset == "soft":
            v = u - (dynamics.threshold if dynamics.drop is None else dynamics.drop)
    return train


def counts(currents: Sequence[float], dynamics: Any) -> list[int]:
    """How many spikes there are up to each step."""
    total, so_far = 0, []
    for s in spikes(currents, dynamics):
        total += s
        so_far.append(total)
    return so_far
