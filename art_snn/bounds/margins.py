"""How far ahead the true class stays: the smallest difference between its logit and another.

Between the last neurons and the logits are affine operations, as a rule, the same for
each sample. Their rows are the gradients of the logits. Two rows are subtracted
before they meet an interval, so that what both logits share cancels. Gates in the
graph mark where spikes enter these operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import GradientEdge

from art_snn.bounds.box import Box, Ends, widening
from art_snn.gradients.shared import apply
from art_snn.running.context import RUN

_ROW_ERROR = 2.0**-10
"""Share of the radii by which rounding of the rows, sums of a few thousand products,
may be off."""
_ELEMENTS = 2**18
"""Differences of rows that are computed at a time."""


@dataclass(frozen=True)
class SpikeBounds:
    """Bounds of the spikes of a layer of neurons, or of what a function gives.

    :param centre, radius: the intervals of spikes [T, N, ...], or of their means over the
        steps up to each one.
    :param totals: returns the fewest and the most spikes over all steps [N, ...];
        None where the steps say as much."""

    centre: Tensor
    radius: Tensor
    totals: Callable[[], Ends] | None = None

    def enter(self) -> Tensor:
        """Return the centre, with a gate at the start of the graph of what follows."""
        centre = self.centre
        if not torch.is_grad_enabled():
            return centre
        if not centre.requires_grad:
            centre = centre.detach().requires_grad_()
        return apply(_Gate, centre, self)


class _Gate(Function):
    """Where spikes enter the layers after a neuron.

    Its node in the graph has the `bounds` of the spikes. While it is `closed`,
    gradients stop there. So they are those of the layers between these spikes and the
    logits, and of no neuron. A gate without bounds marks values whose slope is not
    the same all over a box."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor, bounds: SpikeBounds | None) -> Tensor:
        ctx.bounds = bounds
        ctx.closed = False
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.closed else grad, None


def mark_nonlinear(centre: Tensor) -> Tensor:
    """Mark a centre, in its graph, as made by a function that is not affine."""
    return apply(_Gate, centre, None)


def enter_function(centre: Tensor, radius: Tensor) -> Tensor:
    """Return the centre of what a function gives that is not affine, with a gate.

    The gate has bounds if the values are [1, N, ...], as those of neurons are at T = 1."""
    if centre.shape[:2] == (1, RUN.get().samples):
        return apply(_Gate, centre, SpikeBounds(centre, radius))
    return mark_nonlinear(centre)


def bound_margins(logits: Box, y: Tensor, *, differentiable: bool = False) -> Tensor:
    """Bound z_y - z_j from below for every class j [N, K]; 0 for y itself.

    The rows weigh the mean of the spikes over time, which counts bound more sharply
    than steps. After another function that is not affine, such as max pooling, they weigh
    what it gives if there is one step, in an axis of its own. Otherwise only the intervals
    of the logits count.

    :param logits: z [N, K], with the graph of its centres.
    :param y: class indices [N].
    :param differentiable: True to differentiate the bounds by weights."""
    z = logits.centre
    radius = logits.radius
    slack = logits.slack
    gates = _find_gates(z.grad_fn)
    if gates is None:
        # By intervals z_y - z_j >= (m_y - r_y - slack) - (m_j + r_j + slack).
        low = z - radius - slack
        high = z + radius + slack
        changes = []
    else:
        # With the error e of the centres m, over all spikes s around their centres c,
        # z_y - z_j >= (m_y - e_y) - (m_j + e_j) + min (W_y - W_j) (s - c).
        terms = sum(gate.bounds.centre[:, 0].numel() for gate in gates)
        error = slack + (_ROW_ERROR + widening(terms, z)) * radius.detach()
        low = z - error
        high = z + error
        pairs = zip(gates, _differentiate(gates, z, differentiable), strict=True)
        changes = [_bound_changes(gate.bounds, rows, y) for gate, rows in pairs]

    lowest = low.gather(1, y[:, None]) - high
    for change in changes:
        lowest = lowest + change
    return lowest.scatter(1, y[:, None], 0.0)


def _find_gates(node: Any) -> list[Any] | None:
    """Find the gates that a graph begins at; None if not all of it after them is affine."""
    gates = []
    seen = set()
    waiting = [node]
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


def _differentiate(gates: list[Any], z: Tensor, differentiable: bool) -> list[Tensor]:
    """Return for every gate the gradients of the K logits z [N, K] at its values [K, T, ...].

    All gates are closed meanwhile. Samples have the same gradients. So one backward pass
    takes another class at every sample."""
    edges: Any = [GradientEdge(gate, 0) for gate in gates]
    samples, classes = z.shape
    parts = []
    for gate in gates:
        gate.closed = True
    try:
        for start in range(0, classes, samples):
            index = torch.arange(start, min(start + samples, classes), device=z.device)
            size = len(index)
            output = z[:size].gather(1, index[:, None]).sum()
            grads = torch.autograd.grad(
                output, edges, retain_graph=True, create_graph=differentiable
            )
            parts.append([grad[:, :size].transpose(0, 1) for grad in grads])
    finally:
        for gate in gates:
            gate.closed = False
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def _bound_changes(bounds: SpikeBounds, rows: Tensor, y: Tensor) -> Tensor:
    """Bound from below [N, K] the change of z_y - z_j by spikes away from their centres.

    :param rows: the gradients W of the logits [K, T, ...]."""
    radius = bounds.radius.transpose(0, 1).flatten(1)
    if bounds.totals is None:
        return _bound_products(rows.flatten(1), radius, y)

    # sum_t W_t s_t = W sum_t s_t, where all steps have the same row W.
    is_steady = bool((rows == rows[:, :1]).all())
    mean = rows[:, 0] if is_steady else rows.mean(1)
    fewest, most = [total.flatten(1) for total in bounds.totals()]
    middle = (fewest + most) / 2 - bounds.centre.sum(0).flatten(1)
    lowest = _bound_products(mean.flatten(1), (most - fewest) / 2, y)
    shift = middle @ mean.flatten(1).T
    lowest = lowest + shift.gather(1, y[:, None]) - shift
    if is_steady:
        return lowest
    # sum_t W_t s_t = W sum_t s_t + sum_t (W_t - W) s_t, with the mean W of the rows.
    return lowest + _bound_products((rows - mean[:, None]).flatten(1), radius, y)


def _bound_products(rows: Tensor, radius: Tensor, y: Tensor) -> Tensor:
    """Bound products (W_y - W_j) c from below [N, K], for |c| <= r.

    :param rows: W [K, M].
    :param radius: r [N, M]."""
    lowest = []
    size = max(1, _ELEMENTS // max(1, radius.numel()))
    for start in range(0, len(rows), size):
        # (W_y - W_j) c >= -|W_y - W_j| r
        sizes = (rows[y][:, None] - rows[start : start + size]).abs()
        lowest.append(-(sizes @ radius[:, :, None])[:, :, 0])
    return torch.cat(lowest, 1)
