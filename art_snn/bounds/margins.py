"""How far ahead the true class stays: the smallest differences between its logit and the others.

Between the last neurons and the logits are affine operations, as a rule, the same for each sample.
Their rows, the gradients of the logits, are subtracted before they meet an interval, so that what
two logits share cancels."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from art_snn.bounds.box import Box
from art_snn.bounds.gates import SpikeBounds, closed, gates_of
from art_snn.bounds.rounding import widening

ROWS = 2.0**-10
"""Share of the radii by which rounding of the rows, sums of a few thousand products, may be off."""
ELEMENTS = 2**18
"""Differences of rows that are computed at a time."""


def margins(logits: Box, y: Tensor, *, differentiable: bool = False) -> Tensor:
    """Lower bounds of z_y - z_j for every class j [N, K]; 0 for y itself.

    The rows weigh the mean of the spikes over time, for which counts are sharper than steps. Where
    an operation there is not affine, such as max pooling, only the intervals of logits count.

    :param logits: z [N, K], with the graph of its centres.
    :param y: class indices [N].
    :param differentiable: whether the bounds are to be differentiated by weights."""
    z, radius, slack = logits.centre, logits.spread.radius, logits.spread.slack
    gates = gates_of(z.grad_fn)
    if gates is None:
        low, high = z - radius - slack, z + radius + slack
        return (low.gather(1, y[:, None]) - high).scatter(1, y[:, None], 0.0)
    terms = sum(gate.bounds.centre[:, 0].numel() for gate in gates)
    error = slack + (ROWS + widening(terms, z)) * radius.detach()
    with closed(gates):
        rows = _rows(gates, z, differentiable)
    low, z = z - error, z + error
    low = low.gather(1, y[:, None]) - z
    for gate, weights in zip(gates, rows, strict=True):
        low = low + _least(gate.bounds, weights, y)
    return low.scatter(1, y[:, None], 0.0)


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


def _least(bounds: SpikeBounds, rows: Tensor, y: Tensor) -> Tensor:
    """The smallest changes [N, K] of z_y - z_j by values that are away from their centres.

    :param rows: of the logits [K, T, ...]."""
    samples = bounds.centre.shape[1]
    radius = bounds.radius.transpose(0, 1).reshape(samples, -1)
    if bounds.totals is None:
        return _lowest(rows.flatten(1), None, radius, y)
    steady = bool((rows == rows[:, :1]).all())
    mean = rows[:, 0] if steady else rows.mean(1)
    fewest, most = (total.flatten(1) for total in bounds.totals())
    middle = (fewest + most) / 2 - bounds.centre.sum(0).flatten(1)
    least = _lowest(mean.flatten(1), middle, (most - fewest) / 2, y)
    if steady:
        return least
    # Layers that weigh steps differently have rows that do, too.
    return least + _lowest((rows - mean[:, None]).flatten(1), None, radius, y)


def _lowest(rows: Tensor, shift: Tensor | None, reach: Tensor, y: Tensor) -> Tensor:
    """The smallest products [N, K] of differences of rows and vectors around a shift.

    :param rows: [K, M].
    :param shift, reach: [N, M], None for no shift."""
    lowest = []
    size = max(1, ELEMENTS // max(1, reach.numel()))
    for start in range(0, len(rows), size):
        sizes = (rows[y][:, None] - rows[start : start + size]).abs()
        lowest.append(-(sizes @ reach[:, :, None])[:, :, 0])
    change = torch.cat(lowest, 1)
    if shift is None:
        return change
    moved = shift @ rows.T
    return change + moved.gather(1, y[:, None]) - moved
