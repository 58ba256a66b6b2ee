"""Search for a counterexample, or the proof that there is none, by branching on spike trains.

In every branch points are tried that its bounds point to."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.bounds.propagate import (
    Choices,
    Domains,
    Ends,
    Layer,
    find_ends,
    pass_forward,
    propagate,
)
from art_snn.bounds.reduced import Reduced

_KEPT = 16
_MUTANTS = 64
_LASTS = 8
"""Visits until all points but the sample are forgotten."""
_RADII = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Of the boxes around points, in the width of the whole."""


Passed = Sequence[tuple[Ends, Ends]]
"""Ends of what enters every layer, and of its sums, as a pass forward has found them."""
_Division = tuple[Tensor, Domains, Domains]
"""Whether it divides anything in each node, bool [B], and both halves of all nodes."""


def classes_of(nodes: Domains) -> Tensor:
    """The class [B] whose counterexamples are looked for."""
    return nodes.sets[-1][:, :, 1].int().argmax(1)


def weigh(layers: Sequence[Layer], nodes: Domains, passed: Passed) -> tuple[list[Tensor], Tensor]:
    """Shares of widths by neurons of every layer [B, n], slopes of the margin by pixels [B, m].

    The width of a sum is shared among inputs by how much each of them can change it: that of the
    margin, and of sums of neurons in how far no value left allows them, squared."""
    classes = classes_of(nodes)
    ahead = nodes.low.new_zeros(nodes.sets[-1].shape[:2])
    ahead[torch.arange(len(ahead), device="cpu"), classes] = 1

    slope, share, last = ahead, ahead, ahead
    shares = list[Tensor]()
    for i in reversed(range(len(layers))):
        layer = layers[i]
        inputs, (low, high) = passed[i]
        if shares:
            need_low, need_high = find_ends(nodes.sets[i], layer.values.low, layer.values.high)
            beyond = torch.maximum(need_low - low, high - need_high) / (high - low)
            share = share + beyond.clamp(0, 1).amax(0).square()

        spread = (inputs[1] - inputs[0]).sum(0)
        size = layer.weight.abs()
        width = (spread @ size.T).clamp_min(1e-30)
        if shares:
            slope = slope * last / width
        slope = slope @ layer.weight
        share = spread * ((share / width) @ size)
        shares.append(share)
        last = spread
    return shares[:-1][::-1], slope


