"""Bounds against the optimum, where it can be listed, and against those of the other method."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import METHODS, Bounding
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron
from tests.bounds.random_networks import CLASSES, LIMITS, Drawn, drawn, stack
from tests.bounds.test_firing import NEURONS
from tests.conftest import varied

STEPS = 5


def independent(neuron: Dynamics, seed: int) -> Drawn:
    """Pixels that drive one neuron each, and a linear readout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(varied(seed))
        first, last = nn.Linear(6, 6), nn.Linear(6, CLASSES)
        first.weight.data.copy_(torch.diag(1 + 2 * torch.rand(6)))
        layers = [Timed(first), Neuron(neuron), Timed(last)]
        network, x = SpikingNetwork(layers, Direct(STEPS)).eval(), torch.rand(8, 6)
    return Drawn(network, x, 0.05, np.inf, str(neuron))


@torch.no_grad()
def optimum(case: Drawn, y: Tensor, among: int = 4001) -> Tensor:
    """The smallest z_y - z_j [N, K] over the box: neuron by neuron, as each has its own pixel."""
    low, high = (case.x - case.eps).clamp(*LIMITS), (case.x + case.eps).clamp(*LIMITS)
    first, neuron, last = case.network.layers
    share = torch.linspace(0, 1, among).view(-1, 1, 1)
    current = first.module[0](low + share * (high - low))
    spikes = neuron.dynamics.simulate(current.expand(STEPS, *current.shape)).mean(0)
    weight, bias = last.module[0].weight, last.module[0].bias
    rows = weight[y][:, None] - weight
    least = (spikes[:, :, None] * rows).amin(0).sum(-1)
    return least + bias[y][:, None] - bias


@pytest.mark.parametrize("name", ["hard", "soft", "slow", "IF", "IF soft"])
def test_the_bound_by_counts_is_the_optimum_of_independent_neurons(name):
    for seed in range(4):
        case = independent(NEURONS[name], seed)
        y = case.y
        exact, bound = optimum(case, y), case.bounds("counts", y)
        assert (bound <= exact + 1e-6).all()
        # A piece of currents that is narrower than the grid can be missed by it.
        assert ((exact - bound).abs() < 2e-3).float().mean() > 0.9
        # Both leave room for rounding, and not the same.
        assert (case.bounds("s-ibp", y) <= bound + 1e-4).all()


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_margins_by_counts_are_never_smaller(norm):
    larger = 0
    for seed in range(24):
        case = drawn(varied(seed), norm, samples=4)
        y = case.y
        counts, steps = (case.bounds(method, y) for method in ("counts", "s-ibp"))
        assert (counts >= steps - 1e-5 * (1 + steps.abs())).all(), case.words
        larger += int((counts > steps + 1e-3).any())
    assert larger > 1


def test_charges_bound_integrating_neurons_better_than_steps():
    larger = 0
    for seed in range(8):
        torch.manual_seed(varied(seed))
        neuron = partial(Neuron, Dynamics(1.0, 1.0, "soft"))
        network = stack((6, 10, 6, 10, CLASSES), neuron, Direct(6), scale=2)
        assert Bounding(network, METHODS["counts"](), 0.02).averaged
        case = Drawn(network, torch.rand(6, 6), 0.02, np.inf, "charges")
        counts, steps = (case.bounds(method, case.y) for method in ("counts", "s-ibp"))
        assert (counts >= steps - 1e-4).all()
        larger += int((counts > steps + 0.05).sum())
    assert larger > 8
