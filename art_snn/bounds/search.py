"""Search for a counterexample, or for the proof that there is none, by branch and bound.

A node of the search has the spike trains that neurons may still fire, and the
intervals of pixels. Propagation refutes it, or gives a bound of its margin. The node
with the smallest bound is divided: into two halves of the trains of a neuron, or of
the interval of a pixel. In every node points are tried that its bounds point to. A
sample is safe when no node is left, and broken when the classifier is wrong at a
point."""

import sys
import time
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from art_snn.bounds.falsify import Falsifier, weigh
from art_snn.bounds.propagate import Domains, Passed, TrainTable, pass_forward, propagate
from art_snn.bounds.reduced import ConstraintProblem

_MOST_NODES = 2
"""Nodes that are divided at a time, at most."""
_CELLS = 2**19
"""Trains and neurons of all sets of these nodes together, at most."""
_CANDIDATES = (16, 24, 8)
"""Neurons whose two sides are tried: of the first layer, the next, and every other."""
_PIXELS = 32
"""Pixels whose two sides are tried."""
_TRIAL_ROUNDS = 2
"""Rounds of propagation for halves that are only tried."""
_BITS = 0.1
"""What all that neurons after the first layer may do is worth, in units of the margin."""
_STARTS = ((8, 16), (96, inf))
"""Descents around the sample, and how many divisions there are before the next ones."""
_NARROWEST = 8
"""A pixel is divided only if it changes a current by more than rounding, times this."""

_Divisions = Iterator[tuple[Tensor, Domains, Domains]]
"""For every division whether it divides anything in each node, bool [B], and the first
and the second halves of all nodes."""


def _begin(problem: ConstraintProblem) -> tuple[Domains, Tensor, Tensor]:
    """Make a node for every class that a pass forward leaves, and propagate.

    :return: the nodes, whether a counterexample may be there, and the least margins
        [B, n]."""
    _, (least, _) = pass_forward(problem.layers, problem.root[:])[-1]
    # Class k can be ahead only if z_y - z_k <= 0 for some point.
    classes = (least[0, 0] <= 0).nonzero()[:, 0]
    nodes = problem.root[torch.zeros_like(classes)]
    ahead = one_hot(classes, least.shape[2]) > 0
    nodes.sets[-1].copy_(torch.stack([~ahead, ahead], -1))
    return nodes, *propagate(problem.layers, nodes)


@torch.no_grad()
def bound_margin(problem: ConstraintProblem) -> float:
    """Bound the margin from below; the smallest number above 0 if all classes are refuted."""
    nodes, possible, margins = _begin(problem)
    if not possible.any():
        return sys.float_info.min
    return float(margins[nodes.rows, nodes.classes][possible].min())


def select_half(table: TrainTable, sets: Tensor, middle: Tensor) -> Tensor:
    """Select about half of the trains in sets [B, V] of several: by current, count or step.

    :param middle: of the current of neurons whose current is constant [B].
    :return: bool [B, V], which may also have trains that are in no set."""
    if table.cuts is not None:
        return _select_below(table.cuts, sets, middle)

    # Trains of different counts are divided at the middle of the counts.
    counts = table.trains.sum(1)
    least = counts.where(sets, inf).amin(1)
    most = counts.where(sets, -inf).amax(1)
    by_count = counts <= ((least + most) / 2).floor()[:, None]

    # Trains of one count are divided at the first step at which they differ.
    fires = (table.trains * sets[..., None]).amax(1)
    always_fires = table.trains.where(sets[..., None], inf).amin(1)
    step = (fires > always_fires).int().argmax(1)
    by_step = table.trains.T[step] == 0
    return torch.where((least < most)[:, None], by_count, by_step)


def _select_below(cuts: Tensor, sets: Tensor, middle: Tensor) -> Tensor:
    """Select the pieces [B, V] below the cut that is nearest to the middle.

    The cut lies between two pieces of the set."""
    size = sets.shape[1]
    index = torch.arange(size, device="cpu")

    first = sets.int().argmax(1)
    last = size - 1 - sets.flip(1).int().argmax(1)
    # Cut v is that between pieces v and v + 1: first <= v < last.
    inside = (index[:-1] >= first[:, None]) & (index[:-1] < last[:, None])
    distance = (cuts - middle[:, None]).abs().where(inside, inf)
    return index <= distance.argmin(1)[:, None]


