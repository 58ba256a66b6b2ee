"""Networks whose layers are not affine behind the neurons, or mix time steps, keep their bounds."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import IF, LIF, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from tests.bounds.drawn import CLASSES, Drawn, around
from tests.bounds.soundness import Tally, check
from tests.conftest import varied

STEPS = 4


class Called(nn.Module):
    """A function of tensors [T, N, ...], with weights w."""

    def __init__(self, function: Callable[..., Tensor], weights: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        self.w = weights if isinstance(weights, nn.Module) else nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.w)


def merged(x: Tensor, w: nn.Module) -> Tensor:
    steps, batch = x.shape[:2]
    return w(x.transpose(0, 1).flatten(1)).view(batch, steps, -1).transpose(0, 1)


def step_weights() -> Tensor:
    return torch.tensor([1.5, -0.5, 0.25, 1.0]).view(STEPS, 1, 1)


TIME = {
    "bias of steps": lambda: Called(lambda x, w: x + w, step_weights()),
    "less a bias": lambda: Called(lambda x, w: w - x, step_weights()),
    "weights of steps": lambda: Called(lambda x, w: x * w, step_weights()),
    "divided by steps": lambda: Called(lambda x, w: x / w, step_weights()),
    "moved weights": lambda: Called(
        lambda x, w: (x.permute(1, 2, 0) * w.flatten()).permute(2, 0, 1), step_weights()
    ),
    "convolution over time": lambda: Called(
        lambda x, w: w(x.permute(1, 2, 0)).permute(2, 0, 1), nn.Conv1d(12, 12, 3, padding=1)
    ),
    "linear over time": lambda: Called(
        lambda x, w: w(x.transpose(0, 2)).transpose(0, 2), nn.Linear(STEPS, STEPS)
    ),
    "linear over all": lambda: Called(merged, nn.Linear(STEPS * 12, STEPS * 12)),
    "steps as a batch": lambda: Called(
        lambda x, w: w(x.reshape(1, *x.shape)).view(STEPS, *x.shape[1:]), nn.Conv2d(4, 4, 1)
    ),
    "steps as channels": lambda: Called(
        lambda x, w: w(x), nn.Conv2d(STEPS, STEPS, (1, 3), padding=(0, 1))
    ),
    "other steps": lambda: Called(lambda x, w: x[[3, 1, 0, 2]], step_weights()),
    "steps joined": lambda: Called(
        lambda x, w: torch.cat([x[:, :, :11], w.expand(-1, x.shape[1], 1)], 2), step_weights()
    ),
    "steps behind": lambda: Called(lambda x, w: torch.cat([x[1:], x[:1]], 0), step_weights()),
    "mean of samples": lambda: Called(lambda x, w: x - x.mean(2, keepdim=True), step_weights()),
}
NEURONS = {"IF soft": lambda: IF(reset="soft"), "LIF": LIF}


def case(layers: list[nn.Module], x: Tensor | None = None, eps: float = 0.05) -> Drawn:
    frames = x is not None and x.ndim > 3
    network = SpikingNetwork(layers, Frames(STEPS) if frames else Direct(STEPS)).eval()
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(2.5)
    x = torch.rand(8, 6) if x is None else x
    return Drawn(network, x, eps, np.inf, str(network))


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("name", TIME)
def test_layers_that_mix_or_weigh_time_steps_have_sound_bounds(name, neuron):
    tally = Tally()
    for behind in (True, False):
        torch.manual_seed(varied(1))
        between = [TIME[name](), neuron()] if behind else [TIME[name]()]
        layers = [Timed(nn.Linear(6, 12)), neuron(), *between, Timed(nn.Linear(12, CLASSES))]
        check(case(layers), tally, count=40, rules=())
    assert tally.points > 0


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("place", ["first", "frames"])
def test_time_steps_that_differ_before_the_first_neuron_have_sound_bounds(place, neuron):
    layers = [Timed(nn.Flatten(), nn.Linear(6, 12)), TIME["bias of steps"](), neuron()]
    layers += [Timed(nn.Linear(12, CLASSES))]
    x = torch.rand(8, STEPS, 1, 6) if place == "frames" else None
    check(case(layers, x), Tally(), count=40, rules=())


READOUTS = {
    "relu": lambda: [nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, CLASSES)],
    "relu of spikes": lambda: [nn.ReLU(), nn.Linear(12, CLASSES)],
    "max pooling": lambda: [
        nn.Unflatten(1, (3, 2, 2)),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3, CLASSES),
    ],
    "adaptive max pooling": lambda: [
        nn.Unflatten(1, (3, 2, 2)),
        nn.AdaptiveMaxPool2d((2, 1)),
        nn.Flatten(),
        nn.Linear(6, CLASSES),
    ],
}


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("name", READOUTS)
def test_readouts_that_are_not_affine_have_sound_bounds(name, neuron):
    tally = Tally()
    for seed in range(3):
        torch.manual_seed(varied(seed))
        layers = [Timed(nn.Linear(6, 12)), neuron(), Timed(*READOUTS[name]())]
        check(case(layers, eps=0.02), tally, count=40, rules=())
    assert 0 < tally.certified < tally.samples


class Smaller(torch.autograd.Function):
    """The identity, with a tenth of the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 0.1 * grad


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.layer(x)
        return x + y


