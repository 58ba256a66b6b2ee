"""Propagation of constraints through a chain of layers, both ways, on batches of domains.

Forward, sets of what neurons may do bound the sums of currents of the next layer, and these remove
what the neurons there cannot do. Backward, what is left asks for sums, and no neuron before may be
farther from the end that it needs than the sum can bear. No counterexample is lost, since all it
does fulfils every constraint, rounding included.

The sum of currents u[r, t] = sum d^(t-q) x[q], over the steps q from r to t of a window, is linear
in the spikes of the layer before, F[r, t] = sum d^(t-q) s[q] each. A spike train says on which side
of which limit it lies, for every window."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import round_toward
from art_snn.bounds.firing import list_pieces
from art_snn.dynamics import Dynamics

MOST_STEPS = 8
_MOST_PIECES = 256


class Choices(NamedTuple):
    """What neurons of a layer may do, V of them, and what each asks of K sums of currents.

    :param trains: 0 or 1 [V, T].
    :param low, high: a neuron may do it only if its sum is in between, [V, K].
    :param cuts: between currents next to each other [V - 1]; None for trains of any current."""

    trains: Tensor
    low: Tensor
    high: Tensor
    cuts: Tensor | None = None

    @lru_cache(maxsize=64)  # noqa: B019
    def narrow(self, dtype: torch.dtype) -> "Choices":
        """The same in a precision, with no less between the limits."""
        low, high = round_toward(-inf, self.low, dtype), round_toward(inf, self.high, dtype)
        return self._replace(low=low, high=high)


def list_windows(steps: int) -> list[tuple[int, int]]:
    """First and last step of all windows."""
    return [(r, t) for t in range(steps) for r in range(t + 1)]


@lru_cache(maxsize=64)
def weigh_windows(decay: float, steps: int) -> Tensor:
    """Weights d^(t-q) of every step in all windows [K, T]."""
    rows = [
        [decay ** (t - q) if r <= q <= t else 0.0 for q in range(steps)]
        for r, t in list_windows(steps)
    ]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


@lru_cache(maxsize=64)
def list_values(dynamics: Dynamics, steps: int) -> Choices:
    """All trains of T steps, and what they ask of sums of effective currents over all windows.

    A window starts at a potential that the train bounds: it is known at the first step and after a
    hard reset, at most the threshold after a silent step, at least the threshold less the drop
    after a spike with a soft reset. After a hard reset within the window its sum says nothing."""
    d, theta, hard = dynamics.decay, dynamics.threshold, dynamics.reset == "hard"
    drop = dynamics.reset_amount if dynamics.reset == "soft" else 0.0
    like = torch.empty(0, dtype=torch.float64, device="cpu")
    windows = list_windows(steps)
    trains = like.new_tensor(list(product((0.0, 1.0), repeat=steps)))
    low = like.new_full((len(trains), len(windows)), -inf)
    high = low.neg()
    for v, train in enumerate(trains.tolist()):
        for k, (r, t) in enumerate(windows):
            if hard and any(train[r:t]):
                continue

            # The window starts at a potential from least to most.
            least, most = -inf, theta
            if r == 0:
                least = most = dynamics.v_start
            elif train[r - 1] and hard:
                least = most = dynamics.v_reset
            elif train[r - 1]:
                least, most = theta - drop, inf

            # u[t] = d^(t-r+1) v[r-1] + sum d^(t-q) x[q] - drop sum d^(t-q) s[q]. It is at least
            # theta where the neuron fires at t, and at most theta where it does not.
            limit = theta + drop * sum(d ** (t - q) * train[q] for q in range(r, t))
            kept = d ** (t - r + 1)
            if train[t]:
                low[v, k] = limit - kept * most
            else:
                high[v, k] = limit - kept * least
    return Choices(trains, low, high)


@lru_cache(maxsize=64)
def list_constant_values(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> Choices | None:
    """The same of neurons whose current is constant: K is 1, and the sum is the current itself.

    None where there are too many pieces of currents."""
    pieces = list_pieces(dynamics, steps, dtype)
    if pieces is None or len(pieces) > _MOST_PIECES:
        return None
    rows = [(*piece.train, piece.low, piece.high) for piece in pieces]
    table = torch.tensor(rows, dtype=torch.float64, device="cpu")
    trains, low, high = torch.split(table, [steps, 1, 1], 1)
    return Choices(trains, low, high, (high[:-1, 0] + low[1:, 0]) / 2)


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

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All tensors of the nodes, which are their first axis."""
        return self.low, self.high, *self.sets

    def __getitem__(self, rows: Tensor | slice | list[int]) -> "Domains":
        """Those nodes, as copies."""
        low, high, *sets = (part[rows].clone() for part in self.parts)
        return Domains(low, high, tuple(sets))

    @staticmethod
    def join(several: "Sequence[Domains]") -> "Domains":
        """All nodes of several."""
        low, high, *sets = map(torch.cat, zip(*(nodes.parts for nodes in several), strict=True))
        return Domains(low, high, tuple(sets))

    def write(self, rows: Tensor, others: "Domains") -> None:
        """Put other nodes at those rows."""
        for part, other in zip(self.parts, others.parts, strict=True):
            part[rows] = other


_BITS = torch.arange(256, device="cpu")[:, None] >> torch.arange(8, device="cpu") & 1 > 0


def _encode(sets: Tensor) -> Tensor:
    """Codes of every eight values of sets [..., V], as [C, M]; bits are gathered by a product."""
    whole = functional.pad(sets, (0, -sets.shape[-1] % 8)).contiguous().view(torch.int64)
    return (whole.flatten(0, -2).T * 0x0102040810204080 >> 56).bitwise_and_(255)