class Falsifier:
    """Tries points around a sample, and keeps the best of them.

    :param x: [1, ...].
    :param y: its class.
    :param ends: the least and the largest points, of the dtype of the network.
    :param seed: of all draws."""

    def __init__(
        self, classifier: PyTorchClassifier, x: Tensor, y: int, ends: Ends, seed: int
    ) -> None:
        self.classifier, self.network = classifier, classifier.model
        self.y = y
        self.low, self.high = (end.to(x.device) for end in ends)
        self.draws = torch.Generator().manual_seed(seed)
        self.visits = 0

        x = x.clamp(self.low, self.high)
        self.first = x, self._measure(x)
        self.points, self.margins = self.first

    @property
    def best(self) -> np.ndarray:
        """The point of the smallest margin [1, ...]."""
        return self.points[:1].cpu().numpy()

    @torch.no_grad()
    def _measure(self, points: Tensor) -> Tensor:
        """The logit of the class less the largest other one [M], above 0 where it is predicted."""
        z = self.network(points).double().cpu()
        others = z.index_fill(1, torch.tensor(self.y, device="cpu"), -torch.inf).amax(1)
        margins: Tensor = z[:, self.y] - others
        return margins.where(z.argmax(1) != self.y, margins.clamp_min(1e-30))

    def try_points(self, points: Tensor) -> Tensor:
        """The margins of points [M, ...] moved into the box; the best are kept."""
        points = points.clamp(self.low, self.high)
        margins = self._measure(points)
        self.points = torch.cat([points, self.points])
        self.margins = torch.cat([margins, self.margins])
        best = self.margins.argsort(stable=True)[:_KEPT]
        self.points, self.margins = self.points[best], self.margins[best]
        # Alone a sample may be computed in another order.
        while self.margins[0] <= 0 and self.classifier.predict(self.best).argmax() == self.y:
            self.points, self.margins = self.points[1:], self.margins[1:]
        return margins

    def _draw(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.draws, device="cpu").to(self.low)

    @torch.no_grad()
    def visit(self, layers: Sequence[Layer], nodes: Domains) -> bool:
        """Descend from random points of nodes, along slopes in smaller and smaller boxes.

        Bounds in a box around a point tell by how much the margin changes there, which a gradient
        of a step function does not. True where the classifier is wrong at one of the points."""
        if self.visits % _LASTS == 0:
            self.points, self.margins = self.first
        self.visits += 1

        nodes = Domains.join([nodes, nodes])
        span = nodes.high - nodes.low
        points = nodes.low + span * self._draw(*span.shape).to(span)
        corners = torch.where(self._draw(*span.shape).cpu() < 0.5, nodes.low, nodes.high)
        points[::2] = corners[::2]
        for radius in _RADII:
            tried = self._descend(layers, nodes, points, radius * span)
            shaped = tried.flatten(0, 1).view(-1, *self.low.shape[1:]).to(self.low)
            margins = self.try_points(torch.cat([shaped, self._mutate()]))
            if self.margins[0] <= 0:
                return True
            best = margins[: len(shaped)].view(3, -1).argmin(0)
            points = tried[best, torch.arange(len(points), device="cpu")]
        return False

    def _descend(
        self, layers: Sequence[Layer], nodes: Domains, points: Tensor, reach: Tensor
    ) -> Tensor:
        """Three points [3, B, m] for each of some points [B, m]: ends of boxes around them.

        They are those where the slopes say that the margin is smallest: all pixels, the pixels of
        the steepest slopes, and random ones.

        :param reach: of the boxes to either side [B, m]."""
        low = torch.maximum(nodes.low, points - reach)
        high = torch.minimum(nodes.high, points + reach)
        boxes = replace(nodes, low=low, high=high)[:]
        _, slopes = weigh(layers, boxes, pass_forward(layers, boxes))

        ends = torch.where(slopes > 0, boxes.low, boxes.high)
        size = slopes.abs()
        strong = size >= size.quantile(float(self._draw(1)) * 0.8, 1, keepdim=True)
        some = self._draw(*points.shape).cpu() < 0.5
        return torch.stack([ends, ends.where(strong, points), ends.where(some, points)])

    def _mutate(self) -> Tensor:
        """Points that take some pixels from another one, and some from anywhere."""
        parent = torch.randint(len(self.points), (2, _MUTANTS), generator=self.draws, device="cpu")
        parents, others = self.points[parent.to(self.points.device)]
        shape = parents.shape[1:]
        share, often, outer = self._draw(3, _MUTANTS, *(1,) * len(shape))

        share = share.where(share < 0.5, 0.0)
        crossed = self._draw(_MUTANTS, *shape) < share
        parents = torch.where(crossed, others, parents)

        ends = torch.where(self._draw(_MUTANTS, *shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(_MUTANTS, *shape) * (self.high - self.low)
        new = torch.where(outer < 0.7, ends, inside)
        changed = self._draw(_MUTANTS, *shape) < 0.3 * often**2
        return torch.where(changed, new, parents)


_MOST_NODES, _CELLS = 2, 2**19
"""Nodes at a time, at most, and what their sets hold together."""
_CANDIDATES, _PIXELS = (16, 24, 8), 32
"""Neurons whose two sides are tried, of the first layer, the next, and every other; pixels."""
_TRIAL_ROUNDS = 2
_BITS = 0.1
"""What all that neurons after the first layer may do is worth, in units of the margin."""
_STARTS = (8, 16), (96, inf)
"""Descents around the sample, and how many divisions there are before the next ones."""
_NARROWEST = 8
"""Times rounding, the change of a current by a pixel that is not divided any more."""


def _begin(reduced: Reduced) -> tuple[Domains, Tensor, Tensor]:
    """A node for every class that may be ahead of the true one, as far as a pass forward tells.

    They are propagated: where there may be a counterexample, and the least margins [B, n]."""
    least = pass_forward(reduced.layers, reduced.root[:])[-1][1][0][0, 0]
    classes = (least <= 0).nonzero()[:, 0]
    nodes = reduced.root[torch.zeros_like(classes)]
    ahead = torch.zeros(nodes.sets[-1].shape[:2], dtype=torch.bool, device="cpu")
    ahead[torch.arange(len(classes), device="cpu"), classes] = True
    nodes.sets[-1].copy_(torch.stack([~ahead, ahead], -1))
    return nodes, *propagate(reduced.layers, nodes)


@torch.no_grad()
def bound_margin(reduced: Reduced) -> float:
    """A lower bound of the margin; the smallest number above 0 where all else is refuted."""
    nodes, possible, margins = _begin(reduced)
    if not possible.any():
        return sys.float_info.min
    return float(margins.gather(1, classes_of(nodes)[:, None])[possible].min())


def halve(values: Choices, sets: Tensor, middle: Tensor) -> Tensor:
    """One half of sets [B, V] of several values, by current, by count, or by a step, bool [B, V].

    :param middle: of the current of neurons whose currents have cuts [B]."""
    if values.cuts is not None:
        return _halve_currents(values.cuts, sets, middle)

    counts = values.trains.sum(1)
    least = counts.where(sets, torch.inf).amin(1)
    most = counts.where(sets, -torch.inf).amax(1)
    by_count = counts <= ((least + most) / 2).floor()[:, None]

    fires = (values.trains * sets[..., None]).amax(1)
    is_silent = values.trains.where(sets[..., None], torch.inf).amin(1)
    step = (fires > is_silent).int().argmax(1)
    by_step = values.trains.T[step] == 0
    return torch.where((least < most)[:, None], by_count, by_step)


def _halve_currents(cuts: Tensor, sets: Tensor, middle: Tensor) -> Tensor:
    """The values [B, V] below the cut that is nearest to the middle, among those between values."""
    size = sets.shape[1]
    index = torch.arange(size, device="cpu")
    first = sets.int().argmax(1)
    last = size - 1 - sets.flip(1).int().argmax(1)
    inside = (index[:-1] >= first[:, None]) & (index[:-1] < last[:, None])
    distance = (cuts - middle[:, None]).abs().where(inside, torch.inf)
    return index <= distance.argmin(1)[:, None]


def unite(halves: Domains, possible: Tensor, count: int) -> Domains:
    """What a counterexample of nodes [count] may do, which is in one half of every division."""
    there = possible.view(-1, 2, count, 1)

    def split(part: Tensor) -> Tensor:
        """By division, half and node."""
        return part.view(*there.shape[:3], *part.shape[1:])

    low = split(halves.low).where(there, torch.inf).amin(1).amax(0)
    high = split(halves.high).where(there, -torch.inf).amax(1).amin(0)
    sets = [(split(part) & there[..., None]).any(1).all(0) for part in halves.sets]
    return Domains(low, high, tuple(sets))


def _count_bits(nodes: Domains) -> Tensor:
    """How much neurons may do, in bits [L, B], of layers after the first, or of one alone."""
    several = nodes.sets[1:-1] or nodes.sets[:1]
    bits = [sets.sum(-1).clamp_min(1).log2().sum(1) for sets in several]
    return torch.stack(bits).clamp_min(1e-6)


class Search:
    """The open nodes of one sample, the one with the smallest bound first."""

    def __init__(self, reduced: Reduced, falsifier: Falsifier) -> None:
        self.layers, self.falsifier = reduced.layers, falsifier
        cells = sum(sets.numel() for sets in reduced.root.sets)
        self.batch = max(1, min(_MOST_NODES, _CELLS // cells))
        self.fewer = max(1, cells // _CELLS)
        """Of how many neurons and pixels one is tried, where there are very many."""
        self.heap: list[tuple[float, int, Domains]] = []
        self.order = count()
        self.nodes = 0
        self.stuck = 0
        self._push(*_begin(reduced))
        roots = [node for _, _, node in self.heap] or [reduced.root]
        self.start = Domains.join(roots * -(-self.batch // len(roots)))

    def _push(self, nodes: Domains, possible: Tensor, margins: Tensor) -> None:
        least = margins.gather(1, classes_of(nodes)[:, None])[:, 0].tolist()
        for b in possible.nonzero()[:, 0].tolist():
            heappush(self.heap, (least[b], next(self.order), nodes[b : b + 1]))

    def decide(self, go_on: Callable[[int], bool]) -> bool | None:
        """True where the sample is safe, False where a point breaks it, None where it is open.

        :param go_on: whether to, after that many divisions."""
        for starts, most in _STARTS:
            if not (self.heap or self.stuck):
                return True
            for _ in range(starts):
                if go_on(self.nodes) and self.falsifier.visit(self.layers, self.start):
                    return False
            while self.heap and self.nodes < most and go_on(self.nodes):
                best = [heappop(self.heap) for _ in range(min(self.batch, len(self.heap)))]
                nodes = Domains.join([node for _, _, node in best])
                self.nodes += len(best)
                if any(self.falsifier.visit(self.layers, boxes) for boxes in (nodes, self.start)):
                    return False
                self._branch(nodes, pass_forward(self.layers, nodes))
        return None if self.heap or self.stuck else True

    def _branch(self, nodes: Domains, passed: Passed) -> None:
        """Replace nodes by two halves of each, of what raises both bounds most.

        What a division that is tried rules out is removed, whether or not it is the one."""
        shares, slopes = weigh(self.layers, nodes, passed)
        divisions = [*self._divide_neurons(nodes, passed, shares)]
        divisions += self._divide_pixels(nodes, slopes)
        exists = torch.stack([possible for possible, _, _ in divisions])
        divisible = exists.any(0)
        self.stuck += int((~divisible).sum())

        halves = Domains.join([half for _, *both in divisions for half in both])
        possible, margins = propagate(self.layers, halves, _TRIAL_ROUNDS)
        gain = self._measure_gain(nodes, passed, halves, margins)
        # A half that is impossible counts by the union already.
        gain = gain.clamp_min(1e-6).where(possible.view_as(gain), 0.0)
        best = gain.prod(1).where(exists, -1.0).argmax(0)

        size = len(nodes.low)
        index = torch.arange(size, device="cpu")
        rows = torch.cat([(2 * best + side) * size + index for side in (0, 1)])
        rows = rows[divisible.repeat(2)]
        children, both = halves[rows], unite(halves, possible, size)[rows % size]
        torch.maximum(children.low, both.low, out=children.low)
        torch.minimum(children.high, both.high, out=children.high)
        for sets, kept in zip(children.sets, both.sets, strict=True):
            sets &= kept
        self._push(children, *propagate(self.layers, children))

    def _divide_neurons(
        self, nodes: Domains, passed: Passed, shares: Sequence[Tensor]
    ) -> Iterator[_Division]:
        """Divisions of the sets of the neurons with the largest shares."""
        index = torch.arange(len(nodes.low), device="cpu")
        for i, share in enumerate(shares):
            if share.shape[1] == 0:
                continue
            several = nodes.sets[i].sum(-1) > 1
            usual = _CANDIDATES[min(i, len(_CANDIDATES) - 1)]
            number = min(max(1, usual // self.fewer), share.shape[1])
            best = share.add(1e-12).where(several, 0.0).topk(number).indices
            low, high = passed[i][1]
            for j in best.unbind(1):
                middle = (low[0, index, j] + high[0, index, j]) / 2
                first = halve(self.layers[i].values, nodes.sets[i][index, j], middle)
                left, right = nodes[index], nodes[index]
                left.sets[i][index, j] &= first
                right.sets[i][index, j] &= ~first
                yield several[index, j], left, right

    def _divide_pixels(self, nodes: Domains, slopes: Tensor) -> Iterator[_Division]:
        """Divisions of the boxes at the middle of the pixels that change the margin most."""
        index = torch.arange(len(nodes.low), device="cpu")
        span = nodes.high - nodes.low
        middle = (nodes.low + nodes.high) / 2
        first = self.layers[0]
        change = span * first.weight.abs().sum(0)
        # Without an open neuron in the first layer no pixel changes anything.
        slack = max(first.slack[0].tolist(), default=0.0)
        wide = change > _NARROWEST * slack
        effect = (span * slopes.abs()).add(change, alpha=1e-12).where(wide, -1.0)
        number = min(max(1, _PIXELS // self.fewer), span.shape[1])
        for j in effect.topk(number).indices.unbind(1):
            left, right = nodes[index], nodes[index]
            left.high[index, j] = middle[index, j]
            right.low[index, j] = middle[index, j]
            yield wide[index, j], left, right

    def _measure_gain(
        self, nodes: Domains, passed: Passed, halves: Domains, margins: Tensor
    ) -> Tensor:
        """What each half of every division adds to the bound of its node [D, 2, B].

        It is the rise of the margin, and the share of what neurons may do that is ruled out.

        :param margins: of all halves."""
        count = len(nodes.low)
        divisions = len(halves.low) // (2 * count)
        classes = classes_of(nodes)[:, None]
        bounds = passed[-1][1][0][0].gather(1, classes)[:, 0]
        rise = margins.gather(1, classes.repeat(2 * divisions, 1))[:, 0]
        left = (_count_bits(halves) / _count_bits(nodes).repeat(1, 2 * divisions)).mean(0)
        return (rise + _BITS * (1 - left)).view(divisions, 2, count) - bounds
