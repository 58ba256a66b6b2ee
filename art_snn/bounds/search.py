"""Search for a counterexample, or the proof that there is none, by branching on spike trains.

In every branch points are tried that its bounds point to."""

import sys
from collections.abc import Callable, Sequence
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


def classes_of(nodes: Domains) -> Tensor:
    """The class [B] whose counterexamples are looked for."""
    return nodes.sets[-1][:, :, 1].int().argmax(1)


def weigh(layers: Sequence[Layer], nodes: Domains, passed: Passed) -> tuple[list[Tensor], Tensor]:
    """Shares of widths by neurons of every layer [B, n], slopes of the margin by pixels [B, m].

    The width of a sum is shared among inputs by how much each of them can change it: that of the
    margin, and of sums of neurons in how far no value left allows them, squared."""
    ahead = nodes.low.new_zeros(nodes.sets[-1].shape[:2])
    ahead[torch.arange(len(ahead), device="cpu"), classes_of(nodes)] = 1
    slope, share, shares, last = ahead, ahead, list[Tensor](), ahead
    for i in reversed(range(len(layers))):
        layer, (ends, (low, high)) = layers[i], passed[i]
        if shares:
            need = find_ends(nodes.sets[i], layer.values.low, layer.values.high)
            beyond = torch.maximum(need[0] - low, high - need[1]) / (high - low)
            share = share + beyond.clamp(0, 1).amax(0).square()
        spread, size = (ends[1] - ends[0]).sum(0), layer.weight.abs()
        width = (spread @ size.T).clamp_min(1e-30)
        slope = (slope * last / width if shares else slope) @ layer.weight
        share, last = spread * ((share / width) @ size), spread
        shares.append(share)
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
        self.classifier, self.network, self.y = classifier, classifier.model, y
        self.low, self.high = (end.to(x.device) for end in ends)
        x = x.clamp(self.low, self.high)
        self.draws = torch.Generator().manual_seed(seed)
        self.points, self.margins = self.first = x, self._measure(x)
        self.visits = 0

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
        self.visits, nodes = self.visits + 1, Domains.join([nodes, nodes])
        span = nodes.high - nodes.low
        points = nodes.low + span * self._draw(*span.shape).to(span)
        corners = torch.where(self._draw(*span.shape).cpu() < 0.5, nodes.low, nodes.high)
        points[::2] = corners[::2]
        for radius in _RADII:
            low = torch.maximum(nodes.low, points - radius * span)
            boxes = replace(nodes, low=low, high=torch.minimum(nodes.high, points + radius * span))
            boxes = boxes[:]
            _, slopes = weigh(layers, boxes, pass_forward(layers, boxes))
            ends = torch.where(slopes > 0, boxes.low, boxes.high)
            size = slopes.abs()
            strong = size >= size.quantile(float(self._draw(1)) * 0.8, 1, keepdim=True)
            some = self._draw(*span.shape).cpu() < 0.5
            tried = torch.cat([ends, ends.where(strong, points), ends.where(some, points)])
            shaped = tried.view(-1, *self.low.shape[1:]).to(self.low)
            margins = self.try_points(torch.cat([shaped, self._mutate()]))
            if self.margins[0] <= 0:
                return True
            best = margins[: len(tried)].view(3, -1).argmin(0)
            points = tried.view(3, *points.shape)[best, torch.arange(len(points), device="cpu")]
        return False

    def _mutate(self) -> Tensor:
        """Points that take some pixels from another one, and some from anywhere."""
        parent = torch.randint(len(self.points), (2, _MUTANTS), generator=self.draws, device="cpu")
        parents, others = self.points[parent.to(self.points.device)]
        shape = parents.shape[1:]
        share, often, outer = self._draw(3, _MUTANTS, *(1,) * len(shape))
        share = share.where(share < 0.5, 0.0)
        parents = torch.where(self._draw(_MUTANTS, *shape) < share, others, parents)
        ends = torch.where(self._draw(_MUTANTS, *shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(_MUTANTS, *shape) * (self.high - self.low)
        new = torch.where(outer < 0.7, ends, inside)
        return torch.where(self._draw(_MUTANTS, *shape) < 0.3 * often**2, new, parents)


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
    index = torch.arange(sets.shape[1], device="cpu")
    if values.cuts is not None:
        first, last = sets.int().argmax(1), sets.shape[1] - 1 - sets.flip(1).int().argmax(1)
        inside = (index[:-1] >= first[:, None]) & (index[:-1] < last[:, None])
        distance = (values.cuts - middle[:, None]).abs().where(inside, torch.inf)
        return index <= distance.argmin(1)[:, None]
    counts = values.trains.sum(1)
    least = counts.where(sets, torch.inf).amin(1)
    most = counts.where(sets, -torch.inf).amax(1)
    some = (values.trains * sets[..., None]).amax(1) > (
        values.trains.where(sets[..., None], torch.inf).amin(1)
    )
    steps = values.trains.T[some.int().argmax(1)] == 0
    by_count = counts <= ((least + most) / 2).floor()[:, None]
    return torch.where((least < most)[:, None], by_count, steps)


def unite(halves: Domains, possible: Tensor, count: int) -> Domains:
    """What a counterexample of nodes [count] may do, which is in one half of every division."""
    there = possible.view(-1, 2, count, 1)
    low = halves.low.view(*there.shape[:3], -1).where(there, torch.inf).amin(1).amax(0)
    high = halves.high.view(*there.shape[:3], -1).where(there, -torch.inf).amax(1).amin(0)
    sets = [
        (part.view(*there.shape[:3], *part.shape[1:]) & there[..., None]).any(1).all(0)
        for part in halves.sets
    ]
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
        self.cells = sum(sets.numel() for sets in reduced.root.sets)
        self.batch = max(1, min(_MOST_NODES, _CELLS // self.cells))
        self.heap: list[tuple[float, int, Domains]] = []
        self.order, self.nodes, self.stuck = count(), 0, 0
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
        tried, exists = list[Domains](), list[Tensor]()
        shares, slopes = weigh(self.layers, nodes, passed)
        index, fewer = torch.arange(len(nodes.low), device="cpu"), max(1, self.cells // _CELLS)
        for i, share in enumerate(shares):
            several = nodes.sets[i].sum(-1) > 1
            number = max(1, _CANDIDATES[min(i, len(_CANDIDATES) - 1)] // fewer)
            if share.shape[1] == 0:
                continue
            best = share.add(1e-12).where(several, 0.0).topk(min(number, share.shape[1])).indices
            for j in best.unbind(1):
                sets, (low, high) = nodes.sets[i][index, j], passed[i][1]
                middle = (low[0, index, j] + high[0, index, j]) / 2
                half = halve(self.layers[i].values, sets, middle)
                exists.append(several[index, j])
                for part in (half, ~half):
                    tried.append(nodes[index])
                    tried[-1].sets[i][index, j] &= part
        span, middle = nodes.high - nodes.low, (nodes.low + nodes.high) / 2
        change = span * self.layers[0].weight.abs().sum(0)
        # Without an open neuron in the first layer no pixel changes anything.
        slack = max(self.layers[0].slack[0].tolist(), default=0.0)
        wide = change > _NARROWEST * slack
        effect = (span * slopes.abs()).add(change, alpha=1e-12).where(wide, -1.0)
        for j in effect.topk(min(max(1, _PIXELS // fewer), span.shape[1])).indices.unbind(1):
            exists.append(wide[index, j])
            tried += [nodes[index], nodes[index]]
            tried[-2].high[index, j] = tried[-1].low[index, j] = middle[index, j]
        divisible = torch.stack(exists).any(0)
        self.stuck += int((~divisible).sum())
        halves = Domains.join(tried)
        possible, margins = propagate(self.layers, halves, _TRIAL_ROUNDS)
        classes = classes_of(nodes)[:, None]
        bounds = passed[-1][1][0][0].gather(1, classes)[:, 0]
        margins = margins.gather(1, classes.repeat(len(tried), 1))[:, 0]
        left = (_count_bits(halves) / _count_bits(nodes).repeat(1, len(tried))).mean(0)
        gain = (margins + _BITS * (1 - left)).view(-1, 2, len(index)) - bounds
        # A half that is impossible counts by the union already.
        gain = gain.clamp_min(1e-6).where(possible.view_as(gain), 0.0)
        score = gain.prod(1).where(torch.stack(exists), -1.0)
        division = score.argmax(0)
        rows = torch.cat([(2 * division + side) * len(index) + index for side in (0, 1)])
        rows = rows[divisible.repeat(2)]
        children, both = halves[rows], unite(halves, possible, len(index))[rows % len(index)]
        torch.maximum(children.low, both.low, out=children.low)
        torch.minimum(children.high, both.high, out=children.high)
        for sets, kept in zip(children.sets, both.sets, strict=True):
            sets &= kept
        possible, margins = propagate(self.layers, children)
        self._push(children, possible, margins)
