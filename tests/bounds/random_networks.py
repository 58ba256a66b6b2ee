"""Random small networks of every kind that has bounds, and attempts to break their bounds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import (
    IF,
    LIF,
    Direct,
    Frames,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
)
from art_snn.attacks import SpikingAutoAttack
from art_snn.bounds import METHODS, Bounding
from art_snn.gradients.fixed import holding
from art_snn.layers import Normalize
from tests.architectures import Residual

CLASSES = 4
LIMITS = (0.0, 1.0)


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
        with torch.enable_grad(), holding(True):
            return bounding.margins(self.x, self.y if y is None else y).detach()

    def certified(self) -> Tensor:
        """Which samples counts certify, bool [N]."""
        y = self.y
        return self.bounds(y=y).scatter(1, y[:, None], 1.0).amin(1) > 0

    def classifier(self) -> PyTorchSpikingClassifier:
        return around(self.network, tuple(self.x.shape[1:]))

    def inside(self, points: Tensor) -> Tensor:
        """The points moved into the clip values and, in the maximum norm, into the budget."""
        if self.norm == np.inf:
            points = torch.minimum(torch.maximum(points, self.x - self.eps), self.x + self.eps)
        return points.clamp(*LIMITS)


def around(
    network: SpikingNetwork, shape: tuple[int, ...], classes: int = CLASSES, **options: Any
) -> PyTorchSpikingClassifier:
    options |= {"clip_values": LIMITS, "device_type": "cpu"}
    return PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), shape, classes, **options)


def drawn(seed: int, norm: float = np.inf, samples: int = 8) -> Drawn:
    """A network whose currents are around its thresholds; the seed says all."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, neuron, words = _time(draw)
        flat = draw.random() < 0.4
        layers = (_flat if flat else _images)(draw, neuron)
        network = SpikingNetwork(layers, encoder).eval()
        steps = (encoder.steps,) if isinstance(encoder, Frames) else ()
        x = torch.rand(samples, *steps, 2, 5, 5)
        dtype = draw.choice([torch.float32, torch.float32, torch.float64])
        network, x = network.to(dtype), x.to(dtype)
        _excite(network, x, draw)
    budgets = {np.inf: (0.002, 0.01, 0.04), 2: (0.01, 0.05, 0.2)}
    return Drawn(network, x, draw.choice(budgets[norm]), norm, f"seed {seed}: {words} {network}")


def _time(draw: random.Random):
    """An encoder, and a maker of neurons."""
    steps = draw.choice([1, 2, 4, 6])
    encoder = Frames(steps) if draw.random() < 0.3 else Direct(steps)
    reset, threshold = draw.choice(["hard", "soft"]), draw.choice([0.25, 1.0, 1.7])
    decay = draw.choice([0.25, 0.5, 0.9, 1.0])
    mixed = draw.random() < 0.2

    def neuron() -> nn.Module:
        other = draw.choice(["hard", "soft"]) if mixed else reset
        if decay == 1:
            return IF(threshold, other)
        return LIF(decay, threshold, other)

    return encoder, neuron, f"T {steps}, {reset}, decay {decay}"


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
    if draw.random() < 0.7:
        layers += [neuron(), Timed(nn.Linear(10, CLASSES))]
    else:
        layers += [Timed(nn.Linear(10, CLASSES))]
    return layers


def _convolution(draw: random.Random, inputs: int, outputs: int, before=()) -> Timed:
    norm = [nn.BatchNorm2d(outputs)] if draw.random() < 0.5 else []
    groups = draw.choice([1, 1, 2]) if not before and inputs == 4 else 1
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=not norm)
    return Timed(*before, conv, *norm)


def _excite(network: SpikingNetwork, x: Tensor, draw: random.Random) -> None:
    """Draw weights and statistics of batch norms that let most layers fire, and not always."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.8)
            module.running_var.uniform_(0.3, 1.5)
            module.running_mean.normal_(std=0.2)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(draw.choice([1.5, 2.5, 4.0]))


def points(case: Drawn, count: int, seed: int) -> Iterator[Tensor]:
    """Points within the budget: random ones, corners and some of the boundary."""
    generator = torch.Generator().manual_seed(seed)
    x = case.x
    for index in range(count):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        if case.norm == 2:
            length = noise.flatten(1).norm(dim=1).view(-1, *(1,) * (x.ndim - 1))
            share = 1.0 if index % 2 else torch.rand((), generator=generator).item()
            yield (x + share * case.eps * noise / length).clamp(*LIMITS)
        else:
            change = noise.sign() if index % 2 else noise.clamp(-1, 1)
            yield case.inside(x + case.eps * change)


@dataclass
class Tally:
    """What has been tried: points of samples, certified samples, and of how many."""

    points: int = 0
    certified: int = 0
    samples: int = 0


def _iterates(case: Drawn, rule: str, steps: int = 4) -> Iterator[Tensor]:
    """The iterates of PGD by a rule, in the maximum norm or the Euclidean one."""
    start, y = case.x, case.y
    moved = start.clone()
    for _ in range(steps):
        leaf = moved.clone().requires_grad_()
        with case.network.using(rule):
            loss = nn.functional.cross_entropy(case.network(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        if case.norm == np.inf:
            moved = case.inside(moved + case.eps / 2 * gradient.sign())
        else:
            moved = _in_ball(case, moved + case.eps * _unit(gradient))
        yield moved


def _unit(x: Tensor) -> Tensor:
    lengths = x.flatten(1).norm(dim=1).clamp_min(1e-12)
    return x / lengths.view(-1, *(1,) * (x.ndim - 1))


def _in_ball(case: Drawn, moved: Tensor) -> Tensor:
    change = (moved - case.x).flatten(1)
    shrunk = change * (case.eps / change.norm(dim=1, keepdim=True).clamp_min(case.eps))
    return (case.x + shrunk.view_as(moved)).clamp(0, 1)


def check(
    case: Drawn, tally: Tally, count: int = 12, rules: tuple[str, ...] = ("stbp", "rga", "static")
) -> None:
    """Raise AssertionError at a point that a bound forbids.

    Every point within the budget must keep every logit as far behind that of the true class as the
    bound says, which asks for more than that no certified sample changes its class."""
    y = case.y
    bounds = {method: case.bounds(method, y) for method in METHODS}
    certified = bounds["counts"].scatter(1, y[:, None], 1.0).amin(1) > 0
    tally.samples += len(y)
    tally.certified += int(certified.sum())
    attacks = [_iterates(case, rule) for rule in rules]
    candidates = [points(case, count, seed=1), *attacks]
    for moved in (point for several in candidates for point in several):
        with torch.no_grad():
            z = case.network(moved)
        tally.points += len(z)
        ahead = z.gather(1, y[:, None]) - z
        for method, bound in bounds.items():
            worst = (ahead - bound).amin().item()
            assert worst >= 0, f"{method} is wrong by {-worst}: {case.words}"
        assert (z.argmax(1) == y)[certified].all(), case.words


def check_strong(case: Drawn, tally: Tally) -> None:
    """The same against SpikingAutoAttack."""
    y, classifier = case.y, case.classifier()
    certified = case.certified()
    attack = SpikingAutoAttack(classifier, norm=case.norm, eps=case.eps, plan="fast", verbose=False)
    adversarial = attack.generate(case.x.numpy(), y.numpy())
    kept = classifier.predict(adversarial).argmax(1) == y.numpy()
    tally.points += len(y)
    assert kept[certified.numpy()].all(), case.words
