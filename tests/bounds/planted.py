"""Counterexamples planted in random chains: no propagation may lose what they do.

A point within the budget is one where a class is ahead by the margin that it has there. So with
that margin as the limit every constraint holds for the point: its pixels and spike trains must stay
in all domains that it was in before a propagation."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from art_snn import Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds.propagate import Domains, propagate
from art_snn.bounds.reduced import Reduced, Reduction
from art_snn.bounds.search import halve, unite
from art_snn.bounds.trains import Choices
from art_snn.dynamics import Dynamics
from art_snn.layers import Normalize
from art_snn.neurons import Neuron
from tests.bounds.random_networks import excite

CLASSES = 4
LIMITS = (0.0, 1.0)


def chain(seed: int, steps: int | None = None) -> tuple[SpikingNetwork, Tensor, float]:
    """A random chain, a sample [1, ...] and a budget; the seed says all."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        steps = steps or draw.choice([1, 2, 3, 4, 4, 5, 6, 8])
        layers = _flat(draw) if draw.random() < 0.5 else _images(draw)
        network = SpikingNetwork(layers, Direct(steps), "stbp").eval()
        x = torch.rand(1, 2, 4, 4)
        excite(network, draw)
        dtype = draw.choice([torch.float32, torch.float32, torch.float64])
        return network.to(dtype), x.to(dtype), draw.choice([0.01, 0.05, 0.2])


def _neuron(draw: random.Random) -> Neuron:
    """LIF and IF neurons of any reset, one in four with the further parameters."""
    reset, decay = draw.choice(["hard", "hard", "soft", "none"]), draw.choice([0.25, 0.5, 0.9, 1.0])
    further: dict[str, float] = {}
    if draw.random() < 0.25:
        further = {"gain": 0.7, "constant": 0.05, "start": 0.2, "height": 1.5}
        further |= {"hard": {"rest": -0.1}, "soft": {"drop": 0.8}, "none": {}}[reset]
    strict = draw.random() < 0.2
    return Neuron(Dynamics(decay, draw.choice([0.25, 1.0, 1.7]), reset, strict=strict, **further))


def _flat(draw: random.Random) -> list[nn.Module]:
    sizes = [32, *(draw.choice([4, 8, 14]) for _ in range(draw.choice([1, 2, 3, 4])))]
    layers: list[nn.Module] = [Timed(nn.Flatten())]
    for inputs, outputs in pairwise(sizes):
        norm = [nn.BatchNorm1d(outputs)] if draw.random() < 0.4 else []
        layers += [Timed(nn.Linear(inputs, outputs, bias=not norm), *norm), _neuron(draw)]
    return [*layers, Timed(nn.Dropout(), nn.Linear(sizes[-1], CLASSES))]


def _images(draw: random.Random) -> list[nn.Module]:
    layers: list[nn.Module] = [Timed(Normalize((0.4, 0.5), (0.3, 0.2)))]
    width = 2
    for _ in range(draw.choice([1, 2, 3])):
        norm = [nn.BatchNorm2d(4)] if draw.random() < 0.5 else []
        conv = nn.Conv2d(width, 4, 3, padding=1, groups=draw.choice([1, 2]), bias=not norm)
        layers += [nn.Sequential(Timed(conv, *norm), _neuron(draw))]
        width = 4
    pool = draw.choice([nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)])
    layers += [Timed(pool, nn.Flatten(), nn.Linear(16, 8)), _neuron(draw)]
    return [*layers, Timed(nn.Linear(8, CLASSES))]


@dataclass(frozen=True)
class Plant:
    """A point, what it does, and the network around a sample near it.

    :param does: for every layer which of its values it has, bool [n, V]."""

    reduced: Reduced
    node: Domains
    point: Tensor
    does: tuple[Tensor, ...]

    def lost(self, node: Domains) -> str | None:
        """What of it is not in a node any more."""
        inside = (self.point >= node.low[0]) & (self.point <= node.high[0])
        if not inside.all():
            return "pixels"
        for i, does in enumerate(self.does):
            if not (node.sets[i][0] & does).any(1).all():
                return f"layer {i}"
        return None


def plant(network: SpikingNetwork, x: Tensor, eps: float, draw: random.Random) -> Plant:
    """A random point or corner of the box, with the margin there as the limit.

    :raises AssertionError: where a neuron said to be fixed does something else."""
    seed = torch.Generator().manual_seed(draw.randrange(2**31))
    move = 2 * torch.rand(x.shape, generator=seed, dtype=x.dtype) - 1
    if draw.random() < 0.5:
        move = move.sign()
    point, spikes = (x + eps * move).clamp(*LIMITS), list[Tensor]()

    def fire(site, current):
        spikes.append(site.dynamics.simulate(current))
        return spikes[-1]

    with torch.no_grad():
        z = network.run(network.encode(point), fire)[0].double()
    y = draw.randrange(CLASSES)
    other = draw.choice([k for k in range(CLASSES) if k != y])
    reduced = Reduction(network, eps, LIMITS).around(x, y)
    *layers, last = reduced.layers
    limits = last.values.high.clone()
    limits[1] = z[y] - z[other]
    values = last.values._replace(high=limits)
    reduced = replace(reduced, layers=(*layers, replace(last, values=values)))
    node = reduced.root[:1]
    node.sets[-1][0] = torch.tensor([True, False])
    node.sets[-1][0, other] = torch.tensor([False, True])
    flat, does = point.double().flatten(), list[Tensor]()
    for i, (neurons, fired) in enumerate(zip(reduced.neurons, spikes, strict=True)):
        trains = fired[:, 0].double().flatten(1)
        fixed = torch.ones(trains.shape[1], dtype=torch.bool)
        fixed[neurons.index] = False
        assert (neurons.fixed.flatten(1) == trains)[:, fixed].all(), f"layer {i} is not fixed"
        does.append(_matching(reduced, i, trains[:, neurons.index], flat))
    return Plant(reduced, node, flat, tuple(does))