def merge_halves(halves: Domains, possible: Tensor, size: int) -> Domains:
    """Return what a counterexample may do: it is in one half of every division of its node.

    :param halves: of every division the first halves of all nodes, then the second ones.
    :param possible: the halves in which there may be one.
    :param size: the number of nodes."""
    exists = possible.view(-1, 2, size, 1)

    def split(part: Tensor) -> Tensor:
        """View by division, half and node."""
        return part.view(*exists.shape[:3], *part.shape[1:])

    # The union of both halves, and the intersection over all divisions.
    low = split(halves.low).where(exists, inf).amin(1).amax(0)
    high = split(halves.high).where(exists, -inf).amax(1).amin(0)
    sets = [(split(part) & exists[..., None]).any(1).all(0) for part in halves.sets]
    return Domains(low, high, sets)


def _count_bits(nodes: Domains) -> Tensor:
    """Count what neurons may do, in bits [L, B], of layers after the first, or of one alone."""
    several = nodes.sets[1:-1] or nodes.sets[:1]

    # A neuron with V trains left has log2 V bits.
    bits = [sets.sum(-1).clamp_min(1).log2().sum(1) for sets in several]
    return torch.stack(bits).clamp_min(1e-6)


class Search:
    """The search around one sample.

    Its `heap` has the open nodes, that with the smallest bound of the margin first.
    `nodes` counts the divisions, and `stuck` the nodes that nothing divides any more.
    Descents also begin at `start`, the nodes of the classes that the first propagation
    leaves."""

    def __init__(self, problem: ConstraintProblem, falsifier: Falsifier) -> None:
        self.layers = problem.layers
        self.falsifier = falsifier
        self.heap: list[tuple[float, int, Domains]] = []
        self.order = count()
        self.nodes = 0
        self.stuck = 0

        # Where sets are large few nodes are divided at a time, and of `fewer` neurons and
        # pixels one is tried.
        cells = sum(sets.numel() for sets in problem.root.sets)
        self.batch = max(1, min(_MOST_NODES, _CELLS // cells))
        self.fewer = max(1, cells // _CELLS)

        self._push(*_begin(problem))
        roots = [node for _, _, node in self.heap] or [problem.root]
        self.start = Domains.join(roots * -(-self.batch // len(roots)))

    def _push(self, nodes: Domains, possible: Tensor, margins: Tensor) -> None:
        """Add the nodes that may have a counterexample."""
        least = margins[nodes.rows, nodes.classes].tolist()
        for b in possible.nonzero()[:, 0].tolist():
            heappush(self.heap, (least[b], next(self.order), nodes[b : b + 1]))

    def decide(self, end: float, most: float) -> bool | None:
        """Decide the sample: True if it is safe, False if a point breaks it, None if open.

        :param end: the time, of time.monotonic, at which the search stops.
        :param most: the number of divisions at which it stops."""

        def may_continue() -> bool:
            return self.nodes < most and time.monotonic() < end

        for descents, pause in _STARTS:
            if not (self.heap or self.stuck):
                return True

            for _ in range(descents):
                if may_continue() and self.falsifier.visit(self.layers, self.start):
                    return False

            while self.heap and self.nodes < pause and may_continue():
                size = min(self.batch, len(self.heap))
                nodes = Domains.join([heappop(self.heap)[2] for _ in range(size)])
                self.nodes += size
                for boxes in (nodes, self.start):
                    if self.falsifier.visit(self.layers, boxes):
                        return False
                self._branch(nodes)
        return None if self.heap or self.stuck else True

    def _branch(self, nodes: Domains) -> None:
        """Replace nodes by the two halves of the division that raises their bounds most."""
        passed = pass_forward(self.layers, nodes)
        shares, slopes = weigh(self.layers, nodes, passed)
        divisions = [
            *self._divide_neurons(nodes, passed, shares),
            *self._divide_pixels(nodes, slopes),
        ]
        exists = torch.stack([exists for exists, _, _ in divisions])
        is_divisible = exists.any(0)
        self.stuck += int((~is_divisible).sum())

        # All halves are propagated together.
        halves = Domains.join([half for _, *both in divisions for half in both])
        possible, margins = propagate(self.layers, halves, _TRIAL_ROUNDS)
        gain = self._measure_gain(nodes, passed, halves, margins)

        # The best division has the largest product of both gains. An impossible half
        # counts as no gain, since merging the halves removes it whatever is divided.
        gain = gain.clamp_min(1e-6).where(possible.view_as(gain), 0.0)
        best = gain.prod(1).where(exists, -1.0).argmax(0)

        # Half h of division d of node b is row (2 d + h) * size + b.
        size = len(nodes)
        first = 2 * best * size + nodes.rows
        rows = torch.cat([first, first + size])[is_divisible.repeat(2)]

        # A counterexample of a child is also in the halves that other divisions leave.
        children = halves[rows]
        merged = merge_halves(halves, possible, size)[rows % size]
        torch.maximum(children.low, merged.low, out=children.low)
        torch.minimum(children.high, merged.high, out=children.high)
        for sets, kept in zip(children.sets, merged.sets, strict=True):
            sets &= kept
        self._push(children, *propagate(self.layers, children))

    def _divide_neurons(
        self, nodes: Domains, passed: Passed, shares: Sequence[Tensor]
    ) -> _Divisions:
        """Divide the trains of the neurons with the largest shares."""
        rows = nodes.rows
        for i, share in enumerate(shares):
            # A layer may have no open neuron.
            neurons = share.shape[1]
            if not neurons:
                continue

            sets = nodes.sets[i]
            is_open = sets.sum(-1) > 1
            candidates = _CANDIDATES[min(i, len(_CANDIDATES) - 1)]
            number = min(max(1, candidates // self.fewer), neurons)
            # Of neurons without a share any open one is better than none.
            best = share.add(1e-12).where(is_open, 0.0).topk(number).indices

            # The first sum is that of the first step: the current itself.
            _, (low, high) = passed[i]
            middles = (low[0] + high[0]) / 2
            for j in best.unbind(1):
                half = select_half(self.layers[i].table, sets[rows, j], middles[rows, j])

                left = nodes[:]
                right = nodes[:]
                left.sets[i][rows, j] &= half
                right.sets[i][rows, j] &= ~half
                yield is_open[rows, j], left, right

    def _divide_pixels(self, nodes: Domains, slopes: Tensor) -> _Divisions:
        """Divide the pixels that change the margin most, at the middle of their intervals."""
        rows = nodes.rows
        first = self.layers[0]
        span = nodes.high - nodes.low
        middle = (nodes.low + nodes.high) / 2

        # A pixel changes all currents of the first layer together by width * sum |W|.
        # Without an open neuron there no pixel changes anything.
        change = span * first.weight.abs().sum(0)
        slack = max(first.slack[0].tolist(), default=0.0)
        is_wide = change > _NARROWEST * slack

        # The margin changes by width * slope. Where slopes are 0 the currents decide.
        effect = (span * slopes.abs()).add(change, alpha=1e-12).where(is_wide, -1.0)
        number = min(max(1, _PIXELS // self.fewer), span.shape[1])
        for j in effect.topk(number).indices.unbind(1):
            left = nodes[:]
            right = nodes[:]
            left.high[rows, j] = middle[rows, j]
            right.low[rows, j] = middle[rows, j]
            yield is_wide[rows, j], left, right

    def _measure_gain(
        self, nodes: Domains, passed: Passed, halves: Domains, margins: Tensor
    ) -> Tensor:
        """Measure what each half of every division adds to the bound of its node [D, 2, B].

        It is the rise of the margin, and the share of what neurons may do that is
        ruled out.

        :param margins: of all halves [D * 2 * B, n]."""
        size = len(nodes)
        copies = len(halves) // size
        _, (least, _) = passed[-1]
        before = least[0, nodes.rows, nodes.classes]

        # `left` is the share of the bits that is not ruled out, a mean over layers.
        classes = nodes.classes.repeat(copies)
        left = (_count_bits(halves) / _count_bits(nodes).repeat(1, copies)).mean(0)
        after = margins[halves.rows, classes] + _BITS * (1 - left)
        return after.view(-1, 2, size) - before
