"""How far ahead the true class stays: the smallest differences between its logit and the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from art_snn.bounds.box import Box
from art_snn.bounds.firing import SpikeBounds

ROWS = 2.0**-10
"""Share of the radii by which rounding of the rows, sums of a few thousand products, may be off."""


def margins(logits: Box, y: Tensor, *, differentiable: bool = False) -> Tensor:
    """Lower bounds of z_y - z_j for every class j [N, K]; 0 for y itself.

    The rows of the affine layers behind the last neurons are subtracted before they meet an
    interval, so that what two logits share cancels. They weigh the mean of the spikes over time, for
    which counts are sharper than steps. Where a layer there is not affine, such as max pooling, the
    intervals of the logits are all that is known.

    :param logits: z [N, K], with the graph of its centres.
    :param y: class indices [N].
    :param differentiable: whether the bounds are to be differentiated by weights."""
    z, radius = logits.centre, logits.spread.radius
    gates = _gates(z.grad_fn)
    slack = (logits.spread.slack + ROWS * radius.detach()).expand_as(z)
    if gates is None:
        low, high = z - radius - slack, z + radius + slack
        return (low.gather(1, y[:, None]) - high).scatter(1, y[:, None], 0.0)
    with _closed(gates):
        rows = _Rows(gates, z, differentiable)
        own = rows.of(z.gather(1, y[:, None]).sum())
        columns = []
        for k in range(z.shape[1]):
            change = rows.least(own, rows.of(z[:, k].sum()))
            error = slack.gather(1, y[:, None])[:, 0] + slack[:, k]
            columns.append(z.gather(1, y[:, None])[:, 0] - z[:, k] + change - error)
    bounds = torch.stack(columns, 1)
    return bounds.scatter(1, y[:, None], 0.0)


class _Rows:
    """Gradients of logits at the spikes that enter the readout."""

    def __init__(self, gates: list[Any], z: Tensor, differentiable: bool) -> None:
        self.gates, self.differentiable = gates, differentiable

    def of(self, output: Tensor) -> list[Tensor]:
        """The rows [T, N, ...] of an output, one for every gate."""
        edges: Any = [GradientEdge(gate, 0) for gate in self.gates]
        how = {"retain_graph": True, "create_graph": self.differentiable}
        return list(torch.autograd.grad(output, edges, **how))

    def least(self, own: list[Tensor], other: list[Tensor]) -> Tensor:
        """The lowest value [N] of (own - other) times what spikes are away from their centres."""
        pairs = zip(self.gates, own, other, strict=True)
        return torch.stack([_least(gate.bounds, a - b) for gate, a, b in pairs]).sum(0)


def _least(bounds: SpikeBounds, row: Tensor) -> Tensor:
    """The smallest sum of row * (spikes - centre) over time and neurons [N]."""
    centre, radius = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
    if bounds.fewest is None or bounds.most is None:
        return -_summed(row.abs() * radius, 2)
    mean = row.mean(0)
    middle, reach = (bounds.fewest + bounds.most) / 2, (bounds.most - bounds.fewest) / 2
    shared = mean * (middle - centre.sum(0)) - mean.abs() * reach
    # Layers that weigh steps differently have rows that do, too.
    return _summed(shared, 1) - _summed((row - mean).abs() * radius, 2)


def _summed(values: Tensor, axes: int) -> Tensor:
    """Sums over all axes but that of the samples, the last of so many."""
    if axes == 2:
        values = values.sum(0)
    return values.flatten(1).sum(1)


def _gates(node: Any) -> list[Any] | None:
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
def _closed(gates: list[Any]) -> Iterator[None]:
    """Within the block no gradient passes a gate."""
    for gate in gates:
        gate.closed = True
    try:
        yield
    finally:
        for gate in gates:
            gate.closed = False
