"""Random small networks of every kind that has bounds, and attempts to break their bounds."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import IF, LIF, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import METHODS, Bounding
from art_snn.dynamics import Dynamics
from art_snn.layers import Normalize
from art_snn.neurons import Neuron
from tests.architectures import Residual
from tests.attacks.classifiers import around as around

CLASSES = 4
LIMITS = (0.0, 1.0)
ITERATES = 4


@dataclass(frozen=True)
class Drawn:
    """A network with samples of it, a budget, and how it was made, in words."""

    network: SpikingNetwork
    x: Tensor
    eps: float
    norm: float
    words: str

    @property
    def y(self) -> Tensor:
        with torch.no_grad():
            return self.network(self.x).argmax(1)

    def bounds(self, method: str = "counts", y: Tensor | None = None) -> Tensor:
        """Lower bounds of z_y - z_j [N, K]."""
        bounding = Bounding(self.network, METHODS[method](), self.eps, self.norm, LIMITS)
        y = self.y if y is None else y
        with bounding.evaluating():
            return bounding.margins(self.x, y).detach()

    def inside(self, points: Tensor) -> Tensor:
        """The points moved into the budget and the clip values."""
        change = points - self.x
        if self.norm == np.inf:
            change = change.clamp(-self.eps, self.eps)
        else:
            change = change * (self.eps / _length(change)).clamp_max(1)
        return (self.x + change).clamp(*LIMITS)


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, *(1,) * (x.ndim - 1))


def drawn(seed: int, norm: float = np.inf, samples: int = 8) -> Drawn:
    """A network whose currents are around its thresholds; the seed says all."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, neuron = _time(draw)
        flat = draw.random() < 0.4
        layers = (_flat if flat else _images)(draw, neuron)
        network = SpikingNetwork(layers, encoder).eval()
        steps = (encoder.steps,) if isinstance(encoder, Frames) else ()
        x = torch.rand(samples, *steps, 2, 5, 5)
        dtype = draw.choice([torch.float32, torch.float32, torch.float64])
        network, x = network.to(dtype), x.to(dtype)
        excite(network, draw)
    budgets = {np.inf: (0.002, 0.01, 0.04), 2: (0.01, 0.05, 0.2)}
    return Drawn(network, x, draw.choice(budgets[norm]), norm, f"seed {seed}: {network}")


