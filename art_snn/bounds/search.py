"""Search for a counterexample, or the proof that there is none, by branching on spike trains."""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

import torch
from torch import Tensor

from art_snn.bounds.falsify import Falsifier, Passed, classes_of, weigh
from art_snn.bounds.propagate import Domains, Layer, pass_forward, propagate
from art_snn.bounds.reduced import Reduced
from art_snn.bounds.trains import Values

_MOST_NODES, _CELLS = 8, 2**19
"""Nodes at a time, at most, and what their sets hold together."""
_CANDIDATES = (4, 3, 1)
"""Neurons whose two sides are tried, of the last layer, of the one before, and of every other."""
_STARTS = 8
"""Descents before the first division."""
_NARROWEST = 1e-7
"""Pixels of such an interval, relative to their range, are not divided."""


def open_classes(layers: Sequence[Layer], root: Domains) -> Domains:
    """A node for every class that may be ahead of the true one, as far as a pass forward tells."""
    least = pass_forward(layers, root)[-1][1][0][0, 0]
    slack = layers[-1].slack[0]
    classes = ((least <= 0) & (slack > 0)).nonzero()[:, 0]
    nodes = root[torch.zeros(len(classes), dtype=torch.long)]
    ahead = torch.zeros(len(classes), len(slack), dtype=torch.bool)
    ahead[torch.arange(len(classes)), classes] = True
    nodes.sets[-1].copy_(torch.stack([~ahead, ahead], -1))
    return nodes


def halve(values: Values, sets: Tensor, middle: Tensor) -> Tensor:
    """One half of sets [B, V] of several values, by current, by count, or by a step, bool [B, V].

    :param middle: of the current of neurons whose currents have cuts [B]."""
    index = torch.arange(sets.shape[1])
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


def _narrow(halves: Domains, possible: Tensor) -> None:
    """Remove from halves what the two of another division of the same node do not have.

    :param possible: [C, 2, B] of C divisions of B nodes, in the order of the halves."""
    shape = possible.shape
    for part in halves.sets:
        several = part.view(*shape, *part.shape[1:])
        several &= (several & possible[..., None, None]).any(1).all(0)
    for part, worst in ((halves.low, torch.inf), (halves.high, -torch.inf)):
        several = part.view(*shape, part.shape[1])
        either = several.where(possible[..., None], worst)
        if worst > 0:
            torch.maximum(several, either.amin(1).amax(0), out=several)
        else:
            torch.minimum(several, either.amax(1).amin(0), out=several)


class Search:
    """The open nodes of one sample, the one with the smallest bound first."""

    def __init__(self, reduced: Reduced, falsifier: Falsifier) -> None:
        self.layers, root, self.falsifier = reduced.layers, reduced.root, falsifier
        cells = sum(sets.numel() for sets in root.sets)
        self.batch = max(1, min(_MOST_NODES, _CELLS // cells))
        self.heap: list[tuple[float, int, Domains]] = []
        self.order, self.nodes, self.stuck = count(), 0, 0
        nodes = open_classes(self.layers, root)
        self._push(nodes, *propagate(self.layers, nodes))

    def _push(self, nodes: Domains, possible: Tensor, margins: Tensor) -> None:
        least = margins.gather(1, classes_of(nodes)[:, None])[:, 0].tolist()
        for b in possible.nonzero()[:, 0].tolist():
            heappush(self.heap, (least[b], next(self.order), nodes[b : b + 1]))

    def run(self, go_on: Callable[[int], bool]) -> bool | None:
        """True where the sample is safe, False where a point breaks it, None where it is open.

        :param go_on: whether to, after that many nodes."""
        roots = [node for _, _, node in self.heap]
        start = Domains.join(roots * -(-self.batch // len(roots))) if roots else None
        for _ in range(_STARTS if roots else 0):
            if self.falsifier.visit(self.layers, start):
                return False
        while self.heap and go_on(self.nodes):
            best = [heappop(self.heap) for _ in range(min(self.batch, len(self.heap)))]
            nodes = Domains.join([node for _, _, node in best])
            self.nodes += len(best)
            possible, margins = propagate(self.layers, nodes)
            if not possible.any():
                continue
            nodes, margins = nodes[possible], margins[possible]
            for boxes in (nodes, start):
                if self.falsifier.visit(self.layers, boxes):
                    return False
            passed = pass_forward(self.layers, nodes)
            shares, _ = weigh(self.layers, nodes, passed)
            bounds = margins.gather(1, classes_of(nodes)[:, None])[:, 0]
            self._branch(nodes, passed, shares, bounds)
        return None if self.heap or self.stuck else True

    def _branch(self, nodes: Domains, passed: Passed, shares: list[Tensor], bounds: Tensor) -> None:
        """Replace nodes by two halves of each, of the neuron that raises both bounds most.

        What no half of some neuron has left, is removed from both."""
        tried, exists = list[Domains](), list[Tensor]()
        every = torch.arange(len(nodes.low))
        for i, share in enumerate(shares):
            several = nodes.sets[i].sum(-1) > 1
            number = _CANDIDATES[min(len(shares) - 1 - i, len(_CANDIDATES) - 1)]
            if share.shape[1] == 0:
                continue
            best = share.add(1e-12).where(several, 0.0).topk(min(number, share.shape[1])).indices
            for j in best.unbind(1):
                sets, (low, high) = nodes.sets[i][every, j], passed[i][1]
                middle = (low[every, 0, j] + high[every, 0, j]) / 2
                half = halve(self.layers[i].values, sets, middle)
                exists.append(several[every, j])
                for part in (half, ~half):
                    tried.append(nodes[every])
                    tried[-1].sets[i][every, j] &= part
        found = torch.stack(exists, 1).any(1) if exists else every < 0
        self._divide_pixels(nodes[~found])
        if not found.any():
            return
        halves = Domains.join(tried)
        possible, margins = propagate(self.layers, halves)
        classes = classes_of(halves)[:, None]
        gain = margins.gather(1, classes)[:, 0].view(-1, 2, len(every)) - bounds
        gain = gain.where(possible.view_as(gain), 1 - bounds).clamp_min(1e-6)
        score = gain.prod(1).where(torch.stack(exists), -1.0)
        chosen = score.argmax(0)
        _narrow(halves, possible.view_as(gain))
        rows = torch.cat([(2 * chosen + side) * len(every) + every for side in (0, 1)])
        rows = rows[found.repeat(2)]
        self._push(halves[rows], possible[rows], margins[rows])

    def _divide_pixels(self, nodes: Domains) -> None:
        """Replace nodes without an open neuron by halves of their widest pixel."""
        if not len(nodes.low):
            return
        width = (nodes.high - nodes.low) * self.layers[0].weight.abs().sum(0)
        width, pixel = width.max(1)
        narrow = width < _NARROWEST
        self.stuck += int(narrow.sum())
        nodes, pixel = nodes[~narrow], pixel[~narrow]
        every = torch.arange(len(pixel))
        low, high = nodes[every], nodes[every]
        middle = (nodes.low + nodes.high)[every, pixel] / 2
        low.high[every, pixel] = high.low[every, pixel] = middle
        halves = Domains.join([low, high])
        self._push(halves, *propagate(self.layers, halves))
