"""Certificates hold for the network as it is computed, in whichever order it adds up."""

import copy
from types import SimpleNamespace as Names

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from art_snn.bounds.bounding import average_steps, enclose_samples
from art_snn.bounds.box import Box, unit_roundoff
from art_snn.bounds.firing import bound_currents, bound_steps
from art_snn.bounds.operations import Propagation
from art_snn.running.context import RUN, NetworkRun, set_in_block
from tests.bounds.random_networks import Drawn, around
from tests.conftest import varied

WIDE = 3000


def edge(threshold: float, weights: torch.Tensor) -> SpikingNetwork:
    """Neurons that surely fire, their weighted sum, and one neuron that decides between classes."""
    first, second, last = nn.Linear(2, WIDE), nn.Linear(WIDE, 1, bias=False), nn.Linear(1, 2)
    first.weight.data.zero_()
    first.bias.data.fill_(2.0)
    second.weight.data.copy_(weights[None])
    last.weight.data.copy_(torch.tensor([[-1.0], [1.0]]))  # One spike decides.
    last.bias.data.copy_(torch.tensor([0.5, -0.5]))
    layers = [Timed(first), LIF(), Timed(second), LIF(0.5, threshold), Timed(last)]
    return SpikingNetwork(layers, Direct(1), STBP()).eval()


def margins(network: SpikingNetwork, method: str) -> np.ndarray:
    x = np.full((2, 2), 0.5, np.float32)
    return certify_bounds(around(network, (2,), 2), x, np.arange(2), 1e-6, method=method).margin


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
    assert margins(edge(0.99 * min(sums), weights), method)[1] > 0.9
    assert margins(edge(1.01 * max(sums), weights), method)[0] > 0.9


def test_the_rounding_of_a_potential_is_part_of_its_interval():
    current, potential = torch.full((4, 1), 0.1), torch.empty(4, 1)
    LIF(0.5, 10.0).dynamics.simulate(current, potential)
    reached = LIF(0.5, float(potential[-1])).dynamics
    sure, maybe = bound_steps(reached, *bound_currents(reached, box(current)))
    assert (sure[-1], maybe[-1]) == (0, 1)


def test_batches_orders_and_precisions_stay_within_the_bounds():
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
    outputs = []
    with torch.no_grad():
        outputs += [network(case.x), turned(case.x[:, order]), double(case.x.double())]
        outputs += [torch.cat([network(part) for part in case.x.split(size)]) for size in (1, 5)]
    for z in outputs:
        assert (z.gather(1, y[:, None]) - z >= bounds).all()


UNIT = 2.0**-24


def box(centre: Tensor, slack: Tensor | float = 0.0, **more) -> Box:
    return Box(centre, torch.zeros_like(centre), torch.as_tensor(slack), **more)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(varied()))


@torch.no_grad()
def test_means_that_vanish_have_the_rounding_of_the_steps_that_do_not():
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(4, 1, 1)
    steps = signs * drawn(1, 1, WIDE).abs()
    layer = nn.Linear(WIDE, 2)
    layer.weight.data, layer.bias.data = drawn(2, WIDE), torch.zeros(2)
    first = nn.Linear(1, WIDE)
    first.weight.data, first.bias.data = 2 * steps[0].T, -steps[0, 0]
    encoded, raised, halved = (average_steps(box(part)) for part in (steps, steps + 1, steps / 2))
    spikes = average_steps(box((signs + 1) / 2))
    with Propagation():
        scaled = halved * 2
        joined = torch.cat([encoded, scaled], 1)[:, :1]
        shifted, hidden = raised - 1, first(spikes)
        for inputs in (encoded, shifted, scaled, joined, hidden):
            assert inputs.averaged == 4
            assert inputs.centre[-1].abs().max() < 1e-5
            slack = layer(inputs).slack
            size = (layer.weight.abs() * steps[0]).sum(1)
            assert (slack.expand(4, 1, 2)[-1] >= WIDE * UNIT * size).all()
            assert inputs.without_graph().magnitude >= steps.abs().max()


@torch.no_grad()
def test_the_mean_over_time_of_means_is_rounded_as_a_sum_of_all_steps():
    spikes = box(torch.ones(300, 1, 1), averaged=300)
    with Propagation():
        assert (2 * spikes).mean(0).slack >= 2 * 300 * UNIT
        assert (2 * spikes).sum(0).slack >= 300 * 2 * 300 * UNIT


