"""Operations are those of a loop over spikes and weights; an attack raises them, a bound holds."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.attacks import OperationsAttack
from art_snn.bounds import bound_operations
from art_snn.checks import ArgumentError
from art_snn.gradients.base import simulation
from art_snn.metrics import synaptic_operations
from art_snn.metrics.energy import count_operations, count_synapses
from tests.bounds.random_networks import CLASSES, Drawn, around, drawn
from tests.classifiers import build
from tests.seeds import varied

QUIET = {"verbose": False}


def one_neuron():
    """A neuron driven by the input itself, with ten synapses."""
    return around(SpikingNetwork([LIF(), Timed(nn.Linear(1, 10))], Direct(4)), (1,), 10)


def test_one_neuron_costs_its_synapses_at_every_spike():
    x = np.array([[0.5], [0.6], [0.7]], np.float32)
    assert synaptic_operations(one_neuron(), x).tolist() == [0, 10, 20]


@pytest.mark.parametrize("keep_class", [True, False])
def test_the_bound_of_one_neuron_is_attained(keep_class):
    classifier, x = one_neuron(), np.array([[0.6]], np.float32)
    attack = OperationsAttack(classifier, eps=0.1, max_iter=5, keep_class=keep_class, **QUIET)
    attacked = synaptic_operations(classifier, attack.generate(x))
    assert synaptic_operations(classifier, x) == [10]
    assert attacked == bound_operations(classifier, x, 0.1) == [20]


def convolutional(pool: nn.Module, encoder) -> SpikingNetwork:
    """A network of every usual layer, a third of whose weights are 0."""
    torch.manual_seed(varied())
    second = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    network = SpikingNetwork(
        [
            Timed(nn.Conv2d(2, 4, 3, padding=1)),
            LIF(threshold=0.3),
            Timed(pool, second, nn.BatchNorm2d(6)),
            LIF(threshold=0.3),
            Timed(nn.Flatten(), nn.Linear(24, CLASSES)),
        ],
        encoder,
    )
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight[torch.rand_like(weight) < 1 / 3] = 0
                weight.mul_(3)
    return network.double().eval()


def loop(network: SpikingNetwork, x: Tensor, events: bool) -> np.ndarray:
    """Operations [N] of that network for images of 8 x 8 pixels, spike by spike."""
    spikes = list[Tensor]()

    def fire(site, current):
        spikes.append(simulation(site, current))
        return spikes[-1]

    encoded = network.body.encode(x)
    network.body.run(encoded, fire)
    first, second, last = (network.layers[i].module for i in (0, 2, 4))
    kernel, grouped, readout = first[0].weight, second[1].weight, last[1].weight
    operations, taps = np.zeros(len(x)), list(itertools.product(range(3), range(3)))
    inputs = encoded if events else torch.ones_like(encoded[:1])
    for t, n, c, i, j in inputs.nonzero().tolist():
        for o, (a, b) in itertools.product(range(4), taps):
            met = 0 <= i + 1 - a < 8 and 0 <= j + 1 - b < 8 and kernel[o, c, a, b] != 0
            operations[n] += met * inputs[t, n, c, i, j].item()
    for _, n, c, i, j in spikes[0].nonzero().tolist():
        for o, (a, b) in itertools.product(range(3), taps):
            rows, columns = i // 2 + 1 - a, j // 2 + 1 - b
            inside = 0 <= rows < 4 and 0 <= columns < 4 and rows % 2 == columns % 2 == 0
            operations[n] += inside and grouped[c // 2 * 3 + o, c % 2, a, b].item() != 0
    for _, n, *place in spikes[1].nonzero().tolist():
        operations[n] += (readout[:, np.ravel_multi_index(place, (6, 2, 2))] != 0).sum().item()
    return operations


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(4)])
@pytest.mark.parametrize("events", [False, True])
def test_operations_are_those_of_a_loop_over_spikes_and_weights(pool, events):
    network = convolutional(pool, Frames(2) if events else Direct(3))
    shape = (2, 2, 8, 8) if events else (2, 8, 8)
    x = torch.rand(2, *shape, dtype=torch.float64)
    x = (4 * x**3).round() if events else x
    spikes, operations = np.moveaxis(count_operations(around(network, shape), x.numpy(), 1), 2, 0)
    np.testing.assert_array_equal(operations.sum(1), loop(network, x, events))
    assert (operations > 0).all()
    assert (spikes[:, 1:] > 0).all()
    assert (spikes[:, 0] > 0).all() == events


def test_frames_between_whole_numbers_are_dense_at_every_step():
    network = convolutional(nn.AvgPool2d(2), Frames(3))
    x = torch.rand(2, 3, 2, 8, 8, dtype=torch.float64).numpy()
    counted = count_operations(around(network, x.shape[1:]), x)
    (_, leaving), *_ = count_synapses(network, x.shape[1:])
    assert (counted[:, 0] == [0, 3 * leaving.sum()]).all()


class Times(nn.Module):
    """A function that its module does not show."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what, self.inner = what, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.what(x) if callable(self.what) else x / self.what


