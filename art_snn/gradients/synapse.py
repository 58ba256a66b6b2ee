"""The synapse before a neuron: a causal filter of its current, and the gradient through it.

A synaptic current is linear in the currents before it. So rules and bounds see the neuron
behind its synapse, and the filter as one more layer. With d = dL/di its gradient runs back
through time, which is the same filter of the reversed steps::

    e[t] = d[t + lag] + synapse e[t+1],   dL/dx[t] = e[t]"""

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.overrides import handle_torch_function, has_torch_function_unary

from art_snn.dynamics import Dynamics
from art_snn.gradients.shared import apply
from art_snn.running.context import RUN


def filter_current(current: Tensor, dynamics: Dynamics) -> Tensor:
    """Synaptic currents i [T, N, ...] of currents x [T, N, ...], with their graph."""
    if has_torch_function_unary(current):
        return handle_torch_function(filter_current, (current,), current, dynamics)
    steps = RUN.get().averaged
    if steps < 0:
        return current
    if steps:
        # One step is the mean of all: its neuron gets the mean response to a constant current.
        constant = current.expand(steps, *current.shape[1:])
        return apply(_Filtered, constant, dynamics).mean(0, keepdim=True)
    return apply(_Filtered, current, dynamics)


class _Filtered(Function):
    """Synaptic currents forward; backward the same filter, from the last step to the first."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        return dynamics.filter(current)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return apply(_Filtered, grad.flip(0), ctx.dynamics).flip(0), None
