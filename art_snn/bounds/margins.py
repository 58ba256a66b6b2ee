"""How far ahead the true class stays: the smallest differences between its logit and the others.

Between the last neurons and the logits are affine operations, as a rule, the same for each sample.
Their rows, the gradients of the logits, are subtracted before they meet an interval, so that what
two logits share cancels. Gates in the graph mark where spikes enter these operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import GradientEdge

from art_snn.bounds.box import Box, widening
from art_snn.gradients.shared import apply

_ROWS = 2.0**-10
"""Share of the radii by which rounding of the rows, sums of a few thousand products, may be off."""
_ELEMENTS = 2**18
"""Differences of rows that are computed at a time."""


@dataclass(frozen=True)
class SpikeBounds:
    """Bounds of the spikes of a layer of neurons.

    :param centre, radius: of the intervals of spikes [T, N, ...], or of their means over the steps
        up to each one.
    :param totals: gives the fewest and the most spikes over all steps [N, ...]; None where the
        steps say as much."""

    centre: Tensor
    radius: Tensor
    totals: Callable[[], tuple[Tensor, Tensor]] | None = None

    def enter(self) -> Tensor:
        """The centre with a gate at the start of the graph of what is computed of it."""
        if not torch.is_grad_enabled():
            return self.centre
        centre = self.centre
        if not centre.requires_grad:
            centre = centre.detach().requires_grad_()
        return apply(_Gate, centre, self)


class _Gate(Function):
    """Where spikes enter the layers after a neuron.

    Its node in the graph has the `bounds` of the spikes. While it is `closed`, gradients stop
    there: they are those of the layers between these spikes and the logits, and of no neuron.
    Without bounds it marks what has not the same slope everywhere in a box."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor, bounds: SpikeBounds | None) -> Tensor:
        ctx.bounds, ctx.closed = bounds, False
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.closed else grad, None


def mark_nonlinear(centre: Tensor) -> Tensor:
    """The centre of what no affine function has made, with a mark in its graph."""
    return apply(_Gate, centre, None)


def bound_margins(logits: Box, y: Tensor, *, differentiable: bool = False) -> Tensor:
    """Lower bounds of z_y - z_j for every class j [N, K]; 0 for y itself.

    The rows weigh the mean of the spikes over time, for which counts are sharper than steps. Where
    an operation there is not affine, such as max pooling, only the intervals of logits count.

    :param logits: z [N, K], with the graph of its centres.
    :param y: class indices [N].
    :param differentiable: whether the bounds are to be differentiated by weights."""
    z, radius, slack = logits.centre, logits.enclosure.radius, logits.enclosure.slack
    gates = _find_gates(z.grad_fn)
    if gates is None:
        low, high = z - radius - slack, z + radius + slack
        return (low.gather(1, y[:, None]) - high).scatter(1, y[:, None], 0.0)
    terms = sum(gate.bounds.centre[:, 0].numel() for gate in gates)
    error = slack + (_ROWS + widening(terms, z)) * radius.detach()
    try:
        for gate in gates:
            gate.closed = True
        rows = _rows(gates, z, differentiable)
    finally:
        for gate in gates:
            gate.closed = False
    low, z = z - error, z + error
    low = low.gather(1, y[:, None]) - z
    for gate, weights in zip(gates, rows, strict=True):
        low = low + _lowest_changes(gate.bounds, weights, y)
    return low.scatter(1, y[:, None], 0.0)


def _find_gates(node: Any) -> list[Any] | None:
    """The gates that a graph begins at; None where not all of it after them is affine."""
    gates, seen, waiting = [], set(), [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if not hasattr(node, "bounds"):
            waiting += [following for following, _ in node.next_functions]
        elif node.bounds is None:
            return None
        else:
            gates.append(node)
    return gates


def _rows(gates: list[Any], z: Tensor, graph: bool) -> list[Tensor]:
    """For every gate the gradients of the K logits at its values [K, T, ...].

    One backward pass takes a different class at every sample, since rows are those of any."""
    edges: Any = [GradientEdge(gate, 0) for gate in gates]
    samples, classes = z.shape
    parts = []
    for start in range(0, classes, samples):
        index = torch.arange(start, min(start + samples, classes), device=z.device)
        output = z[: len(index)].gather(1, index[:, None]).sum()
        grads = torch.autograd.grad(output, edges, retain_graph=True, create_graph=graph)
        parts.append([grad[:, : len(index)].transpose(0, 1) for grad in grads])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def _lowest_changes(bounds: SpikeBounds, rows: Tensor, y: Tensor) -> Tensor:
    """The smallest changes [N, K] of z_y - z_j by values that are away from their centres.

    :param rows: of the logits [K, T, ...]."""
    samples = bounds.centre.shape[1]
    radius = bounds.radius.transpose(0, 1).reshape(samples, -1)
    if bounds.totals is None:
        return _lowest_products(rows.flatten(1), None, radius, y)
    steady = bool((rows == rows[:, :1]).all())
    mean = rows[:, 0] if steady else rows.mean(1)
    fewest, most = (total.flatten(1) for total in bounds.totals())
    middle = (fewest + most) / 2 - bounds.centre.sum(0).flatten(1)
    lowest = _lowest_products(mean.flatten(1), middle, (most - fewest) / 2, y)
    if steady:
        return lowest
    # Layers that weigh steps differently have rows that do, too.
    return lowest + _lowest_products((rows - mean[:, None]).flatten(1), None, radius, y)


def _lowest_products(rows: Tensor, shift: Tensor | None, radius: Tensor, y: Tensor) -> Tensor:
    """The smallest products [N, K] of differences of rows and vectors around a shift.

    :param rows: [K, M].
    :param shift, radius: [N, M], None for no shift."""
    lowest = []
    size = max(1, _ELEMENTS // max(1, radius.numel()))
    for start in range(0, len(rows), size):
        sizes = (rows[y][:, None] - rows[start : start + size]).abs()
        lowest.append(-(sizes @ radius[:, :, None])[:, :, 0])
    change = torch.cat(lowest, 1)
    if shift is None:
        return change
    moved = shift @ rows.T
    return change + moved.gather(1, y[:, None]) - moved