LAST = Timed(nn.Linear(2, 4))
UNCOUNTED = [
    ([LIF(), Timed(nn.Sigmoid(), nn.Linear(2, 4))], r"1.module.0 \(Sigmoid"),
    ([LIF(), Timed(nn.Linear(2, 3), nn.Linear(3, 4))], "1.module.1 after other weights"),
    ([LIF(), Times(3), LAST], "functions that scale"),
    ([LIF(), Times(torch.relu), LAST], "the layers before the logits are"),
]


@pytest.mark.parametrize(("layers", "words"), UNCOUNTED)
def test_operations_that_cannot_be_counted_are_refused_by_name(layers, words):
    classifier = around(SpikingNetwork(layers, Direct(2)), (2,))
    with pytest.raises(ValueError, match=f"synapses can be counted.*got {words}"):
        synaptic_operations(classifier, np.zeros((1, 2), np.float32))


def noisy(case: Drawn, count: int) -> Tensor:
    """Points of the budget around every sample in turn, inside of it and at its corners."""
    x = case.x.repeat(count, *(1,) * (case.x.ndim - 1))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    wide = noise.sign() if case.norm == np.inf else noise
    noise = torch.where(torch.rand(len(x)).view(-1, *(1,) * (x.ndim - 1)) < 0.5, wide, noise / 3)
    return Drawn(case.network, x, case.eps, case.norm, "").inside(x + case.eps * noise)


def check(seed: int, norm: float, count: int) -> bool:
    """Whether a random network has a bound, which no point of so many around each sample beats."""
    case = drawn(varied(seed), norm, samples=4)
    classifier, x = around(case.network, case.x.shape[1:]), case.x.numpy()
    try:
        clean = synaptic_operations(classifier, x)
    except ArgumentError:  # Layers whose synapses cannot be counted.
        return False
    bound = bound_operations(classifier, x, case.eps, norm)
    most = synaptic_operations(classifier, noisy(case, count).numpy(), 500).reshape(count, 4)
    found = OperationsAttack(classifier, norm, case.eps, max_iter=4, **QUIET).generate(x)
    attacked = synaptic_operations(classifier, found)
    assert (clean <= attacked).all(), case.words
    assert (np.maximum(attacked, most.max(0)) <= bound).all(), case.words
    classes = (classifier.predict(part).argmax(1) for part in (x, found))
    np.testing.assert_array_equal(*classes)
    return True


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_attacks_lie_between_the_sample_and_the_bound(norm):
    assert sum(check(seed, norm, 20) for seed in range(4)) > 1


@pytest.mark.slow
def test_no_point_of_a_hundred_thousand_has_more_operations_than_the_bound():
    assert 10_000 * sum(check(seed, np.inf, 2500) for seed in range(20, 40)) >= 100_000


@pytest.mark.parametrize("rule", ["rga", "stbp", "relu"])
def test_an_attack_makes_a_trained_network_spend_more(rule, trained_layers, known):
    classifier = build(copy.deepcopy(trained_layers), gradient=rule)
    x, options = known[0][:8], {"eps": 0.3, "max_iter": 10} | QUIET
    noise = np.clip(x + 0.3 * np.random.default_rng(0).choice([-1, 1], x.shape), 0, 1)
    random = synaptic_operations(classifier, noise.astype(np.float32)).mean()
    free = OperationsAttack(classifier, keep_class=False, **options).generate(x)
    kept = OperationsAttack(classifier, **options).generate(torch.tensor(x)).numpy()
    assert max(np.abs(found - x).max() for found in (free, kept)) <= 0.3 + 1e-6
    clean, most, more = (synaptic_operations(classifier, one).mean() for one in (x, free, kept))
    assert min(most, more) > 1.05 * max(clean, random)
    np.testing.assert_array_equal(*(classifier.predict(one).argmax(1) for one in (x, kept)))
    assert classifier.nb_classes == classifier.predict(x).shape[1]