class Itself(Smaller):
    @staticmethod
    def forward(ctx, x):
        return x


def applied(function: type[torch.autograd.Function]) -> nn.Module:
    return Called(lambda x, _: function.apply(x), torch.ones(1))


UNTRUE = {
    "another gradient": (lambda: applied(Smaller), r"layers.2.module.0 \(Called\), with clone"),
    "no operation": (lambda: applied(Itself), r"layers.2.module.0 \(Called\), with view_as"),
    "hidden": (
        lambda: Called(lambda x, w: x - torch.func.vmap(w)(x), nn.Linear(12, 12)),
        r"layers.2.module.0.w \(Linear\), with .* in a transform of torch.func",
    ),
    "noise": (
        lambda: Called(lambda x, w: x + w * torch.randn(x.shape), torch.ones(1)),
        r"layers.2.module.0 \(Called\), with randn, which draws at random",
    ),
    "noise in place": (
        lambda: Called(lambda x, w: x + w * torch.zeros(x.shape).normal_(), torch.ones(1)),
        r"layers.2.module.0 \(Called\), with normal_, which draws at random",
    ),
    "no graph": (Detached, r"layers.2.module.0.layer \(Linear\), with linear without a graph"),
}


@pytest.mark.parametrize("name", UNTRUE)
def test_layers_that_boxes_cannot_follow_are_refused(name):
    make, message = UNTRUE[name]
    layers = [Timed(nn.Linear(6, 12)), LIF(), Timed(make(), nn.Linear(12, CLASSES))]
    classifier = around(case(layers).network, (6,))
    with pytest.raises(ValueError, match=message):
        certify_bounds(classifier, np.full((1, 6), 0.5, np.float32), np.zeros(1), 0.1)


def test_currents_that_overflow_are_refused():
    layers = [Timed(nn.Linear(6, 12)), LIF(), Timed(nn.Linear(12, CLASSES))]
    layers[0].module[0].weight.data.mul_(1e38)
    classifier = around(case(layers).network, (6,))
    with pytest.raises(ValueError, match=r"layers.1 \(LIF\), with currents that overflow"):
        certify_bounds(classifier, np.ones((1, 6), np.float32), np.zeros(1), 0.1)


def test_layers_compiled_by_torch_jit_are_refused():
    inner = nn.Linear(12, 12)
    layers = [Timed(nn.Linear(6, 12)), LIF(), Timed(nn.Linear(12, CLASSES))]
    classifier = around(case(layers).network, (6,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.jit.trace(inner, torch.rand(3, 12))
    branch = Called(lambda x, w: x + w(x), compiled)
    classifier.model.layers.insert(2, branch)
    with pytest.raises(ValueError, match=r"got layers.2.w, compiled by torch.jit. Leave torch.jit"):
        certify_bounds(classifier, np.ones((1, 6), np.float32), np.zeros(1), 0.1)
