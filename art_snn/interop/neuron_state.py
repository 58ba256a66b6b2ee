"""State of neurons that a model reads itself, such as a membrane potential as its output.

While a pass runs, modules show the state of their twins. Where a rule of ours answers instead of
the neuron, potentials are differentiated with the resets held fixed, under any rule."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from art_snn.checks import ArgumentError
from art_snn.dynamics import Operands, operand
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import apply, straight_through
from art_snn.interop.refusals import unusable
from art_snn.interop.stateful_modules import Member


class Potentials:
    """Spikes and potentials of a neuron from step to step, with their gradients.

    :param member: the neuron, which has just run by itself without a graph."""

    def __init__(self, member: Member, site: NeuronRef) -> None:
        self.member = member
        self.dynamics = site.dynamics
        self.synaptic: list[Tensor] = []
        self.spikes: list[Tensor] = []
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []

    def step(self, x: Tensor, spikes: Tensor) -> None:
        """Follow a time step of a current x [N, ...], which has a graph, and its spikes."""
        dynamics = self.dynamics
        settings = Operands(dynamics, x)
        fired = spikes.detach().to(x.dtype) / settings.amplitude
        decay = dynamics.decay
        if isinstance(decay, tuple):
            decay = decay[len(self.before)]
        v = self.after[-1] if self.after else settings.v_start

        if dynamics.has_synapse:
            earlier = self.synaptic[-1] if self.synaptic else torch.zeros_like(x)
            current = x * settings.synapse_gain
            current = current + earlier * settings.synapse
            self.synaptic.append(current)
            x = earlier if dynamics.lag else current

        u = v * operand(decay, x) + x * settings.gain
        u = u + settings.constant
        after = u
        if dynamics.reset == "hard":
            after = torch.where(fired > 0, settings.v_reset, u)
        elif dynamics.reset == "soft":
            after = u - fired * settings.reset_amount
        if dynamics.floor is not None:
            floor = settings.floor
            after = torch.where(after > floor, after, floor)

        self.spikes.append(spikes)
        self.before.append(u)
        self.after.append(after)

    def show(self, earlier: dict[Tensor, int]) -> None:
        """Replace the state that the neuron has written on its module by one with its gradient.

        :param earlier: the :func:`versions` before the neuron ran."""
        for attributes, name, value in _state(self.member.module):
            written = [x for x in _tensors(value) if earlier.get(x) != _version(x)]
            if not written:
                continue
            leaves, form = tree_flatten(value)
            if not {id(x) for x in written} <= {id(leaf) for leaf in leaves}:
                raise _refuse(
                    f"{name} of {self.member.name}, an object with state inside"
                )
            shown = {id(x): self._with_gradient(name, x) for x in written}
            attributes[name] = tree_unflatten([shown.get(id(x), x) for x in leaves], form)

    def _with_gradient(self, name: str, value: Tensor) -> Tensor:
        """The value of an attribute, with the gradient of the series that it belongs to."""
        last = self.before[-1]
        if not (last.requires_grad and value.is_floating_point()):
            return value
        states = (self.after, self.before, self.spikes, self.synaptic or self.spikes)
        for series in states:
            graph = series[-1]
            if value.shape != graph.shape:
                graph = self.member.from_steps(torch.stack(series))
            graph = graph.to(value.dtype)
            if value.shape == graph.shape and torch.allclose(
                graph, value, rtol=1e-4, atol=1e-4
            ):
                return straight_through(value.detach().clone(), graph)
        return seal(value, f"{name} of {self.member.name}", last)


def seal(value: Tensor, name: str, current: Tensor) -> Tensor:
    """State of a neuron as it is, and an error where it is differentiated.

    :param name: how the error calls it.
    :param current: a tensor with the graph of the neuron's current."""
    return apply(_Sealed, (value.clone(),), name, current)


def versions(module: Module) -> dict[Tensor, int]:
    """The number of writes into each tensor of the state of a module.

    It holds the tensors, so that no later one has the id of one of these."""
    return {x: _version(x) for _, _, value in _state(module) for x in _tensors(value)}


def copy_state(module: Module) -> list[Tensor]:
    """Copies of the tensors that a module and those inside keep; statistics are no state."""
    kept = (value for _, name, value in _state(module) if name != "_buffers")
    return [x.clone() for value in kept for x in _tensors(value)]


def _state(module: Module) -> list[tuple[dict[str, Any], str, Any]]:
    """Attributes of a module and those inside: where each is kept, its name and its value."""
    kept = [vars(inner) for inner in module.modules()]
    return [(of, name, value) for of in kept for name, value in of.items()]


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors of an attribute, also in lists and mappings, and as attributes of other objects."""
    for leaf in tree_leaves(value):
        whole = isinstance(leaf, Tensor | Module)
        inside = {} if whole else getattr(leaf, "__dict__", {})
        for x in (leaf, *inside.values()):
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter):
                yield x


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _refuse(got: str) -> ArgumentError:
    return unusable(
        "a model that reads only spikes and potentials of its neurons",
        got,
        "No rule goes back through other state by equations.",
    )


class _Sealed(torch.autograd.Function):
    """State whose gradient is not known, so that nothing may be differentiated through it."""

    @staticmethod
    def forward(ctx: Any, value: tuple[Tensor], name: str, current: Tensor) -> Tensor:
        ctx.name = name
        return value[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise _refuse(ctx.name)
