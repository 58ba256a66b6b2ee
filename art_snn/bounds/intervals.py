"""Spikes of neurons whose currents lie in intervals: step by step, and by their counts."""

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics
from art_snn.values import operand


@torch.no_grad()
def step_intervals(dynamics: Dynamics, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Whether neurons surely fire, and whether they may, at every step, bool [T, N, ...] each.

    The intervals of the potential go from step to step (S-IBP; Liang et al., NeurIPS 2022). A
    neuron that may or may not fire has the potential after either.

    :param low, high: ends of the current [T, N, ...]."""
    threshold = operand(dynamics.threshold, low)
    fires = torch.gt if dynamics.strict else torch.ge
    sure, maybe = (torch.empty(low.shape, dtype=torch.bool, device=low.device) for _ in range(2))
    v_low = dynamics._at_start(low[0])
    v_high, u_low, u_high = v_low.clone(), torch.empty_like(v_low), torch.empty_like(v_low)
    for t in range(len(low)):
        before = None
        dynamics._charge(low[t], v_low, before, u_low)
        dynamics._charge(high[t], v_high, before, u_high)
        fires(u_low, threshold, out=sure[t])
        fires(u_high, threshold, out=maybe[t])
        _reset(dynamics, u_low, u_high, sure[t], maybe[t], v_low, v_high)
    return sure, maybe


def _reset(
    dynamics: Dynamics,
    u_low: Tensor,
    u_high: Tensor,
    sure: Tensor,
    maybe: Tensor,
    v_low: Tensor,
    v_high: Tensor,
) -> None:
    """Write the interval of v[t] from that of u[t].

    The lowest potential that can fire and the highest that can be silent are at the threshold."""
    threshold = operand(dynamics.threshold, u_low)
    if dynamics.reset == "none":
        v_low.copy_(u_low)
        v_high.copy_(u_high)
        return
    silent_high = torch.minimum(u_high, threshold + torch.zeros_like(u_high))
    if dynamics.reset == "hard":
        rest = operand(dynamics.rest, u_low) + torch.zeros_like(u_low)
        fired_low, fired_high = rest, rest
    else:
        drop = operand(dynamics.amount, u_low)
        fired_low = torch.maximum(u_low, threshold + torch.zeros_like(u_low)) - drop
        fired_high = u_high - drop
    either_low = torch.minimum(u_low, fired_low)
    either_high = torch.maximum(silent_high, fired_high)
    v_low.copy_(torch.where(sure, fired_low, torch.where(maybe, either_low, u_low)))
    v_high.copy_(torch.where(sure, fired_high, torch.where(maybe, either_high, u_high)))
