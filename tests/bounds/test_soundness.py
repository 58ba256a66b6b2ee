"""No point within a budget is where the bounds say that none is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import IF, LIF, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.attacks import SpikingAutoAttack
from art_snn.bounds import METHODS, Bounding, certify_bounds
from art_snn.dynamics import Dynamics
from art_snn.models import resnet17, sew_resnet17, vgg5, vgg_dvs
from art_snn.neurons import Neuron
from tests.bounds.random_networks import CLASSES, Drawn, around, check, drawn
from tests.conftest import varied

NETWORKS = {np.inf: 24, 2: 18}
STEPS = 4


@pytest.mark.parametrize("norm", NETWORKS)
def test_no_point_within_the_budget_beats_a_bound_of_random_networks(norm):
    certified = [check(drawn(varied(seed), norm)) for seed in range(NETWORKS[norm])]
    # Neither all nor none: bounds that say nothing could not be wrong.
    assert 0.05 < torch.cat(certified).float().mean() < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("norm", NETWORKS)
def test_no_point_within_the_budget_beats_a_bound_of_many_random_networks(norm):
    for seed in range(100, 300):
        check(drawn(varied(seed), norm), count=20)


@pytest.mark.parametrize("norm", NETWORKS)
def test_no_certified_sample_is_broken_by_the_strongest_attack(norm):
    for seed in range(100):
        case = drawn(varied(seed), norm, samples=6)
        classifier, x, y = around(case.network, case.x.shape[1:]), case.x.numpy(), case.y.numpy()
        certified = certify_bounds(classifier, x, y, case.eps, norm).certified
        if certified.any():
            break
    attack = SpikingAutoAttack(classifier, norm=norm, eps=case.eps, plan="fast", verbose=False)
    assert (classifier.predict(attack.generate(x, y)).argmax(1) == y)[certified].all(), case.words


SMALL = {"width": 0.06, "classes": 4, "image_size": 8}
MODELS = {
    "vgg5": (lambda: vgg5(steps=3, mean=(0.4,) * 3, std=(0.3,) * 3, **SMALL), 1e-3),
    "vgg5 IF soft": (lambda: vgg5(steps=4, decay=1, reset="soft", **SMALL), 2e-3),
    "resnet17": (lambda: resnet17(steps=2, **SMALL), 1e-4),
    "sew-resnet17": (lambda: sew_resnet17(steps=2, **SMALL), 1e-4),
    "sew-resnet17 soft": (lambda: sew_resnet17(steps=2, reset="soft", **SMALL), 1e-4),
    "vgg-dvs": (lambda: vgg_dvs(steps=2, **SMALL), 1e-3),
}


@pytest.mark.parametrize("norm", NETWORKS)
@pytest.mark.parametrize("name", MODELS)
def test_models_have_sound_bounds(name, norm):
    make, eps = MODELS[name]
    torch.manual_seed(varied(2))
    network = make()
    with torch.no_grad():
        x = torch.rand(4, *network.input_shape)
        for _ in range(3):  # Statistics of batch norms.
            network.train()(x)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.fill_(0.4)
    check(Drawn(network, x, eps, norm, name), count=6, rules=("rga",))


class Called(nn.Module):
    """A function of tensors [T, N, ...], with weights w."""

    def __init__(self, function: Callable[..., Tensor], weights: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        self.w = weights if isinstance(weights, nn.Module) else nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.w)


STEP = {
    "bias of steps": lambda x, w: x + w,
    "less a bias": lambda x, w: w - x,
    "weights of steps": lambda x, w: x * w,
    "divided by steps": lambda x, w: x / w,
    "moved weights": lambda x, w: (x.permute(1, 2, 0) * w.flatten()).permute(2, 0, 1),
    "other steps": lambda x, w: x[[3, 1, 0, 2]],
    "steps joined": lambda x, w: torch.cat([x[:, :, :11], w.expand(-1, x.shape[1], 1)], 2),
    "steps in another order": lambda x, w: torch.cat([x[1:], x[:1]], 0),
    "mean of samples": lambda x, w: x - x.mean(2, keepdim=True),
}
"""Layers of values [T, N, 12] and weights of the steps [T, 1, 1]."""
MIXING = {
    "convolution over time": lambda x, w: w(x.permute(1, 2, 0)).permute(2, 0, 1),
    "linear over time": lambda x, w: w(x.transpose(0, 2)).transpose(0, 2),
    "linear over all": lambda x, w: w(x.transpose(0, 1).flatten(1)).view(-1, 4, 12).transpose(0, 1),
    "steps as a batch": lambda x, w: w(x.reshape(1, *x.shape)).view(STEPS, *x.shape[1:]),
    "steps as channels": lambda x, w: w(x),
}
"""The same with a module."""
MODULES = {
    "convolution over time": lambda: nn.Conv1d(12, 12, 3, padding=1),
    "linear over time": lambda: nn.Linear(STEPS, STEPS),
    "linear over all": lambda: nn.Linear(STEPS * 12, STEPS * 12),
    "steps as a batch": lambda: nn.Conv2d(STEPS, STEPS, 1),
    "steps as channels": lambda: nn.Conv2d(STEPS, STEPS, (1, 3), padding=(0, 1)),
}


def mix(name: str) -> Called:
    if name in STEP:
        return Called(STEP[name], torch.tensor([1.5, -0.5, 0.25, 1.0]).view(STEPS, 1, 1))
    return Called(MIXING[name], MODULES[name]())


NEURONS: dict[str, Callable[[], nn.Module]] = {
    "IF soft": lambda: IF(reset="soft"),
    "LIF": LIF,
    "FEEL": lambda: Neuron(Dynamics([0.9, 0.3, 1.0, 0.6], amplitude=0.75)),
    "DSR": lambda: Neuron(Dynamics(1.0, 0.6, "soft", reset_by=1.2, amplitude=1.2)),
    "sinabs": lambda: Neuron(Dynamics(1.0, 0.7, "soft", max_spikes=None, floor=-0.7)),
    "any number": lambda: Neuron(Dynamics(1.0, 0.7, "soft", max_spikes=None)),
    "two": lambda: Neuron(Dynamics(0.5, 0.5, max_spikes=2, floor=0.0)),
}


def case(layers: list[nn.Module], x: Tensor | None = None, eps: float = 0.05) -> Drawn:
    """The network of these layers, on images, or on frames x [N, T, ...]."""
    network = SpikingNetwork(layers, Direct(STEPS) if x is None else Frames(STEPS), "stbp").eval()
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(2.5)
    return Drawn(network, torch.rand(8, 6) if x is None else x, eps, np.inf, str(network))


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("name", [*STEP, *MIXING])
def test_layers_that_mix_or_weigh_time_steps_have_sound_bounds(name, neuron):
    for last in (True, False):
        torch.manual_seed(varied(1))
        between = [mix(name)] if last else [mix(name), neuron()]
        layers = [Timed(nn.Linear(6, 12)), neuron(), *between, Timed(nn.Linear(12, CLASSES))]
        check(case(layers), count=40, rules=())


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("frames", [False, True])
def test_time_steps_that_differ_before_the_first_neuron_have_sound_bounds(frames, neuron):
    layers = [Timed(nn.Flatten(), nn.Linear(6, 12)), mix("bias of steps"), neuron()]
    layers += [Timed(nn.Linear(12, CLASSES))]
    x = torch.rand(8, STEPS, 1, 6) if frames else None
    check(case(layers, x), count=40, rules=())


READOUTS = {
    "relu": lambda: [nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, CLASSES)],
    "relu of spikes": lambda: [nn.ReLU(), nn.Linear(12, CLASSES)],
    "max pooling": lambda: [
        *(nn.Unflatten(1, (3, 2, 2)), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3, CLASSES)),
    ],
    "adaptive max pooling": lambda: [
        *(nn.Unflatten(1, (3, 2, 2)), nn.AdaptiveMaxPool2d((2, 1))),
        *(nn.Flatten(), nn.Linear(6, CLASSES)),
    ],
}


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("name", READOUTS)
def test_readouts_that_are_not_affine_have_sound_bounds(name, neuron):
    certified = []
    for seed in range(3):
        torch.manual_seed(varied(seed))
        layers = [Timed(nn.Linear(6, 12)), neuron(), Timed(*READOUTS[name]())]
        certified.append(check(case(layers, eps=0.02), count=40, rules=()))
    assert 0 < torch.cat(certified).float().mean() < 1


def relu_network(seed: int) -> SpikingNetwork:
    """A network of one step, with ReLU in place of its neurons."""
    torch.manual_seed(varied(seed))
    layers = nn.Sequential(Timed(nn.Linear(6, 12)), IF(), Timed(nn.Linear(12, CLASSES)))
    network = SpikingNetwork(layers, Direct(1), "stbp").eval()
    layers[1] = nn.ReLU()
    return network


def test_margins_after_a_function_weigh_the_differences_of_rows():
    network = relu_network(3).double()
    first, last = [part for part in network.modules() if isinstance(part, nn.Linear)]
    x, y = torch.rand(5, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    centre, radius = first(x), 0.1 * first.weight.abs().sum(1)
    low, high = (centre - radius).relu(), (centre + radius).relu()
    rows = last.weight[y][:, None] - last.weight
    middle, reach = [part[:, :, None] for part in ((low + high) / 2, (high - low) / 2)]
    expected = (rows @ middle - rows.abs() @ reach)[:, :, 0] + last.bias[y][:, None] - last.bias
    bounding = Bounding(network, METHODS["counts"](), 0.1)
    for size in (5, 2, 1):
        parts = zip(x.split(size), y.split(size), strict=True)
        bounds = torch.cat([bounding.margins(*part, differentiable=True) for part in parts])
        assert ((bounds - expected).abs() <= 2e-3 * expected.abs().amax()).all()
        assert (bounds <= expected + 1e-12).all()


def test_bounds_after_a_function_in_place_of_neurons_are_sound():
    certified = []
    for seed in range(3):
        network = relu_network(seed)
        certified.append(check(Drawn(network, torch.rand(20, 6), 0.05, np.inf, "relu")))
    assert 0.05 < torch.cat(certified).float().mean() < 0.95


class Bypass(nn.Module):
    """Neurons, and a way past all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons = nn.Sequential(Timed(nn.Linear(6, 8)), LIF(), Timed(nn.Linear(8, CLASSES)))
        self.past = Timed(nn.Linear(6, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.neurons(x) + self.past(x)


def test_what_reaches_the_logits_past_all_neurons_is_bounded():
    certified = []
    for seed in range(3):
        torch.manual_seed(varied(seed))
        network = SpikingNetwork(Bypass(), Direct(STEPS)).eval()
        certified.append(check(Drawn(network, torch.rand(30, 6), 0.1, np.inf, "bypass")))
    assert 0.05 < torch.cat(certified).float().mean() < 0.95
