"""Propagation of constraints through a chain of layers, both ways, on batches of domains.

Forward, sets of what neurons may do bound the sums of currents of the next layer, and these remove
what the neurons there cannot do. Backward, what is left asks for sums, and no neuron before may be
farther from the end that it needs than the sum can bear. No counterexample is lost, since all it
does fulfils every constraint, rounding included."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

import torch
from torch import Tensor

from art_snn.bounds.trains import Choices

_ROUNDS = 8
_ROWS = 2**13
"""Constraints that are compared at a time."""
_PIXEL_GAIN = 0.02
"""The share by which a round must narrow all pixels together, where it changes nothing else."""

Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Layer:
    """Neurons, n of them, that see the m of the layer before, or m pixels, by K sums.

    :param weight: [n, m].
    :param base: what fixed spikes and biases add to the sums [K, n].
    :param slack: how far the sums of the network as computed may lie from these [K, n].
    :param inputs: what each of the values before adds to the sums [V', K]; None for pixels.
    :param values: of the neurons."""

    weight: Tensor
    base: Tensor
    slack: Tensor
    inputs: Tensor | None
    values: Choices


@dataclass(frozen=True)
class Domains:
    """Boxes of B nodes: pixels between low and high [B, m], and the values left [B, n, V] of every
    layer, the last of which are the classes: whether one is ahead of the true class."""

    low: Tensor
    high: Tensor
    sets: tuple[Tensor, ...]

    def __getitem__(self, rows: Tensor | slice | list[int]) -> "Domains":
        """Those nodes, as copies."""
        low, high, *sets = (part[rows].clone() for part in (self.low, self.high, *self.sets))
        return Domains(low, high, tuple(sets))

    @staticmethod
    def join(several: "Sequence[Domains]") -> "Domains":
        """All nodes of several."""
        parts = zip(*((d.low, d.high, *d.sets) for d in several), strict=True)
        low, high, *sets = (torch.cat(part) for part in parts)
        return Domains(low, high, tuple(sets))

    def write(self, rows: Tensor, others: "Domains") -> None:
        """Put other nodes at those rows."""
        old, new = (self.low, self.high, *self.sets), (others.low, others.high, *others.sets)
        for part, other in zip(old, new, strict=True):
            part[rows] = other


@lru_cache(maxsize=64)
def _list_parts(*tables: Tensor) -> list[tuple[int, int, int]]:
    """For every sum how often, and by how many values, those of tables [V, K] repeat.

    Of all trains a sum of a window depends on the spikes in it, and on the one before. The sums are
    in the order of the first of these steps, and from the last step on."""
    values, sums = tables[0].shape
    steps = values.bit_length() - 1
    parts = [
        (t * (t + 1) // 2 + r, 2 ** max(r - 1, 0), 2 ** (steps - 1 - t))
        for r in range(steps)
        for t in reversed(range(r, steps))
    ]
    if values == 2**steps and sums == len(parts):
        views = [table[:, k].view(a, -1, b) for table in tables for k, a, b in parts]
        if all(bool((view == view[:1, :, :1]).all()) for view in views):
            return parts
    return [(k, 1, 1) for k in range(sums)]


def find_ends(sets: Tensor, low: Tensor, high: Tensor) -> Ends:
    """The lowest of `low` and the highest of `high` [V, K] over sets [B, n, V], as [B, K, n]."""
    ends = sets.new_empty((2, len(sets), low.shape[1], sets.shape[1]), dtype=low.dtype)
    first, some, last = 1, sets, 1
    for k, before, after in _list_parts(low, high):
        if before != first or after < last:
            first, last = before, 1
            some = torch.unflatten(sets, 2, (before, -1)).any(2) if before > 1 else sets
        if after > last:
            some, last = torch.unflatten(some, 2, (-1, after // last)).any(3), after
        lowest, highest = (end[:, k].view(before, -1, after)[0, :, 0] for end in (low, high))
        torch.amin(torch.where(some, lowest, inf), -1, out=ends[0, :, k])
        torch.amax(torch.where(some, highest, -inf), -1, out=ends[1, :, k])
    return ends[0], ends[1]


def bound_sums(layer: Layer, low: Tensor, high: Tensor) -> Ends:
    """The least and the largest sums [B, K, n] for inputs between ends [B, K, m]."""
    middle = ((low + high) / 2) @ layer.weight.T + layer.base
    radius = ((high - low) / 2) @ layer.weight.abs().T + layer.slack
    return middle - radius, middle + radius


def keep_possible(sets: Tensor, values: Choices, sums: Ends) -> None:
    """Remove what sums cannot cause."""
    kept: Tensor | None = None
    for k, before, after in reversed(_list_parts(values.low, values.high)):
        ends = (end[:, k].view(before, -1, after)[0, :, 0] for end in (values.low, values.high))
        lowest, highest = ends
        some = (sums[1][:, k, :, None] >= lowest) & (sums[0][:, k, :, None] <= highest)
        if kept is not None:  # By windows from the same step, each a step longer.
            some = (torch.unflatten(some, 2, (kept.shape[2], -1)) & kept[..., None]).flatten(2)
        kept = some
        if after == 1:
            several = torch.unflatten(sets, 2, (before, -1))
            several &= kept[:, :, None]
            kept = None


def limit_inputs(layer: Layer, sets: Tensor, sums: Ends, inputs: Ends) -> Ends:
    """Between which ends [B, K, m] inputs must lie for some of the values left.

    A sum of at least a needs every input within u - a of the end that it likes most, where u is
    the largest sum."""
    need = find_ends(sets, layer.values.low, layer.values.high)
    spread = inputs[1] - inputs[0]
    batch, sums_each, width = spread.shape
    nearest = spread.new_zeros((2, batch * sums_each, width))
    if not layer.weight.numel():
        return inputs
    reach = spread.amax(-1, keepdim=True) * layer.weight.abs().amax(1)
    for sign, room in ((1, sums[1] - need[0]), (-1, need[1] - sums[0])):
        which = (room < reach).nonzero()
        for part in torch.split(which, _ROWS):
            b, k, j = part.unbind(1)
            rows = layer.weight[j] * (sign / room[b, k, j].clamp_min(1e-30))[:, None]
            place = (b * sums_each + k)[:, None].expand_as(rows)
            nearest[0].scatter_reduce_(0, place, rows, "amax")
            nearest[1].scatter_reduce_(0, place, rows.neg_(), "amax")
    # What does not matter is divided by 0, and has no limit.
    room = 1 / nearest.abs().view(2, batch, sums_each, width)
    return inputs[1] - room[0], inputs[0] + room[1]


def pass_forward(layers: Sequence[Layer], domains: Domains) -> list[tuple[Ends, Ends]]:
    """Ends of all inputs and sums of every layer; what they forbid is removed from the sets."""
    passed = []
    for i, layer in enumerate(layers):
        if layer.inputs is None:
            inputs = domains.low[:, None], domains.high[:, None]
        else:
            inputs = find_ends(domains.sets[i - 1], layer.inputs, layer.inputs)
        sums = bound_sums(layer, *inputs)
        keep_possible(domains.sets[i], layer.values, sums)
        passed.append((inputs, sums))
    return passed


def _pass_backward(
    layers: Sequence[Layer], domains: Domains, passed: list[tuple[Ends, Ends]]
) -> None:
    """Remove what the constraints of the layers after forbid, from the last to the pixels."""
    for i in reversed(range(len(layers))):
        inputs, sums = passed[i]
        low, high = limit_inputs(layers[i], domains.sets[i], sums, inputs)
        shares = layers[i].inputs
        if shares is None:
            torch.maximum(domains.low, low[:, 0], out=domains.low)
            torch.minimum(domains.high, high[:, 0], out=domains.high)
            continue
        for k, before, after in _list_parts(shares):
            matters = (low[:, k] > inputs[0][:, k]) | (high[:, k] < inputs[1][:, k])
            b, j = matters.nonzero().unbind(1)
            share = shares[:, k].view(before, -1, after)[0, :, 0]
            kept = (low[b, k, j, None] <= share) & (high[b, k, j, None] >= share)
            kept = kept[:, None, :, None].expand(-1, before, -1, after).flatten(1)
            domains.sets[i - 1][b, j] &= kept


def _is_possible(domains: Domains) -> Tensor:
    """Nodes [B] whose pixels and neurons all have a value left."""
    possible = (domains.low <= domains.high).all(1)
    for sets in domains.sets:
        possible &= sets.any(-1).all(-1)
    return possible


def _measure(domains: Domains) -> tuple[Tensor, Tensor]:
    count = torch.stack([sets.flatten(1).sum(1) for sets in domains.sets]).sum(0)
    return count, (domains.high - domains.low).sum(1)


def propagate(
    layers: Sequence[Layer], domains: Domains, rounds: int = _ROUNDS
) -> tuple[Tensor, Tensor]:
    """Remove in place what no counterexample has, in rounds, until one changes nothing.

    :param rounds: at most.
    :return: nodes [B] in which there may be one; the sums of the last layer, the least margins
        [B, n] there."""
    rows = torch.arange(len(domains.low), device="cpu")
    possible = torch.ones(len(rows), dtype=torch.bool, device="cpu")
    margins = torch.empty(domains.sets[-1].shape[:2], dtype=domains.low.dtype, device="cpu")
    for _ in range(rounds):
        some = domains[rows]
        before = _measure(some)
        passed = pass_forward(layers, some)
        margins[rows] = passed[-1][1][0][:, 0]
        left = _is_possible(some)
        if left.any():
            _pass_backward(layers, some, passed)
            left &= _is_possible(some)
        domains.write(rows, some)
        possible[rows] = left
        after = _measure(some)
        narrower = after[1] < (1 - _PIXEL_GAIN) * before[1]
        rows = rows[left & ((after[0] < before[0]) | narrower)]
        if not len(rows):
            break
    return possible, margins
