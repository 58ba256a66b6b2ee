"""The synapse before a neuron: a causal filter of its current, and the gradient through it.

A synaptic current is linear in the currents before it. So rules and bounds see the neuron
behind its synapse, and the filter as one more layer. With d = dL/di its gradient runs back
through time, which is the same filter of the reversed steps::

    e[t] = d[t + lag] + synapse e[t+1],   dL/dx[t] = e[t]"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import handle_torch_function, has_torch_function_unary

from art_snn.dynamics import Dynamics, Setting, Values, operand, setting
from art_snn.gradients.shared import apply
from art_snn.running.context import RUN


def filter_current(current: Tensor, dynamics: Dynamics) -> Tensor:
    """Synaptic currents i [T, N, ...] of currents x [T, N, ...], with their graph."""
    if has_torch_function_unary(current):
        filtered: Tensor = handle_torch_function(
            filter_current, (current,), current, dynamics
        )
        return filtered
    steps = RUN.get().averaged
    if steps:
        # One step stands for all of them.
        response = operand(mean_response(dynamics, steps), current)
        return current.mul(response)
    return apply(_Filtered, current, dynamics)


def mean_response(dynamics: Dynamics, steps: int) -> Setting:
    """By how much the mean synaptic current over T steps rises with a current that is constant."""
    decay = dynamics.synapse
    shape = decay.numbers.shape if isinstance(decay, Values) else (1,)
    response = dynamics.filter(torch.ones(steps, *shape, dtype=torch.float64))
    return setting(response.mean(0))


class _Filtered(Function):
    """Synaptic currents forward; backward the same filter, from the last step to the first."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        return dynamics.filter(current)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return apply(_Filtered, grad.flip(0), ctx.dynamics).flip(0), None
