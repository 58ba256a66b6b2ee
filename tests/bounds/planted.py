"""Counterexamples planted in random chains: no propagation may lose what they do.

A point within the budget is one where a class is ahead by the margin that it has there. So with
that margin as the limit every constraint holds for the point: its pixels and spike trains must stay
in all domains that it was in before a propagation.

The search knows no synapses. With these, all that a point does must lie within the bounds."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from art_snn import Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import METHODS, Bounding
from art_snn.bounds.bounding import record_pass
from art_snn.bounds.box import round_toward
from art_snn.bounds.margins import bound_margins
from art_snn.bounds.propagate import Domains, Layer, TrainTable, propagate
from art_snn.bounds.reduced import ConstraintProblem, ProblemBuilder
from art_snn.bounds.search import merge_halves, select_half
from art_snn.dynamics import Dynamics, Values
from art_snn.interop.kinds import ReadOff
from art_snn.layers import Normalize
from art_snn.neurons import Neuron
from tests.bounds.random_networks import CLASSES, LIMITS, excite


def chain(seed: int, steps: int | None = None) -> tuple[SpikingNetwork, Tensor, float]:
    """A random chain, a sample [1, ...] and a budget; the seed says all."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        steps = steps or draw.choice([1, 2, 3, 3, 4, 4, 5, 5, 6, 8])
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
        further = {"gain": 0.7, "constant": 0.05, "v_start": 0.2, "amplitude": 1.5}
        further |= {"hard": {"v_reset": -0.1}, "soft": {"reset_by": 0.8}, "none": {}}[reset]
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

    :param does: for every layer which of its trains it has, bool [n, V]."""

    problem: ConstraintProblem
    node: Domains
    point: Tensor
    does: tuple[Tensor, ...]

    def lost(self, nodes: Domains) -> str | None:
        """What of it is not in all of some nodes any more."""
        if not ((self.point >= nodes.low) & (self.point <= nodes.high)).all():
            return "pixels"
        for i, does in enumerate(self.does):
            if not (nodes.sets[i] & does).any(2).all():
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
        z = network.body.run(network.body.encode(point), fire)[0].double()
    y = draw.randrange(CLASSES)
    other = draw.choice([k for k in range(CLASSES) if k != y])
    problem = ProblemBuilder(Bounding(network, METHODS["counts"](), eps, limits=LIMITS)).build(x, y)
    *layers, last = problem.layers
    limits = last.table.high.clone()
    limits[1] = round_toward(torch.inf, z[y] - z[other], limits.dtype)
    table = last.table._replace(high=limits)
    problem = replace(problem, layers=[*layers, replace(last, table=table)])
    node = problem.root[:1]
    node.sets[-1][0] = torch.tensor([True, False])
    node.sets[-1][0, other] = torch.tensor([False, True])
    flat, does = point.double().flatten(), list[Tensor]()
    for i, fired in enumerate(spikes):
        opened = problem.opened[i]
        trains = fired[:, 0].double().flatten(1)
        fixed = torch.ones(trains.shape[1], dtype=torch.bool)
        fixed[opened] = False
        assert (problem.fixed[i].flatten(1) == trains)[:, fixed].all(), f"layer {i} is not fixed"
        does.append(_matching(problem.layers[i], trains[:, opened], flat))
    return Plant(problem, node, flat, tuple(does))


def _matching(layer: Layer, trains: Tensor, point: Tensor) -> Tensor:
    """The trains [n, V] of a layer that are those [T, n], at the current of a point."""
    table = layer.table
    does = (table.trains == trains.T[:, None]).all(2)
    if layer.inputs is None:
        current = (layer.weight.double() @ point + layer.base[0])[:, None]
        slack = layer.slack[0][:, None]
        does &= (current >= table.low[:, 0] - slack) & (current <= table.high[:, 0] + slack)
    assert does.any(1).all(), "a layer has no such train"
    return does


def halves(table: TrainTable, sets: Tensor, draws: torch.Generator) -> Tensor:
    """Random divisions of sets [B, V] of several trains, as the search makes them, or others."""
    middle, cut, how = torch.rand(3, len(sets), generator=draws, dtype=torch.float64)
    count = sets.cumsum(1)
    by_value = count <= 1 + (cut * (count[:, -1] - 1)).floor()[:, None]
    return torch.where(how[:, None] < 0.5, select_half(table, sets, 2 * middle), by_value)


def dig(planted: Plant, seed: int, splits: int = 25, digs: int = 64) -> tuple[int, int]:
    """Divide nodes at random, keep the side of the point, and propagate, while neurons are open.

    :return: checks, each of a node after a propagation, and trains that propagations removed.
    :raises AssertionError: where the point is lost."""
    nodes, draws = planted.node, torch.Generator().manual_seed(seed)
    checks = removed = 0
    for _ in range(1 + splits):
        before = sum(int(sets.sum()) for sets in nodes.sets)
        possible, _ = propagate(planted.problem.layers, nodes)
        lost = planted.lost(nodes)
        assert lost is None, lost
        assert possible.all()
        checks += len(possible)
        removed += before - sum(int(sets.sum()) for sets in nodes.sets)
        nodes = nodes if checks > 1 else nodes[[0] * digs]
        left = torch.stack([(sets.sum(2) > 1).any(1) for sets in nodes.sets[:-1]]).any(0)
        if not left.any():
            break
        nodes = nodes[left]
        _split(planted, nodes, draws)
    _check_union(planted, nodes, draws)
    return checks + len(nodes.low), removed


def _draw_open(nodes: Domains, draws: torch.Generator) -> Iterator[tuple[int, Tensor, Tensor]]:
    """An open neuron of every node that has one: layer by layer these nodes, and its places."""
    several = torch.cat([sets.sum(2) > 1 for sets in nodes.sets[:-1]], 1)
    if not several.any():
        return
    place = torch.rand(several.shape, generator=draws).where(several, -1.0).argmax(1)
    place[~several.any(1)] = -1
    for i, sets in enumerate(nodes.sets[:-1]):
        b = ((place >= 0) & (place < sets.shape[1])).nonzero()[:, 0]
        yield i, b, place[b]
        place -= sets.shape[1]


def _check_union(planted: Plant, nodes: Domains, draws: torch.Generator) -> None:
    """Two divisions of every node, put together as the search does, must keep the point."""
    parts = list[Domains]()
    for _ in range(2):
        parts += [nodes[:], nodes[:]]
        for i, b, j in _draw_open(nodes, draws):
            half = halves(planted.problem.layers[i].table, nodes.sets[i][b, j], draws)
            for part, kept in zip(parts[-2:], (half, ~half), strict=True):
                part.sets[i][b, j] &= kept
    divided = Domains.join(parts)
    possible, _ = propagate(planted.problem.layers, divided)
    lost = planted.lost(merge_halves(divided, possible, len(nodes.low)))
    assert lost is None, lost


def _split(planted: Plant, nodes: Domains, draws: torch.Generator) -> None:
    """Keep the side of the point, at a division of an open neuron, or at times of a pixel."""
    by_pixel = torch.rand(len(nodes.low), generator=draws) < 0.1
    for i, b, j in _draw_open(nodes, draws):
        b, j = b[~by_pixel[b]], j[~by_pixel[b]]
        sets = nodes.sets[i][b, j]
        half = halves(planted.problem.layers[i].table, sets, draws)
        with_point = (half & sets & planted.does[i][j]).any(1, keepdim=True)
        nodes.sets[i][b, j] = sets & torch.where(with_point, half, ~half)
    b = by_pixel.nonzero()[:, 0]
    pixel = torch.randint(nodes.low.shape[1], b.shape, generator=draws)
    cut = (nodes.low + nodes.high)[b, pixel] / 2
    below = planted.point[pixel] <= cut
    nodes.high[b[below], pixel[below]] = cut[below]
    nodes.low[b[~below], pixel[~below]] = cut[~below]


def attempt(
    seed: int, points: int = 2, steps: int | None = None, digs: int = 64
) -> tuple[int, int]:
    """Checks, and trains removed, of points in the chain of that seed; of many steps fewer digs."""
    network, x, eps = chain(seed, steps)
    draw, digs = random.Random(seed), max(1, digs >> max(0, (network.body.steps or 0) - 5))
    planted = [plant(network, x, eps, draw) for _ in range(points)]
    counts = [dig(one, draw.randrange(2**31), digs=digs) for one in planted]
    return sum(c for c, _ in counts), sum(r for _, r in counts)


def _add_synapses(network: SpikingNetwork, x: Tensor, draw: random.Random) -> None:
    """Put most neurons behind a synapse, some as snnTorch's, which subtract a step late."""
    # One neuron more gets pixels or spikes as they are, without the rounding of a layer.
    network.layers.insert(draw.randrange(1, len(network.layers)), _neuron(draw))
    neurons = [module for module in network.modules() if isinstance(module, Neuron)]
    for neuron, (_, current) in zip(neurons, record_pass(network, x), strict=False):
        dynamics = neuron.dynamics
        decay, threshold = dynamics.decay, dynamics.threshold
        if dynamics.reset == "soft" and draw.random() < 0.5:
            late = {"order": "f v + x", "factor": decay, "late": True}
            late |= {"synapse_order": draw.choice(["f v + x", "f (v + x)", "v - (1 - f) v + x"])}
            dynamics = ReadOff(decay, threshold, "soft", reset_by=threshold / decay, **late)
        shares = torch.linspace(0, 0.9999, current[0, 0].numel()).view_as(current[0, 0])
        synapse = draw.choice([0.0, 0.0, 0.9999, Values(shares), *[draw.uniform(0, 0.9999)] * 4])
        neuron.dynamics = replace(dynamics, synapse=synapse, lag=draw.choice([0, 1]))


