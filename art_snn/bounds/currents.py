"""Currents of neurons in a pass of boxes, with what rounding of potentials can add to them."""

from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box
from art_snn.dynamics import Dynamics, least, most
from art_snn.gradients.shared import repeat_step, repeats_one_step

NEURON_SAFETY = 16
"""Units of roundoff per term of a potential: of the network's simulation, and of the bounds."""


def reach_of(dynamics: Dynamics, current: Box) -> tuple[Box, Tensor]:
    """The current [T, N, ...], one step [N, ...] where all are the same, and how far it reaches.

    The reach includes what rounding of potentials can add to it."""
    steps = len(current)
    if repeats_one_step(current.centre):
        current = current.mapped(lambda part: part[0])
    spread = current.spread
    return current, spread.radius + (spread.slack + rounding_of(dynamics, current, steps))


def currents(dynamics: Dynamics, current: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, N, ...]."""
    step, reach = reach_of(dynamics, current)
    ends = step.centre - reach, step.centre + reach
    if step is current:
        return ends
    return repeat_step(ends[0], len(current)), repeat_step(ends[1], len(current))


def rounding_of(dynamics: Dynamics, current: Box, steps: int) -> Tensor:
    """The change of a current that does to a potential what rounding does.

    A computed potential is decay v + gain x + constant but for one roundoff per term, and so is
    that of the exact dynamics at another current. The terms are sums of at most T currents."""
    decay = most(dynamics.decay)
    remembered = min(float(steps), 1 / (1 - decay)) if decay < 1 else float(steps)
    drop = most(dynamics.amount) if dynamics.reset == "soft" else _size(dynamics.rest)
    each = most(dynamics.gain) * current.most + _size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + _size(dynamics.start) + each * remembered
    roundoff = torch.finfo(current.dtype).eps / 2
    return NEURON_SAFETY * roundoff * largest / least(dynamics.gain)


def _size(setting: Any) -> float:
    return max(abs(least(setting)), abs(most(setting)))
