"""Intervals of spikes from those of currents, step by step: S-IBP (Liang et al., NeurIPS 2022)."""

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics
from art_snn.values import operand, plus_scaled

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
    fires = torch.gt if dynamics.strict else torch.ge
    v_low, v_high = dynamics._at_start(low[0]), dynamics._at_start(low[0])
    threshold, spare = operand(dynamics.threshold, v_low), torch.empty_like(v_low)
    for t in range(len(low)):
        dynamics._charge(low[t], v_low, None, v_low)
        dynamics._charge(high[t], v_high, None, v_high)
        spikes = fires(v_low, threshold, out=sure[t]), fires(v_high, threshold, out=maybe[t])
        if dynamics.reset == "hard":
            _reset_hard(dynamics, v_low, v_high, *spikes, spare)
        elif dynamics.reset == "soft":
            _reset_soft(dynamics, v_low, v_high, *spikes, spare)
    return sure, maybe


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
