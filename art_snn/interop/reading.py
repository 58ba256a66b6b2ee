"""State of neurons that a model reads itself, such as a membrane potential as its output.

While a pass runs, modules show the state of their twins. Where a rule of ours answers instead of
the neuron, potentials are differentiated with the resets held fixed, under any rule."""

from typing import Any

import torch
from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.dynamics import operand
from art_snn.gradients.base import Site
from art_snn.gradients.shared import apply, valued
from art_snn.interop.members import Member, states_of


class Potentials:
    """Spikes and potentials of a neuron from step to step, with their gradients.

    :param member: the neuron, which has just run by itself without a graph."""

    def __init__(self, member: Member, site: Site) -> None:
        self.member, self.dynamics = member, site.dynamics
        self.spikes: list[Tensor] = []
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []

    def step(self, x: Tensor, spikes: Tensor) -> None:
        """Follow a time step of a current x [N, ...], which has a graph, and its spikes."""
        dynamics = self.dynamics
        fired = spikes.detach().to(x.dtype) / operand(dynamics.height, x)
        decay = dynamics.decay
        if isinstance(decay, tuple):
            decay = decay[len(self.before)]
        start = operand(dynamics.start, x) + torch.zeros_like(x)
        v = self.after[-1] if self.after else start

        u = v * operand(decay, x) + x * operand(dynamics.gain, x)
        u = u + operand(dynamics.constant, x)
        after = u
        if dynamics.reset == "hard":
            after = torch.where(fired > 0, operand(dynamics.rest, x), u)
        elif dynamics.reset == "soft":
            after = u - fired * operand(dynamics.amount, x)
        if dynamics.floor is not None:
            floor = operand(dynamics.floor, x)
            after = torch.where(after > floor, after, floor)

        self.spikes.append(spikes)
        self.before.append(u)
        self.after.append(after)

    def show(self, earlier: dict[int, int]) -> None:
        """Give the state that the neuron has written on its module the gradient that it has.

        :param earlier: the version of every tensor before."""
        for holder in states_of(self.member.module):
            for name, value in list(holder.items()):
                tensor = isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
                if tensor and earlier.get(id(value)) != _version(value):
                    holder[name] = self._with_gradient(name, value)

    def _with_gradient(self, name: str, value: Tensor) -> Tensor:
        """The value of an attribute, with the gradient of the series that it belongs to."""
        last = self.before[-1]
        if not (last.requires_grad and value.is_floating_point()):
            return value
        for series in (self.after, self.before, self.spikes):
            graph = series[-1]
            if value.shape != graph.shape:
                graph = self.member.from_steps(torch.stack(series))
            graph = graph.to(value.dtype)
            if value.shape == graph.shape and torch.allclose(graph, value, rtol=1e-4, atol=1e-4):
                return valued(value.detach().clone(), graph)
        return apply(_Sealed, (value.clone(),), f"{name} of {self.member.name}", last)


def versions(module: nn.Module) -> dict[int, int]:
    """How often each tensor among the state of a module has been written into, by its id."""
    values = [value for holder in states_of(module) for value in holder.values()]
    return {id(value): _version(value) for value in values if isinstance(value, Tensor)}


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


class _Sealed(torch.autograd.Function):
    """State whose gradient is not known, so that nothing may be differentiated through it."""

    @staticmethod
    def forward(ctx: Any, value: tuple[Tensor], name: str, current: Tensor) -> Tensor:
        ctx.name = name
        return value[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        expected = (
            "one that reads spikes of its neurons, and potentials before or after their reset"
        )
        remedy = "Differentiate it by the rule 'native'."
        raise invalid("model", expected, ctx.name, remedy)
