"""Where spikes enter the layers behind a neuron: gradients of logits there are rows of weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Totals = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SpikeBounds:
    """What neurons do at least and at most.

    :param centre, radius: of the intervals of spikes [T, N, ...], or of their means over the steps
        up to each one.
    :param totals: gives the fewest and the most spikes over all steps [N, ...]; None where the
        steps say as much."""

    centre: Tensor
    radius: Tensor
    totals: Totals | None = None


class Gate(Function):
    """Where spikes enter the layers behind a neuron.

    Its node in the graph has the `bounds` of the spikes. While it is `closed`, gradients stop
    there: they are those of the layers between these spikes and the logits, and of no neuron."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor, bounds: SpikeBounds) -> Tensor:
        ctx.bounds, ctx.closed = bounds, False
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.closed else grad, None


class Bend(Function):
    """A mark in the graph: the slope of what stands here is not the same everywhere in a box."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor) -> Tensor:
        ctx.bent = True
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def bent(centre: Tensor) -> Tensor:
    """The centre of what no affine function has made, with a :class:`Bend` in its graph."""
    output: Tensor = Bend.apply(centre)  # type: ignore[no-untyped-call]
    return output


def gated(bounds: SpikeBounds) -> Tensor:
    """The centre with a :class:`Gate` at the start of the graph of what is computed of it."""
    if not torch.is_grad_enabled():
        return bounds.centre
    centre = bounds.centre
    if not centre.requires_grad:
        centre = centre.detach().requires_grad_()
    output: Tensor = Gate.apply(centre, bounds)  # type: ignore[no-untyped-call]
    return output


def gates_of(node: Any) -> list[Any] | None:
    """The gates that a graph begins at; None where not all of it behind them is affine."""
    gates, seen, waiting = [], set(), [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "bent"):
            return None
        if hasattr(node, "bounds"):
            gates.append(node)
        else:
            waiting += [following for following, _ in node.next_functions]
    return gates


@contextmanager
def closed(gates: list[Any]) -> Iterator[None]:
    """Within the block no gradient passes a gate."""
    for gate in gates:
        gate.closed = True
    try:
        yield
    finally:
        for gate in gates:
            gate.closed = False