@torch.no_grad()
def test_rows_of_a_sum_of_steps_and_samples_have_their_slack():
    zeros, slack = torch.zeros(4, 3, 5), torch.rand(3, 5)
    with Propagation():
        y = box(zeros) + box(zeros[0], slack)
        z = box(zeros, torch.ones(5)) + box(zeros, torch.ones(4, 3, 5))
    for rows in (slice(0, 1), slice(1, 3)):
        assert (y.rows(rows).ends[1] >= slack[rows]).all()
        assert (z.rows(rows).ends[1] >= 2).all()


def test_attacks_measure_in_the_unit_of_the_largest_value_there_may_be():
    x = torch.zeros(1, 2)
    for limits, largest in {(0, 255): 255, (-300.0, 20.0): 300, (-np.inf, np.inf): 1}.items():
        slack = enclose_samples(x, 0.5, np.inf, limits).slack
        assert 1e-6 * largest < slack < 1e-5 * largest


TF32, BF16 = 2.0**-11, 2.0**-8


def since_2_9(conv: str, matmul: str) -> Names:
    """torch's settings since 2.9, of which reading earlier ones can be an error."""
    units = Names(conv=Names(fp32_precision=conv), matmul=Names(fp32_precision=matmul))
    return Names(mkldnn=units, cuda=units, cudnn=units)


def before(conv: bool, matmul: bool) -> Names:
    cuda = Names(matmul=Names(allow_tf32=matmul))
    return Names(mkldnn=Names(), cuda=cuda, cudnn=Names(allow_tf32=conv))


@pytest.mark.parametrize(
    ("backends", "gpu", "matmul", "unit"),
    [
        *((since_2_9("none", "ieee"), gpu, "high", UNIT) for gpu in (False, True)),
        *((since_2_9("tf32", "none"), gpu, "high", TF32) for gpu in (False, True)),
        *((since_2_9("ieee", "tf32"), gpu, "high", TF32) for gpu in (False, True)),
        *((since_2_9("bf16", "tf32"), gpu, "high", BF16) for gpu in (False, True)),
        (before(False, False), True, "high", UNIT),
        (before(True, False), True, "highest", TF32),
        (before(False, True), True, "highest", TF32),
        (before(True, True), False, "highest", UNIT),
        (before(True, True), False, "high", TF32),
        (before(True, True), False, "medium", BF16),
    ],
)
def test_products_are_as_precise_as_torch_is_set_up(monkeypatch, backends, gpu, matmul, unit):
    monkeypatch.setattr(torch, "backends", backends)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: matmul)
    assert unit_roundoff(Names(dtype=torch.float32, is_cuda=gpu)) == unit
    assert unit_roundoff(Names(dtype=torch.float64, is_cuda=gpu)) == 2.0**-53


def test_sums_that_rounding_can_make_anything_of_are_refused_by_the_name_of_the_layer(monkeypatch):
    layers = [Timed(nn.Linear(1100, 4)), LIF(), Timed(nn.Linear(4, 2))]
    classifier = around(SpikingNetwork(layers, Direct(2)).eval(), (1100,), 2)
    x = np.zeros((1, 1100), np.float32)
    certify_bounds(classifier, x, np.zeros(1), 0.1)
    monkeypatch.setattr("art_snn.bounds.box.product_precisions", lambda like: {"tf32"})
    message = r"layers.0.module.0 \(Linear\), with sums of 1100 products, each rounded by 0.0005"
    with pytest.raises(ValueError, match=message):
        certify_bounds(classifier, x, np.zeros(1), 0.1)


def test_a_convolution_rounds_by_the_sum_of_what_it_adds_up():
    x, layer = torch.zeros(1, 8, 6, 6), nn.Conv2d(8, 8, 3, bias=False)
    x[..., :3, :3] = 1.0
    with torch.no_grad(), set_in_block(RUN, NetworkRun(constant_weights=True)), Propagation():
        slack = layer(Box(x, torch.zeros_like(x), torch.zeros(()))).slack
    assert (slack[..., 3, 3] < 1e-3 * slack[..., 0, 0]).all()
