"""Propagation of constraints through a chain of layers, both ways, on batches of domains.

Forward, the spike trains that neurons may still fire bound the sums of currents of
the next layer, and these sums rule out trains there. Backward, the trains that are
left ask for sums. No neuron before may be farther from the end that it needs than the
sum can bear. No counterexample is lost, since what it does fulfils every constraint,
rounding included.

The sum of currents u[r, t] = sum d^(t-q) x[q], over the steps q from r to t of a
window, is linear in F[r, t] = sum d^(t-q) s[q] of the neurons before. A spike train
says on which side of which limit the sum lies, for every window."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Ends, round_toward
from art_snn.bounds.firing import list_pieces
from art_snn.dynamics import Dynamics

MOST_STEPS = 8
_MOST_PIECES = 256


class TrainTable(NamedTuple):
    """The trains that neurons of a layer can fire, V of them, and what each asks of K sums.

    :param trains: 0 or 1 [V, T].
    :param low, high: low <= sum <= high where a neuron fires the train, for every sum
        [V, K].
    :param cuts: where one piece of constant currents meets the next one [V - 1]; None for
        trains of currents that may change over time."""

    trains: Tensor
    low: Tensor
    high: Tensor
    cuts: Tensor | None = None

    @lru_cache(maxsize=64)  # noqa: B019
    def round(self, dtype: torch.dtype) -> "TrainTable":
        """Round the limits to a precision, outwards."""
        return self._replace(
            low=round_toward(-inf, self.low, dtype),
            high=round_toward(inf, self.high, dtype),
        )


def list_windows(steps: int) -> list[tuple[int, int]]:
    """List the first and the last step, r and t, of all windows."""
    return [(r, t) for t in range(steps) for r in range(t + 1)]


def weigh_windows(decay: float, steps: int) -> Tensor:
    """Return the weights d^(t-q) of every step q in all windows from r to t [K, T]."""
    rows = [
        [decay ** (t - q) if r <= q <= t else 0.0 for q in range(steps)]
        for r, t in list_windows(steps)
    ]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


@lru_cache(maxsize=64)
def list_trains(dynamics: Dynamics, steps: int) -> TrainTable:
    """List all trains of T steps, and what they ask of sums of g x + c over all windows.

    A window starts at a potential that the train bounds. It is known at the first
    step and after a hard reset. It is at most the threshold after a silent step, and
    at least the threshold less the drop after a spike with a soft reset. After a hard
    reset within the window its sum says nothing."""
    theta = dynamics.threshold
    is_hard = dynamics.reset == "hard"
    drop = dynamics.reset_amount if dynamics.reset == "soft" else 0.0
    windows = list_windows(steps)
    # The first step changes last, so that train v has the binary digits of v.
    choices = list(product((0.0, 1.0), repeat=steps))
    trains = torch.tensor(choices, dtype=torch.float64, device="cpu")

    # Where a window says nothing its limits are infinite.
    low = trains.new_full((len(choices), len(windows)), -inf)
    high = low.neg()
    for v, train in enumerate(choices):
        for k, (r, t) in enumerate(windows):
            if is_hard and any(train[r:t]):
                # The potential forgets the window at its reset.
                continue

            # The potential before the window: least <= v[r-1] <= most.
            least = -inf
            most = theta
            if r == 0:
                least = most = dynamics.v_start
            elif train[r - 1] and is_hard:
                least = most = dynamics.v_reset
            elif train[r - 1]:
                least = theta - drop
                most = inf

            # With the sum U of the window, u[t] = kept v[r-1] + U - drop taken.
            taken = sum(dynamics.decay ** (t - q) * train[q] for q in range(r, t))
            limit = theta + drop * taken
            kept = dynamics.decay ** (t - r + 1)
            if train[t]:
                # The neuron fires: theta <= u[t] <= kept most + U - drop taken.
                low[v, k] = limit - kept * most
            else:
                # The neuron is silent: theta >= u[t] >= kept least + U - drop taken.
                high[v, k] = limit - kept * least
    return TrainTable(trains, low, high)


@lru_cache(maxsize=64)
def list_constant_trains(
    dynamics: Dynamics, steps: int, dtype: torch.dtype
) -> TrainTable | None:
    """List the trains of constant currents: K is 1, and the sum is the current itself.

    :return: None if there are too many pieces of currents."""
    pieces = list_pieces(dynamics, steps, dtype)
    if pieces is None or len(pieces) > _MOST_PIECES:
        return None
    rows = [(*piece.train, piece.low, piece.high) for piece in pieces]
    table = torch.tensor(rows, dtype=torch.float64, device="cpu")
    trains, low, high = torch.split(table, [steps, 1, 1], 1)

    # Pieces next to each other overlap by rounding: the cut is the middle of the overlap.
    return TrainTable(trains, low, high, (high[:-1, 0] + low[1:, 0]) / 2)


Passed = list[tuple[Ends, Ends]]
"""The ends of the inputs [K, B, m] and of the sums [K, B, n] of every layer."""
_ROUNDS = 8
_ROWS = 2**13
"""Constraints that are compared at a time."""
_PIXEL_GAIN = 0.02
"""A round that removes no train must narrow all pixels together by this share to go
on."""


@dataclass(frozen=True)
class Layer:
    """Neurons, n of them, which see the m neurons of the layer before, or m pixels, by K sums.

    :param weight: [n, m].
    :param base: what fixed spikes and biases add to the sums [K, n].
    :param slack: how far the sums of the network as computed may lie from these [K, n].
    :param inputs: what each train of the layer before adds to the sums [V', K]; None for
        pixels.
    :param table: the trains of the neurons."""

    weight: Tensor
    base: Tensor
    slack: Tensor
    inputs: Tensor | None
    table: TrainTable


@dataclass(frozen=True)
class Domains:
    """What pixels and neurons may do in each of B nodes of the search.

    :param low, high: the ends of pixels [B, m].
    :param sets: for every layer the trains that are left, bool [B, n, V]. The last
        layer has the classes, with two values: not ahead of the true class, and ahead
        of it."""

    low: Tensor
    high: Tensor
    sets: list[Tensor]

    def __len__(self) -> int:
        return len(self.low)

    @property
    def rows(self) -> Tensor:
        """The indices of the nodes [B]."""
        return torch.arange(len(self), device="cpu")

    @property
    def classes(self) -> Tensor:
        """The class [B] that a counterexample in the node puts ahead."""
        return self.sets[-1][:, :, 1].int().argmax(1)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All tensors, whose first axis are the nodes."""
        return self.low, self.high, *self.sets

    def __getitem__(self, rows: Tensor | slice | list[int]) -> "Domains":
        """Copy some nodes."""
        low, high, *sets = [part[rows].clone() for part in self.parts]
        return Domains(low, high, sets)

    @staticmethod
    def join(several: "Sequence[Domains]") -> "Domains":
        """Join the nodes of several domains."""
        low, high, *sets = map(
            torch.cat, zip(*[nodes.parts for nodes in several], strict=True)
        )
        return Domains(low, high, sets)


_BITS = torch.arange(256, device="cpu")[:, None] >> torch.arange(8, device="cpu") & 1 > 0
"""The members of every set of eight trains, by the code of the set [256, 8]."""


def _encode(sets: Tensor) -> Tensor:
    """Encode every eight trains of sets [..., V] in a byte, [C, M]."""
    padded = functional.pad(sets, (0, -sets.shape[-1] % 8))
    # Eight truth values are a word of eight bytes. A product gathers them in its top
    # byte.
    words = padded.contiguous().view(torch.int64).flatten(0, -2).T
    return (words * 0x0102040810204080 >> 56).bitwise_and_(255)


@lru_cache(maxsize=64)
def _tabulate(values: Tensor, sign: int) -> Tensor:
    """Tabulate the least of sign * values [V, K] over sets of eight trains, times the sign.

    :return: by the code of the set [C, K, 256]."""
    padded = functional.pad(sign * values.T, (0, -len(values) % 8), value=inf)
    # The least over each of the 256 subsets of every eight trains: inf of the empty one.
    parts = padded.view(len(padded), -1, 1, 8).where(_BITS, inf).amin(-1)
    table = torch.empty_like(parts)
    table[..., _encode(_BITS)[0]] = sign * parts
    return table.transpose(0, 1).contiguous()


def find_ends(sets: Tensor, low: Tensor, high: Tensor) -> Ends:
    """Find the lowest of `low` and the highest of `high` [V, K] over sets [B, n, V].

    :return: [K, B, n] each."""
    codes = _encode(sets)
    ends = []
    for values, sign, extreme in ((low, 1, torch.minimum), (high, -1, torch.maximum)):
        tables = zip(_tabulate(values, sign), codes, strict=True)
        parts = [table.index_select(1, code) for table, code in tables]
        ends.append(reduce(extreme, parts).view(low.shape[1], *sets.shape[:2]))
    return ends[0], ends[1]


def bound_sums(layer: Layer, low: Tensor, high: Tensor) -> Ends:
    """Return the least and the largest sums [K, B, n] of inputs between ends [K, B, m]."""
    # |W x + b - (W m + b)| <= |W| r + slack, where |x - m| <= r
    middle = ((low + high) / 2) @ layer.weight.T + layer.base[:, None]
    radius = ((high - low) / 2) @ layer.weight.abs().T + layer.slack[:, None]
    return middle - radius, middle + radius


@lru_cache(maxsize=64)
def _list_limits(limits: Tensor) -> list[tuple[int, float, Tensor]]:
    """List the sums k, their limits, and the codes [C, 1, 1] of the trains with that limit.

    :param limits: of every train [V, K]."""
    several = []
    for k, column in enumerate(limits.unbind(1)):
        for limit in sorted(set(column[column.isfinite()].tolist())):
            codes = _encode((column == limit)[None]).to(torch.uint8)
            several.append((k, limit, codes[:, None]))
    return several


def keep_possible(sets: Tensor, table: TrainTable, sums: Ends) -> None:
    """Remove trains from sets [B, n, V] that no sum between the ends [K, B, n] causes."""
    nodes, neurons, trains = sets.shape
    removed = sets.new_zeros((-(-trains // 8), nodes, neurons), dtype=torch.uint8)
    least, most = sums
    # A train is possible only if low <= u <= high for some u from least to most, so
    # low <= most and least <= high. Trains of the same limit are compared once.
    for k, limit, codes in _list_limits(table.low):
        removed |= (most[k] < limit).view(torch.uint8) * codes
    for k, limit, codes in _list_limits(table.high):
        removed |= (least[k] > limit).view(torch.uint8) * codes

    # From codes back to truth values.
    kept = (~_BITS).view(torch.int64)[:, 0].index_select(0, removed.flatten().int())
    kept = kept.view(torch.bool).view(*removed.shape, 8)
    sets &= kept.movedim(0, 2).flatten(2)[..., :trains]


def limit_inputs(
    layer: Layer, sets: Tensor, sums: Ends, inputs: Ends
) -> tuple[Tensor, ...]:
    """Find the ends between which an input must lie for some of the trains left.

    :param sets: the trains left of the layer's neurons [B, n, V].
    :param sums, inputs: their ends [K, B, n] and [K, B, m].
    :return: the places k, b, j of inputs that are limited, each once, and the two
        ends."""
    least, most = sums
    low, high = inputs
    need_least, need_most = find_ends(sets, layer.table.low, layer.table.high)

    # An input x may take from the largest sum what the trains do not need of it:
    # w x >= max w x - (most - need_least), and w x <= min w x + (need_most - least).
    rooms = (most - need_least, need_most - least)

    # An input can be limited only where the room is less than what it may change.
    spread = high - low
    reach = spread.amax(-1, keepdim=True) * layer.weight.abs().amax(1)
    narrow = [room < reach for room in rooms]

    # Rows k, b with such a sum are numbered by `place`.
    some = (narrow[0] | narrow[1]).any(-1)
    place = some.flatten().cumsum(0).view_as(some) - 1
    spread = spread[some]

    # |x - end| <= room / |w|, at the end that the sign of w says. The largest |w| / room
    # of all sums is kept for either end.
    nearest = spread.new_zeros((2, *spread.shape))
    for sign, room, which in zip((1, -1), rooms, narrow, strict=True):
        for part in torch.split(which.nonzero(), _ROWS):
            k, b, j = part.unbind(1)
            rows = layer.weight[j] * (sign / room[k, b, j].clamp_min(1e-30))[:, None]
            index = place[k, b][:, None].expand_as(rows)
            nearest[0].scatter_reduce_(0, index, rows, "amax")
            nearest[1].scatter_reduce_(0, index, rows.neg_(), "amax")

    # An input whose width is more than room / |w| is limited.
    p, j = (nearest.amax(0) * spread > 1).nonzero().unbind(1)
    k, b = some.nonzero()[p].unbind(1)
    # Inputs that do not matter are divided by 0, of any sign, and have no limit.
    below, above = 1 / nearest[:, p, j].abs()
    return k, b, j, high[k, b, j] - below, low[k, b, j] + above


def pass_forward(layers: Sequence[Layer], domains: Domains) -> Passed:
    """Remove the trains that sums forbid, layer by layer.

    :return: the ends of what enters the layers, and of their sums."""
    passed = Passed()
    for i, layer in enumerate(layers):
        if layer.inputs is None:
            inputs = (domains.low[None], domains.high[None])
        else:
            inputs = find_ends(domains.sets[i - 1], layer.inputs, layer.inputs)
        sums = bound_sums(layer, *inputs)
        keep_possible(domains.sets[i], layer.table, sums)
        passed.append((inputs, sums))
    return passed


def _pass_backward(layers: Sequence[Layer], domains: Domains, passed: Passed) -> None:
    """Remove the trains and pixels that later layers forbid, from the last layer on."""
    for i in reversed(range(len(layers))):
        layer = layers[i]
        if not layer.weight.numel():
            continue
        inputs, sums = passed[i]
        k, b, j, low, high = limit_inputs(layer, domains.sets[i], sums, inputs)
        if layer.inputs is None:
            domains.low[b, j] = domains.low[b, j].maximum(low)
            domains.high[b, j] = domains.high[b, j].minimum(high)
        else:
            # What each train adds to sum k must lie between the ends.
            share = layer.inputs.T[k]
            h, v = ((share < low[:, None]) | (share > high[:, None])).nonzero().unbind(1)
            domains.sets[i - 1][b[h], j[h], v] = False


def _is_possible(domains: Domains) -> Tensor:
    """Tell the nodes [B] whose pixels and neurons all have a value left."""
    possible = (domains.low <= domains.high).all(1)
    for sets in domains.sets:
        possible &= sets.any(-1).all(-1)
    return possible


def _measure(domains: Domains) -> tuple[Tensor, Tensor]:
    """Return the number of trains that are left [B], and the width of all pixels [B]."""
    count = torch.stack([sets.flatten(1).sum(1) for sets in domains.sets]).sum(0)
    return count, (domains.high - domains.low).sum(1)


def propagate(
    layers: Sequence[Layer], domains: Domains, rounds: int = _ROUNDS
) -> tuple[Tensor, Tensor]:
    """Remove in place what no counterexample has, in rounds, until one changes nothing.

    :param rounds: the most rounds.
    :return: the nodes [B] that may have a counterexample, and the least margins [B, n],
        which are the sums of the last layer."""
    rows = domains.rows
    possible = torch.ones_like(rows, dtype=torch.bool)
    margins = domains.low.new_empty(domains.sets[-1].shape[:2])
    for _ in range(rounds):
        some = domains[rows]
        count, width = _measure(some)
        passed = pass_forward(layers, some)
        _, (least, _) = passed[-1]
        margins[rows] = least[0]

        left = _is_possible(some)
        if left.any():
            _pass_backward(layers, some, passed)
            left &= _is_possible(some)

        for part, smaller in zip(domains.parts, some.parts, strict=True):
            part[rows] = smaller
        possible[rows] = left

        # Nodes go on that are possible and have become smaller.
        new_count, new_width = _measure(some)
        narrower = new_width < (1 - _PIXEL_GAIN) * width
        rows = rows[left & ((new_count < count) | narrower)]
        if not len(rows):
            break
    return possible, margins