@lru_cache(maxsize=64)
def _tabulate(values: Tensor, sign: int) -> Tensor:
    """The least of sign * values [V, K] in sets of eight of them, times the sign, [C, K, 256]."""
    padded = functional.pad(sign * values.T, (0, -len(values) % 8), value=inf)
    parts = padded.view(len(padded), -1, 1, 8).where(_BITS, inf).amin(-1)
    table = torch.empty_like(parts)
    table[..., _encode(_BITS)[0]] = sign * parts
    return table.transpose(0, 1).contiguous()


def find_ends(sets: Tensor, low: Tensor, high: Tensor) -> Ends:
    """The lowest of `low` and the highest of `high` [V, K] over sets [B, n, V], as [K, B, n]."""
    ends, codes = list[Tensor](), _encode(sets)
    for values, sign, extreme in ((low, 1, torch.minimum), (high, -1, torch.maximum)):
        tables = _tabulate(values, sign)
        parts = [t.index_select(1, code) for t, code in zip(tables, codes, strict=True)]
        ends.append(reduce(extreme, parts).view(low.shape[1], *sets.shape[:2]))
    return ends[0], ends[1]


def bound_sums(layer: Layer, low: Tensor, high: Tensor) -> Ends:
    """The least and the largest sums [K, B, n] for inputs between ends [K, B, m]."""
    # |W x + b - (W m + b)| <= |W| r + slack
    middle = ((low + high) / 2) @ layer.weight.T + layer.base[:, None]
    radius = ((high - low) / 2) @ layer.weight.abs().T + layer.slack[:, None]
    return middle - radius, middle + radius


@lru_cache(maxsize=64)
def _list_limits(limits: Tensor) -> list[tuple[int, float, Tensor]]:
    """Sums k, their limits, and codes of values that have these [C, 1, 1], of limits [V, K]."""
    several = []
    for k, column in enumerate(limits.unbind(1)):
        for limit in sorted(set(column[column.isfinite()].tolist())):
            bits = functional.pad(column == limit, (0, -len(column) % 8)).view(-1, 8)
            codes = (bits * 2 ** torch.arange(8, device="cpu")).sum(1).to(torch.uint8)
            several.append((k, limit, codes[:, None, None]))
    return several


def keep_possible(sets: Tensor, values: Choices, sums: Ends) -> None:
    """Remove what sums cannot cause."""
    removed = sets.new_zeros((-(-sets.shape[2] // 8), *sets.shape[:2]), dtype=torch.uint8)
    least, most = sums
    # A value is possible only if low <= u <= high for some u from the least to the largest sum.
    for k, limit, codes in _list_limits(values.low):
        removed |= (most[k] < limit).view(torch.uint8) * codes
    for k, limit, codes in _list_limits(values.high):
        removed |= (least[k] > limit).view(torch.uint8) * codes
    kept = (~_BITS).view(torch.int64)[:, 0].index_select(0, removed.flatten().int())
    kept = kept.view(torch.bool).view(*removed.shape, 8)
    sets &= kept.movedim(0, 2).flatten(2)[..., : sets.shape[2]]


def limit_inputs(layer: Layer, sets: Tensor, sums: Ends, inputs: Ends) -> tuple[Tensor, ...]:
    """Between which ends inputs must lie for some of the values left, where it is a limit.

    A sum of at least a needs every input within u - a of the end that it likes most, where u is
    the largest sum.

    :return: places k, b, j in inputs [K, B, m], each once, and the ends there."""
    least, most = sums
    low, high = inputs
    need_least, need_most = find_ends(sets, layer.values.low, layer.values.high)
    spread = high - low
    reach = spread.amax(-1, keepdim=True) * layer.weight.abs().amax(1)
    rooms = most - need_least, need_most - least
    narrow = [room < reach for room in rooms]

    some = (narrow[0] | narrow[1]).any(-1)
    place = some.flatten().cumsum(0).view_as(some) - 1
    spread = spread[some]
    # |x - end| <= room / |w|, at the end that the sign of w says.
    nearest = spread.new_zeros((2, *spread.shape))
    for sign, room, which in zip((1, -1), rooms, narrow, strict=True):
        for part in torch.split(which.nonzero(), _ROWS):
            k, b, j = part.unbind(1)
            rows = layer.weight[j] * (sign / room[k, b, j].clamp_min(1e-30))[:, None]
            index = place[k, b][:, None].expand_as(rows)
            nearest[0].scatter_reduce_(0, index, rows, "amax")
            nearest[1].scatter_reduce_(0, index, rows.neg_(), "amax")

    p, j = (nearest.amax(0) * spread > 1).nonzero().unbind(1)
    k, b = (axis[p] for axis in some.nonzero().unbind(1))
    # What does not matter is divided by 0, of any sign, and has no limit.
    below, above = 1 / nearest[:, p, j].abs()
    return k, b, j, high[k, b, j] - below, low[k, b, j] + above


def pass_forward(layers: Sequence[Layer], domains: Domains) -> list[tuple[Ends, Ends]]:
    """Ends of all inputs and sums of every layer; what they forbid is removed from the sets."""
    passed = []
    for i, layer in enumerate(layers):
        if layer.inputs is None:
            inputs = domains.low[None], domains.high[None]
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
        if not layers[i].weight.numel():
            continue
        k, b, j, low, high = limit_inputs(layers[i], domains.sets[i], sums, inputs)
        shares = layers[i].inputs
        if shares is None:
            domains.low[b, j] = domains.low[b, j].maximum(low)
            domains.high[b, j] = domains.high[b, j].minimum(high)
            continue
        share = shares.T[k]
        h, v = ((share < low[:, None]) | (share > high[:, None])).nonzero().unbind(1)
        domains.sets[i - 1][b[h], j[h], v] = False


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
        margins[rows] = passed[-1][1][0][0]
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
