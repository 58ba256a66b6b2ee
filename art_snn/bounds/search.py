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
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor
from torch.nn.functional import one_hot

from art_snn.bounds.box import Ends
from art_snn.bounds.propagate import (
    Domains,
    Layer,
    Passed,
    TrainTable,
    find_ends,
    pass_forward,
    propagate,
)
from art_snn.bounds.reduced import ConstraintProblem

_KEPT = 16
"""Best points that are remembered."""
_MUTANTS = 64
_LASTS = 8
"""Visits until all points but the sample are forgotten."""
_RADII = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Radii of the boxes around points, as shares of the width of the node."""


def weigh(layers: Sequence[Layer], nodes: Domains, passed: Passed) -> tuple[list[Tensor], Tensor]:
    """Estimate what matters for the margin of B nodes, from the last layer to the pixels.

    The width of a sum is shared among its inputs by how much each of them can change it.
    It matters for the margin. It also matters as far as no train of the neuron allows it:
    that is the share of the width beyond what the trains need, squared.

    :return: shares of the widths by neurons of every layer [B, n], and slopes of the
        margin by pixels [B, m]."""
    # Only the margin of the class that is looked for counts.
    ahead = one_hot(nodes.classes, nodes.sets[-1].shape[1]).to(nodes.low)
    slope = ahead
    share = ahead
    after = ahead
    shares = list[Tensor]()
    for i in reversed(range(len(layers))):
        weight = layers[i].weight
        size = weight.abs()
        table = layers[i].table
        (least, most), (low, high) = passed[i]
        if shares:
            # The trains left need sums from need_low to need_high, of those from low
            # to high.
            need_low, need_high = find_ends(nodes.sets[i], table.low, table.high)
            beyond = torch.maximum(need_low - low, high - need_high) / (high - low)
            share = share + beyond.clamp(0, 1).amax(0).square()

        # An input j of width r_j changes a sum by |W_j| r_j at most, of its width |W| r.
        spread = (most - least).sum(0)
        width = (spread @ size.T).clamp_min(1e-30)
        if shares:
            # The slope of a neuron: the width of what it gives by that of what it gets.
            slope = slope * after / width
        slope = slope @ weight
        share = spread * ((share / width) @ size)
        shares.append(share)
        after = spread

    # The last entry is that of pixels.
    return shares[:-1][::-1], slope


class Falsifier:
    """Tries points around a sample, and keeps the best of them.

    :param x: the sample [1, ...].
    :param y: its class.
    :param ends: the least and the largest points, in the dtype of the network.
    :param seed: of all draws."""

    def __init__(
        self, classifier: PyTorchClassifier, x: Tensor, y: int, ends: Ends, seed: int
    ) -> None:
        self.classifier = classifier
        self.y = y
        self.low, self.high = [end.to(x.device) for end in ends]
        self.generator = torch.Generator().manual_seed(seed)
        self.visits = 0
        self.sample = x.clamp(self.low, self.high)
        self._forget()

    def _forget(self) -> None:
        """Forget all points but the sample."""
        self.points = self.sample
        self.margins = self._measure(self.sample)

    @property
    def best(self) -> np.ndarray:
        """The point of the smallest margin [1, ...]."""
        return self.points[:1].cpu().numpy()

    @torch.no_grad()
    def _measure(self, points: Tensor) -> Tensor:
        """Compute z_y - max z_k [M] of points, above 0 where class y is predicted."""
        z = self.classifier.model(points).double().cpu()
        others = z.index_fill(1, torch.tensor(self.y, device="cpu"), -inf).amax(1)
        margins: Tensor = z[:, self.y] - others
        # Of equal logits the first one is predicted.
        return margins.where(z.argmax(1) != self.y, margins.clamp_min(1e-30))

    def try_points(self, points: Tensor) -> Tensor:
        """Try points [M, ...] after they are moved into the box, and keep the best.

        :return: their margins [M]."""
        points = points.clamp(self.low, self.high)
        margins = self._measure(points)
        self.points = torch.cat([points, self.points])
        self.margins = torch.cat([margins, self.margins])

        best = self.margins.argsort(stable=True)[:_KEPT]
        self.points = self.points[best]
        self.margins = self.margins[best]

        # Alone a sample may be computed in another order, and be right.
        while self.margins[0] <= 0 and self.classifier.predict(self.best).argmax() == self.y:
            self.points = self.points[1:]
            self.margins = self.margins[1:]
        return margins

    def _draw(self, *shape: int) -> Tensor:
        """Draw numbers from 0 to 1."""
        return torch.rand(shape, generator=self.generator, device="cpu").to(self.low)

    @torch.no_grad()
    def visit(self, layers: Sequence[Layer], nodes: Domains) -> bool:
        """Descend from random points of nodes, along slopes in smaller and smaller boxes.

        A gradient of a step function does not tell by how much the margin changes in
        a box around a point. Bounds in that box do.

        :return: True if the classifier is wrong at one of the points."""
        if self.visits % _LASTS == 0:
            self._forget()
        self.visits += 1

        # Every other point is a corner.
        nodes = Domains.join([nodes, nodes])
        span = nodes.high - nodes.low
        points = nodes.low + span * self._draw(*span.shape).to(span)
        is_low = self._draw(*span.shape).cpu() < 0.5
        corners = torch.where(is_low, nodes.low, nodes.high)
        points[::2] = corners[::2]

        for radius in _RADII:
            tried = self._descend(layers, nodes, points, radius * span)
            shaped = tried.flatten(0, 1).view(-1, *self.low.shape[1:]).to(self.low)
            margins = self.try_points(torch.cat([shaped, self._mutate()]))
            if self.margins[0] <= 0:
                return True

            # Each point goes on from the best of its three.
            best = margins[: len(shaped)].view(3, -1).argmin(0)
            points = tried[best, nodes.rows]
        return False

    def _descend(
        self, layers: Sequence[Layer], nodes: Domains, points: Tensor, reach: Tensor
    ) -> Tensor:
        """Find three points [3, B, m] for each of some points [B, m], in a box around it.

        They move pixels to the ends where the slopes say that the margin is smallest: all
        pixels, the pixels of the steepest slopes, and random ones.

        :param reach: how far the boxes go to either side [B, m]."""
        low = torch.maximum(nodes.low, points - reach)
        high = torch.minimum(nodes.high, points + reach)
        boxes = replace(nodes, low=low, high=high)[:]
        passed = pass_forward(layers, boxes)
        _, slopes = weigh(layers, boxes, passed)

        ends = torch.where(slopes > 0, low, high)
        steepness = slopes.abs()
        share = float(self._draw(1)) * 0.8
        is_steep = steepness >= steepness.quantile(share, 1, keepdim=True)
        is_chosen = self._draw(*points.shape).cpu() < 0.5
        return torch.stack([ends, ends.where(is_steep, points), ends.where(is_chosen, points)])

    def _mutate(self) -> Tensor:
        """Make points that take some pixels from another point, and some from anywhere."""
        number = len(self.points)
        pairs = torch.randint(number, (2, _MUTANTS), generator=self.generator, device="cpu")
        parents, others = self.points[pairs.to(self.points.device)]
        shape = parents.shape

        # Each mutant has its own shares of pixels that cross over, and that change.
        crossing, changing, outer = self._draw(3, _MUTANTS, *(1,) * (len(shape) - 1))
        crossing = crossing.where(crossing < 0.5, 0.0)
        parents = torch.where(self._draw(*shape) < crossing, others, parents)

        # Most mutants change pixels to an end, the others to any value.
        ends = torch.where(self._draw(*shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(*shape) * (self.high - self.low)
        new = torch.where(outer < 0.7, ends, inside)
        is_changed = self._draw(*shape) < 0.3 * changing**2
        return torch.where(is_changed, new, parents)


_MOST_NODES = 2
"""Nodes that are divided at a time, at most."""
_CELLS = 2**19
"""Trains and neurons of all sets of these nodes together, at most."""
_CANDIDATES = (16, 24, 8)
"""Neurons whose two sides are tried: of the first layer, the next, and every other."""
_PIXELS = 32
"""Pixels whose two sides are tried."""
_TRIAL_ROUNDS = 2
_BITS = 0.1
"""What all that neurons after the first layer may do is worth, in units of the margin."""
_STARTS = ((8, 16), (96, inf))
"""Descents around the sample, and how many divisions there are before the next ones."""
_NARROWEST = 8
"""A pixel is divided only if it changes a current by more than rounding, times this."""


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
    return Domains(low, high, tuple(sets))


def _count_bits(nodes: Domains) -> Tensor:
    """Count what neurons may do, in bits [L, B], of layers after the first, or of one alone."""
    several = nodes.sets[1:-1] or nodes.sets[:1]
    bits = [sets.sum(-1).clamp_min(1).log2().sum(1) for sets in several]
    return torch.stack(bits).clamp_min(1e-6)


class Search:
    """The open nodes of one sample, of which that with the smallest bound is divided first."""

    def __init__(self, problem: ConstraintProblem, falsifier: Falsifier) -> None:
        self.layers = problem.layers
        self.falsifier = falsifier
        cells = sum(sets.numel() for sets in problem.root.sets)
        self.batch = max(1, min(_MOST_NODES, _CELLS // cells))
        self.fewer = max(1, cells // _CELLS)
        """Of so many neurons and pixels one is tried."""
        self.heap: list[tuple[float, int, Domains]] = []
        self.order = count()
        self.nodes = 0
        self.stuck = 0
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
                best = [heappop(self.heap) for _ in range(min(self.batch, len(self.heap)))]
                nodes = Domains.join([node for _, _, node in best])
                self.nodes += len(best)
                for boxes in (nodes, self.start):
                    if self.falsifier.visit(self.layers, boxes):
                        return False
                self._branch(nodes)
        return None if self.heap or self.stuck else True

    def _branch(self, nodes: Domains) -> None:
        """Replace nodes by two halves of each, by the division that raises both bounds most.

        What any division that is tried rules out is removed."""
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
        # An impossible half adds nothing here, since merging the halves removes it
        # already.
        gain = gain.clamp_min(1e-6).where(possible.view_as(gain), 0.0)
        best = gain.prod(1).where(exists, -1.0).argmax(0)

        # Half h of division d of node b is row (2 d + h) * size + b.
        size = len(nodes)
        first = 2 * best * size + nodes.rows
        rows = torch.cat([first, first + size])[is_divisible.repeat(2)]

        children = halves[rows]
        merged = merge_halves(halves, possible, size)[rows % size]
        torch.maximum(children.low, merged.low, out=children.low)
        torch.minimum(children.high, merged.high, out=children.high)
        for sets, kept in zip(children.sets, merged.sets, strict=True):
            sets &= kept
        self._push(children, *propagate(self.layers, children))

    def _divide_neurons(
        self, nodes: Domains, passed: Passed, shares: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, Domains, Domains]]:
        """Divide the trains of the neurons with the largest shares.

        :return: by division whether a node can be divided [B], and both halves of
            nodes."""
        rows = nodes.rows
        for i, share in enumerate(shares):
            if share.shape[1] == 0:
                continue

            sets = nodes.sets[i]
            is_open = sets.sum(-1) > 1
            candidates = _CANDIDATES[min(i, len(_CANDIDATES) - 1)]
            number = min(max(1, candidates // self.fewer), share.shape[1])
            best = share.add(1e-12).where(is_open, 0.0).topk(number).indices
            _, (low, high) = passed[i]
            middles = (low[0] + high[0]) / 2
            for j in best.unbind(1):
                middle = middles[rows, j]
                half = select_half(self.layers[i].table, sets[rows, j], middle)
                left = nodes[:]
                right = nodes[:]
                left.sets[i][rows, j] &= half
                right.sets[i][rows, j] &= ~half
                yield is_open[rows, j], left, right

    def _divide_pixels(
        self, nodes: Domains, slopes: Tensor
    ) -> Iterator[tuple[Tensor, Domains, Domains]]:
        """Divide the pixels that change the margin most, at the middle of their intervals.

        :return: as from :meth:`_divide_neurons`."""
        rows = nodes.rows
        first = self.layers[0]
        span = nodes.high - nodes.low
        middle = (nodes.low + nodes.high) / 2

        # A pixel changes all currents of the first layer together by width * sum |W|.
        # Without an open neuron there no pixel changes anything.
        change = span * first.weight.abs().sum(0)
        slack = max(first.slack[0].tolist(), default=0.0)
        is_wide = change > _NARROWEST * slack

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

        classes = nodes.classes.repeat(copies)
        bits = _count_bits(nodes).repeat(1, copies)
        left = (_count_bits(halves) / bits).mean(0)
        after = margins[halves.rows, classes] + _BITS * (1 - left)
        return after.view(-1, 2, size) - before
