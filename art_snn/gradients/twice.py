"""Second derivatives of the temporal rules: a layer of neurons in plain autograd.

Where a graph of the gradient is asked for (`create_graph=True`), the recursion of
:mod:`art_snn.gradients.temporal` gives the values, and this loop their graph. A spike has the slope
h(z), z = u - threshold, and that slope the derivative h'(z) by torch's autograd. So the second
derivative is that of the network in which a function with derivative h replaces the step. Where a
slope also depends on statistics of other potentials, these are held fixed, as in the first one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks

from art_snn.dynamics import Dynamics, operand
from art_snn.gradients.shared import apply, task, valued

Slope = Callable[[Tensor, int], Tensor]
"""(u - threshold [N, ...] at a step, the step) -> slope [N, ...]."""


def differentiable(
    dynamics: Dynamics,
    slope: Slope,
    detach_reset: bool,
    grad_spikes: Tensor,
    potential: Tensor,
    current: Tensor,
) -> Tensor:
    """The gradient at the current from that at the spikes, differentiable by both.

    :param potential: u of the simulation [T, N, ...].
    :param current: a tensor [T, N, ...] with the graph of the current; its values are not read."""
    with torch.enable_grad():
        spikes = _spikes(dynamics, slope, detach_reset, potential, current)
        (d,) = torch.autograd.grad(spikes, current, grad_spikes, create_graph=True)
    return d


def _spikes(
    dynamics: Dynamics, slope: Slope, detach_reset: bool, potential: Tensor, current: Tensor
) -> Tensor:
    """Spikes [T, N, ...] of the state equations, with their graph."""
    settings = (dynamics.threshold, dynamics.rest, dynamics.decay, dynamics.gain)
    threshold, rest, decay, gain = (operand(value, potential) for value in settings)
    soft = dynamics.reset == "soft"
    drop = operand(dynamics.amount, potential) if soft else 0
    spikes, v = list[Tensor](), None
    for t, (value, x) in enumerate(zip(potential, current, strict=True)):
        u = valued(value, gain * x if v is None else gain * x + decay * v)
        fired = 1 - dynamics.silent(value)
        spikes.append(apply(_Spike, u - threshold, fired, slope, t))
        s = fired if detach_reset else spikes[-1]
        v = u * (1 - s) + rest * s if dynamics.reset == "hard" else u - drop * s
    return torch.stack(spikes)


Further = dict[int, Tensor]
"""Gradients [T, N, ...] at a current from graphs of its gradient, by backward pass."""


def current_of(anchor: Tensor, potential: Tensor, further: Further) -> Tensor:
    """A tensor [T, N, ...] with the graph of the current, which nobody keeps.

    :param anchor: leads to the function of the layer, which adds what `further` has got."""
    return apply(_Current, anchor, potential, further)


class _Current(Function):
    """Zeros in the memory of one; their gradient takes a way of its own to the anchor."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, like: Tensor, further: Further) -> Tensor:
        ctx.further = further
        return like.new_zeros(()).expand(like.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        earlier = ctx.further.get(task())
        ctx.further[task()] = grad if earlier is None else earlier + grad
        return grad.new_empty(0), None, None


class _Spike(Function):
    """Given spikes forward; backward the gradient times the slope at z, with its graph."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, fired: Tensor, slope: Slope, t: int) -> Tensor:
        ctx.save_for_backward(z)
        ctx.slope, ctx.t = slope, t
        return fired.view_as(fired)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (z,) = ctx.saved_tensors
        # Slopes write into what they have made; the graph keeps copies.
        with saved_tensors_hooks(_copy, _as_it_is):
            h = ctx.slope(z, ctx.t)
        return grad * h, None, None, None


def _copy(x: Tensor) -> Tensor:
    return x.detach().clone()


def _as_it_is(x: Tensor) -> Tensor:
    return x
