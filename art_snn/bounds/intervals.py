"""Intervals of spikes from those of currents, step by step: S-IBP (Liang et al., NeurIPS 2022)."""

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, operand, plus_scaled

Pair = tuple[Tensor, Tensor]

BUFFERS = 16
"""Tensors of one step's size in a block, which should fit into the cache."""


@torch.no_grad()
def step_intervals(
    dynamics: Dynamics, low: Tensor, high: Tensor, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Whether neurons surely fire, and whether they may, at every step, 0 or 1 [T, N, ...] each.

    The intervals of the potential go from step to step. A neuron that may or may not fire has the
    potential after either.

    :param low, high: ends of the current [T, N, ...].
    :param out: buffers for the results, such as the two themselves; None to make them."""
    sure, maybe = (torch.empty_like(low), torch.empty_like(low)) if out is None else out
    v = dynamics._at_start(low[0]), dynamics._at_start(low[0])
    spare = torch.empty_like(low[0])
    for t in range(len(low)):
        _step(dynamics, (low[t], high[t]), v, v, (sure[t], maybe[t]), spare)
    return sure, maybe


@torch.no_grad()
def flip_intervals(dynamics: Dynamics, currents: Pair, out: Pair) -> tuple[Tensor, Tensor]:
    """The same of neurons of which every flip changes the current at one step alone.

    Potentials have an interval for each number of flips so far. One for k flips is around what j
    flips at this step make of that for k - j, for all j at once.

    :param currents: ends of the current [K + 1, T, N, ...] by no flip at a step, by one, and so on.
    :param out: buffers for the results, which are no ends."""
    (low, high), (sure, maybe), count = currents, out, len(currents[0])
    buffers = [torch.empty_like(low[:, 0]) for _ in range(7)]
    states = [dynamics._at_start(state) for state in buffers[:2]]  # That of most flips first.
    for t in range(len(sure)):
        for first in range(count):
            rows = slice(count - first)
            after_low, after_high, surely, possibly, spare = (part[rows] for part in buffers[2:])
            current, before = (low[rows, t], high[rows, t]), (states[0][first:], states[1][first:])
            after, spikes = (after_low, after_high), (surely, possibly)
            _step(dynamics, current, before, after, spikes, spare)
            torch.amin(after_low, 0, out=states[0][first])
            torch.amax(after_high, 0, out=states[1][first])
            if first == 0:
                torch.amin(surely, 0, out=sure[t])
                torch.amax(possibly, 0, out=maybe[t])
    return sure, maybe


def _step(
    dynamics: Dynamics, current: Pair, before: Pair, after: Pair, spikes: Pair, spare: Tensor
) -> None:
    """Write spikes and the potentials after a step.

    :param current: its ends, in whose place spikes may be written.
    :param before, after: ends of the potentials, which may be the same.
    :param spare: a buffer."""
    low, high = after
    dynamics._charge(current[0], before[0], None, low)
    dynamics._charge(current[1], before[1], None, high)
    fires, threshold = torch.gt if dynamics.strict else torch.ge, operand(dynamics.threshold, low)
    sure, maybe = fires(low, threshold, out=spikes[0]), fires(high, threshold, out=spikes[1])
    if dynamics.reset == "hard":
        _reset_hard(dynamics, low, high, sure, maybe, spare)
    elif dynamics.reset == "soft":
        _reset_soft(dynamics, low, high, sure, maybe, spare)


def _reset_hard(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The highest potential that can be silent is at the threshold."""
    threshold, rest = (operand(value, low) for value in (dynamics.threshold, dynamics.rest))
    torch.gt(low, rest, out=spare).mul_(maybe)
    dynamics._discharge(low, spare, low)
    if dynamics.resets_below:
        high.clamp_(max=threshold)
    else:
        either = torch.maximum(torch.zeros_like(low).add_(threshold), spare.fill_(0).add_(rest))
        plus_scaled(high.addcmul_(high, maybe, value=-1), maybe * either, 1, out=high)
        low.copy_(torch.where(sure > 0, spare, low))
    dynamics._discharge(high, sure, high)


def _reset_soft(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The lowest potential that can fire is at the threshold."""
    threshold, drop = (operand(value, low) for value in (dynamics.threshold, dynamics.amount))
    taken = torch.sub(low, threshold - drop, out=spare).clamp_(min=0).clamp_(max=drop)
    low.addcmul_(taken, maybe, value=-1)
    taken = torch.sub(high, threshold, out=spare).clamp_(min=0).clamp_(max=drop)
    high.sub_(torch.maximum(taken, sure * drop, out=spare))
