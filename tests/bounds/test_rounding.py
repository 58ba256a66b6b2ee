"""Certificates hold for the network as it is computed, in whichever order it adds up."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from tests.bounds.drawn import Drawn, around
from tests.conftest import varied

WIDE = 3000


def edge(threshold: float, weights: torch.Tensor, steps: int = 1) -> SpikingNetwork:
    """Neurons that surely fire, their weighted sum, and one neuron that decides between classes."""
    first, second, last = nn.Linear(2, WIDE), nn.Linear(WIDE, 1, bias=False), nn.Linear(1, 2)
    first.weight.data.zero_()
    first.bias.data.fill_(2.0)
    second.weight.data.copy_(weights[None])
    last.weight.data.copy_(steps * torch.tensor([[-1.0], [1.0]]))  # One spike decides.
    last.bias.data.copy_(torch.tensor([0.5, -0.5]))
    layers = [Timed(first), LIF(), Timed(second), LIF(0.5, threshold), Timed(last)]
    return SpikingNetwork(layers, Direct(steps), STBP()).eval()


def margins(network: SpikingNetwork, method: str) -> list[float]:
    x = np.full((1, 2), 0.5, np.float32)
    classifier = around(network, (2,), 2)
    return [
        certify_bounds(classifier, x, np.array([k]), 1e-6, method=method).margin[0] for k in (0, 1)
    ]


@pytest.mark.parametrize("method", ["counts", "s-ibp"])
def test_a_current_at_the_threshold_by_the_last_bit_is_not_certified(method):
    generator = torch.Generator().manual_seed(varied())
    weights = torch.rand(WIDE, generator=generator) / 1000
    orders = [weights[torch.randperm(WIDE, generator=generator)] for _ in range(20)]
    sums = {float(order.cumsum(0)[-1]) for order in orders}
    sums.add(float(weights.double().sum()))
    # The network fires or not by the order of its sum alone.
    assert len(sums) > 1
    for threshold in (min(sums), max(sums)):
        assert max(margins(edge(threshold, weights), method)) <= 0
    lowest, highest = min(sums) * (1 - 0.01), max(sums) * (1 + 0.01)
    assert margins(edge(lowest, weights), method)[1] > 0.9
    assert margins(edge(highest, weights), method)[0] > 0.9


@pytest.mark.parametrize("method", ["counts", "s-ibp"])
def test_a_potential_at_the_threshold_by_the_last_bit_is_not_certified(method):
    weights = torch.zeros(WIDE)
    weights[0] = 0.1
    # After four steps 0.1 + 0.05 + 0.025 + 0.0125, which single precision rounds.
    reached = LIF(0.5, 10.0).dynamics
    potential = torch.empty(4, 1)
    reached.simulate(torch.full((4, 1), 0.1), potential)
    for shift in (-1, 0, 1):
        threshold = float(potential[-1]) + shift * 1.5e-8
        assert max(margins(edge(threshold, weights, steps=4), method)) <= 0
    assert margins(edge(float(potential[-1]) * 1.001, weights, steps=4), method)[0] > 0


def test_threads_batches_orders_and_precisions_stay_within_the_bounds():
    torch.manual_seed(varied())
    first, second = nn.Linear(WIDE, 40), nn.Linear(40, 4)
    with torch.no_grad():
        first.weight.mul_(3)
    network = SpikingNetwork([Timed(first), LIF(), Timed(second)], Direct(4)).eval()
    case = Drawn(network, torch.rand(12, WIDE), 1e-7, np.inf, "wide")
    y, bounds = case.y, case.bounds()
    assert (bounds.scatter(1, y[:, None], 1.0).amin(1) > 0).any()
    order = torch.randperm(WIDE)
    turned, double = copy.deepcopy(network), copy.deepcopy(network).double()
    turned.layers[0].module[0].weight.data = first.weight.data[:, order].clone()
    threads = torch.get_num_threads()
    try:
        outputs = []
        with torch.no_grad():
            for count in (1, 2):
                torch.set_num_threads(count)
                outputs += [network(case.x), turned(case.x[:, order]), double(case.x.double())]
                outputs += [
                    torch.cat([network(part) for part in case.x.split(size)]) for size in (1, 5)
                ]
    finally:
        torch.set_num_threads(threads)
    for z in outputs:
        assert (z.gather(1, y[:, None]) - z >= bounds).all()