@torch.no_grad()
def attempt_synapses(seed: int, points: int = 64) -> tuple[int, int]:
    """Checks of points in the chain of that seed, with synapses, and spikes that are sure.

    A check is of all that a point does, against the bounds of one method, in one precision.
    AssertionError where anything is outside of its bounds."""
    network, x, eps = chain(seed)
    draw = random.Random(seed)
    _add_synapses(network, x, draw)
    draws = torch.Generator().manual_seed(seed)
    move = 2 * torch.rand(points, *x.shape[1:], generator=draws, dtype=x.dtype) - 1
    move[::2] = move[::2].sign()
    inputs = (x + eps * move).clamp(*LIMITS)
    passes = [record_pass(network, inputs)]
    if x.dtype == torch.float32:
        passes.append(record_pass(copy.deepcopy(network).double(), inputs.double()))
    y = torch.tensor([draw.randrange(CLASSES)])
    sure = 0
    for word, method in METHODS.items():
        bounding = Bounding(network, method(), eps, limits=LIMITS)
        bounds = []
        with bounding.evaluating():
            box = bounding.enclose(x)
            # Part of the budget counts as rounding, so that bounds without it lose points.
            part = draw.choice([0.0, 0.5]) * box.radius.amin()
            box = replace(box, radius=box.radius - part, slack=box.slack + part)
            logits = bounding.run(box, observe=lambda *place, to=bounds: to.append(place))
            lowest = bound_margins(logits, y)
        for *calls, (_, (z,)) in passes:
            for (site, current, spikes), (name, value) in zip(bounds, calls, strict=True):
                assert current.contains(value), f"{name}, {word}, {value.dtype}"
                assert spikes.contains(site.dynamics.simulate(value)), f"spikes, {name}, {word}"
            assert logits.contains(z), f"logits, {word}"
            assert (z[:, y] - z >= lowest).all(), f"margins, {word}"
        sure += sum(int((spikes.radius == 0).sum()) for _, _, spikes in bounds)
    return points * len(passes) * len(METHODS), sure