def stack(sizes: Sequence[int], neuron: Callable[[], nn.Module], encoder, scale=2.5):
    """Linear layers of these sizes, their weights times a factor, and neurons in between."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        linear.weight.data.mul_(scale)
        layers += [Timed(linear), neuron()]
    return SpikingNetwork(layers[:-1], encoder).eval()


def _time(draw: random.Random):
    """An encoder, and a maker of neurons."""
    steps = draw.choice([1, 2, 4, 6])
    encoder = Frames(steps) if draw.random() < 0.3 else Direct(steps)
    reset, threshold = draw.choice(["hard", "soft"]), draw.choice([0.25, 1.0, 1.7])
    decay = draw.choice([0.25, 0.5, 0.9, 1.0])
    mixed = draw.random() < 0.2
    synapse = draw.choice([0.0, 0.0, 0.0, 0.5, 0.9])
    lag = draw.choice([0, 1]) if synapse else 0

    def neuron() -> nn.Module:
        other = draw.choice(["hard", "soft"]) if mixed else reset
        if synapse:
            return Neuron(Dynamics(decay, threshold, other, synapse=synapse, lag=lag))
        return IF(threshold, other) if decay == 1 else LIF(decay, threshold, other)

    return encoder, neuron


def _flat(draw: random.Random, neuron) -> list[nn.Module]:
    sizes = [50, *(draw.choice([6, 12, 20]) for _ in range(draw.choice([1, 2, 3])))]
    layers: list[nn.Module] = [Timed(nn.Flatten(), nn.Linear(50, sizes[1])), neuron()]
    for inputs, outputs in pairwise(sizes[1:]):
        norm = [nn.BatchNorm1d(outputs)] if draw.random() < 0.4 else []
        layers += [Timed(nn.Linear(inputs, outputs, bias=not norm), *norm), neuron()]
    extra = draw.choice([[], [nn.Dropout()], [nn.Linear(sizes[-1], 7), nn.ReLU(), nn.Linear(7, 6)]])
    width = 6 if len(extra) == 3 else sizes[-1]
    return [*layers, Timed(*extra, nn.Linear(width, CLASSES))]


def _images(draw: random.Random, neuron) -> list[nn.Module]:
    before = [Normalize((0.4, 0.5), (0.3, 0.2))] if draw.random() < 0.3 else []
    layers: list[nn.Module] = [_convolution(draw, 2, 4, before), neuron()]
    for _ in range(draw.choice([0, 1, 1])):
        body = [_convolution(draw, 4, 4), neuron(), _convolution(draw, 4, 4)]
        several = [Residual(*body), Residual(*body, neuron()), body[0]]
        layers += [draw.choice(several), neuron()]
    pool = draw.choice([nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Dropout2d()])
    side = 5 if isinstance(pool, nn.Dropout2d) else 2
    layers += [Timed(pool, nn.Flatten(), nn.Linear(4 * side**2, 10))]
    last = [neuron()] if draw.random() < 0.7 else []
    return [*layers, *last, Timed(nn.Linear(10, CLASSES))]


def _convolution(draw: random.Random, inputs: int, outputs: int, before=()) -> Timed:
    norm = [nn.BatchNorm2d(outputs)] if draw.random() < 0.5 else []
    groups = draw.choice([1, 1, 2]) if not before and inputs == 4 else 1
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=not norm)
    return Timed(*before, conv, *norm)


def excite(network: SpikingNetwork, draw: random.Random) -> None:
    """Draw weights and statistics of batch norms that let most layers fire, and not always."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.8)
            module.running_var.uniform_(0.3, 1.5)
            module.running_mean.normal_(std=0.2)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(draw.choice([1.5, 2.5, 4.0]))


def _points(case: Drawn, count: int, seed: int) -> Iterator[Tensor]:
    """Points within the budget: random ones, corners and some of the boundary."""
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        noise = torch.randn(case.x.shape, generator=generator, dtype=case.x.dtype)
        if case.norm == np.inf:
            change = noise.sign() if index % 2 else noise.clamp(-1, 1)
        else:
            share = 1.0 if index % 2 else torch.rand((), generator=generator).item()
            change = share * noise / _length(noise)
        yield case.inside(case.x + case.eps * change)


def _iterates(case: Drawn, rule: str) -> Iterator[Tensor]:
    """ITERATES of PGD by a rule."""
    moved, y = case.x.clone(), case.y
    for _ in range(ITERATES):
        leaf = moved.clone().requires_grad_()
        with case.network.using(rule):
            loss = nn.functional.cross_entropy(case.network(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        linear = case.norm == np.inf
        step = gradient.sign() / 2 if linear else gradient / _length(gradient)
        moved = case.inside(moved + case.eps * step)
        yield moved


def check(
    case: Drawn, count: int = 12, rules: tuple[str, ...] = ("stbp", "rga", "static"), seed: int = 1
) -> Tensor:
    """The certified samples, bool [N]; AssertionError at a point that a bound forbids.

    Every sixth point goes through the network sample by sample, the others as a batch.

    Every point within the budget must keep every logit as far below that of the true class as the
    bound says, which asks for more than that no certified sample changes its class."""
    y = case.y
    bounds = {method: case.bounds(method, y) for method in METHODS}
    certified = bounds["counts"].scatter(1, y[:, None], 1.0).amin(1) > 0
    attacks = [_iterates(case, rule) for rule in rules]
    for index, moved in enumerate(chain(_points(case, count, seed), *attacks)):
        with torch.no_grad():
            z = torch.cat([case.network(part) for part in moved.split(1 if index % 6 == 5 else 99)])
        ahead = z.gather(1, y[:, None]) - z
        for method, bound in bounds.items():
            worst = (ahead - bound).amin().item()
            assert worst >= 0, f"{method} is wrong by {-worst}: {case.words}"
        assert (z.argmax(1) == y)[certified].all(), case.words
    return certified