def _matching(reduced: Reduced, i: int, trains: Tensor, point: Tensor) -> Tensor:
    """The values [n, V] of a layer that have those trains [T, n], at that current."""
    layer, values = reduced.layers[i], reduced.neurons[i].values
    does = (values.trains == trains.T[:, None]).all(2)
    if i == 0:
        current, slack = (layer.weight @ point + layer.base[0])[:, None], layer.slack[0][:, None]
        does &= (current >= values.low[:, 0] - slack) & (current <= values.high[:, 0] + slack)
    assert does.any(1).all(), f"layer {i} has no such train"
    return does


def halves(values: Choices, sets: Tensor, draw: random.Random) -> Tensor:
    """A random division of a set [V] of several values, as the search makes them, or by a value."""
    if draw.random() < 0.5:
        return halve(values, sets[None], torch.zeros(1, dtype=torch.float64))[0]
    some = sets.nonzero()[:, 0].tolist()
    cut = draw.choice(some[:-1])
    return torch.arange(len(sets)) <= cut


def dig(planted: Plant, draw: random.Random, splits: int = 25, digs: int = 16) -> tuple[int, int]:
    """Divide nodes at random, keep the side of the point, and propagate, again and again.

    :return: checks, and values that were removed.
    :raises AssertionError: where the point is lost."""
    nodes, checks = planted.node[[0] * digs], 0
    start = sum(int(sets.sum()) for sets in nodes.sets)
    for _ in range(splits):
        possible, _ = propagate(planted.reduced.layers, nodes)
        lost = {planted.lost(nodes[b : b + 1]) for b in range(digs)}
        assert lost == {None}, lost
        assert possible.all()
        checks += digs
        for b in range(digs):
            _split(planted, nodes, b, draw)
    _check_union(planted, nodes, draw)
    return checks, start - sum(int(sets.sum()) for sets in nodes.sets)


def _check_union(planted: Plant, nodes: Domains, draw: random.Random) -> None:
    """Two divisions of every node, put together as the search does, must keep the point."""
    parts = list[Domains]()
    for _ in range(2):
        parts += [nodes[:], nodes[:]]
        for b in range(len(nodes.low)):
            if several := _open_neurons(nodes, b):
                i, j = draw.choice(several)
                half = halves(planted.reduced.layers[i].values, nodes.sets[i][b, j], draw)
                for part, kept in zip(parts[-2:], (half, ~half), strict=True):
                    part.sets[i][b, j] &= kept
    divided = Domains.join(parts)
    possible, _ = propagate(planted.reduced.layers, divided)
    united = unite(divided, possible, len(nodes.low))
    lost = {planted.lost(united[b : b + 1]) for b in range(len(nodes.low))}
    assert lost == {None}, lost


def _open_neurons(nodes: Domains, b: int) -> list[tuple[int, int]]:
    """Layers and places of neurons of a node that have several values left."""
    return [
        (i, j)
        for i, sets in enumerate(nodes.sets[:-1])
        for j in (sets[b].sum(1) > 1).nonzero()[:, 0].tolist()
    ]


def _split(planted: Plant, nodes: Domains, b: int, draw: random.Random) -> None:
    """Keep the side of the point, at a division of a neuron, or of a pixel."""
    several = _open_neurons(nodes, b)
    if not several or draw.random() < 0.1:
        pixel = draw.randrange(nodes.low.shape[1])
        cut = (nodes.low + nodes.high)[b, pixel] / 2
        end = nodes.high if planted.point[pixel] <= cut else nodes.low
        end[b, pixel] = cut
        return
    i, j = draw.choice(several)
    sets = nodes.sets[i][b, j]
    half = halves(planted.reduced.layers[i].values, sets, draw)
    sets &= half if (half & sets & planted.does[i][j]).any() else ~half


def attempt(
    seed: int, points: int = 2, steps: int | None = None, digs: int = 16
) -> tuple[int, int]:
    """Checks, and values removed, of points in the chain of that seed."""
    network, x, eps = chain(seed, steps)
    draw = random.Random(seed)
    counts = [dig(plant(network, x, eps, draw), draw, digs=digs) for _ in range(points)]
    return sum(c for c, _ in counts), sum(r for _, r in counts)
