"""The synapse before a neuron: a causal filter of its current, and the gradient through it.

A synaptic current is linear in the currents before it. So rules and bounds see the neuron
behind its synapse, and the filter as one more layer. With d = dL/di its gradient runs back
through time::

    e[t] = d[t + lag] + synapse e[t+1],   dL/dx[t] = e[t]"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import handle_torch_function, has_torch_function_unary

from art_snn.dynamics import (
    Dynamics,
    Setting,
    Values,
    empty_steps,
    operand,
    plus_scaled,
    setting,
)
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
    """Synaptic currents forward, the recursion of the module's docstring backward."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        return dynamics.filter(current)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return apply(_Adjoint, grad, ctx.dynamics), None


class _Adjoint(Function):
    """The gradient at the currents for one at the synaptic currents, [T, N, ...] each."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        lag = dynamics.lag
        e = empty_steps(grad)
        e[len(e) - lag :] = 0
        later = torch.zeros_like(e[0])
        for t in range(len(e) - 1 - lag, -1, -1):
            plus_scaled(grad[t + lag], later, dynamics.synapse, out=e[t])
            later = e[t]
        gain = dynamics.synapse_gain
        return e if gain == 1 else e.mul_(operand(gain, e))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return apply(_Filtered, grad, ctx.dynamics), None
