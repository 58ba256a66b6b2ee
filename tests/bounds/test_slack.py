"""The slack of a box holds the rounding of all steps, orders of sums and precisions."""

from __future__ import annotations

from types import SimpleNamespace as Names

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from art_snn.bounds.bounding import _means
from art_snn.bounds.box import Box, Spread
from art_snn.bounds.inputs import LengthReach, perturbed
from art_snn.bounds.operations import Propagation
from art_snn.bounds.rounding import unit_roundoff
from tests.bounds.drawn import around
from tests.conftest import varied

UNIT = 2.0**-24
WIDE = 3000


def box(centre: Tensor, slack: Tensor | float = 0.0, **more) -> Box:
    return Box.around(centre, Spread(torch.zeros_like(centre), torch.as_tensor(slack), **more))


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(varied()))


@torch.no_grad()
def test_a_linear_layer_carries_the_slack_of_its_input_and_rounds_it():
    layer = nn.Linear(WIDE, 2, bias=False)
    layer.weight.data = drawn(2, WIDE)
    with Propagation():
        y = layer(box(torch.zeros(1, WIDE), 1e-3))
    error = WIDE * UNIT / (1 - WIDE * UNIT)
    assert (
        y.spread.slack.double() >= (1 + error) * 1e-3 * layer.weight.double().abs().sum(1)
    ).all()


@torch.no_grad()
def test_means_that_vanish_have_the_rounding_of_the_steps_that_do_not():
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(4, 1, 1)
    steps = signs * drawn(1, 1, WIDE).abs()
    layer = nn.Linear(WIDE, 2)
    layer.weight.data, layer.bias.data = drawn(2, WIDE), torch.zeros(2)
    first = nn.Linear(1, WIDE)
    first.weight.data, first.bias.data = 2 * steps[0].T, -steps[0, 0]
    encoded, raised, halved = (_means(box(part)) for part in (steps, steps + 1, steps / 2))
    spikes = _means(box((signs + 1) / 2))
    with Propagation():
        scaled = halved * 2
        joined = torch.cat([encoded, scaled], 1)[:, :1]
        shifted, hidden = raised - 1, first(spikes)
        for inputs in (encoded, shifted, scaled, joined, hidden):
            assert inputs.spread.averaged == 4
            assert inputs.centre[-1].abs().max() < 1e-5
            slack = layer(inputs).spread.slack
            size = (layer.weight.abs() * steps[0]).sum(1)
            assert (slack.expand(4, 1, 2)[-1] >= WIDE * UNIT * size).all()
            assert inputs.detached().most >= steps.abs().max()


@torch.no_grad()
def test_the_mean_over_time_of_means_is_rounded_as_a_sum_of_all_steps():
    spikes = box(torch.ones(300, 1, 1), averaged=300)
    with Propagation():
        assert (2 * spikes).mean(0).spread.slack >= 2 * 300 * UNIT
        assert (2 * spikes).sum(0).spread.slack >= 300 * 2 * 300 * UNIT


@torch.no_grad()
def test_means_have_the_slack_of_all_steps():
    slack = torch.tensor([1.0, 0.0]).view(2, 1, 1)
    means = _means(box(torch.zeros(2, 1, 1), slack))
    assert means.spread.slack.expand(2, 1, 1)[1] >= 0.5


@torch.no_grad()
def test_rows_of_a_sum_of_steps_and_samples_have_their_slack():
    slack = torch.rand(3, 5)
    with Propagation():
        y = box(torch.zeros(4, 3, 5)) + box(torch.zeros(3, 5), slack)
        z = box(torch.zeros(4, 3, 5), torch.ones(5)) + box(
            torch.zeros(4, 3, 5), torch.ones(4, 3, 5)
        )
    for start in range(3):
        rows = slice(start, start + 1)
        low, high = y.rows(rows).ends
        assert low.shape == (4, 1, 5)
        assert (high >= slack[rows]).all()
        assert (z.rows(rows).ends[1] >= 2).all()


def test_attacks_measure_in_the_unit_of_the_largest_value_there_may_be():
    x = torch.zeros(1, 2)
    for limits, largest in {(0, 255): 255, (-300.0, 20.0): 300, (-np.inf, np.inf): 1}.items():
        slack = perturbed(x, 0.5, np.inf, limits).spread.slack
        assert 1e-6 * largest < slack < 1e-5 * largest


@torch.no_grad()
def test_averages_whose_rows_overlap_take_no_euclidean_budget():
    x = torch.zeros(2, 5, 6)
    with Propagation():
        y = nn.AdaptiveAvgPool2d((3, 2))(box(x, reach=LengthReach(0.1, torch.ones_like(x))))
        z = nn.AdaptiveAvgPool2d((5, 2))(box(x, reach=LengthReach(0.1, torch.ones_like(x))))
    assert y.spread.reach is None
    assert z.spread.reach is not None


TF32, BF16 = 2.0**-11, 2.0**-8


def torch_set_up(conv: str, matmul: str) -> Names:
    """torch's settings since 2.9, of which reading earlier ones can be an error."""
    conv, matmul = Names(fp32_precision=conv), Names(fp32_precision=matmul)
    units = Names(conv=conv, matmul=matmul)
    return Names(mkldnn=units, cuda=units, cudnn=units)


def torch_before(allow_conv: bool, allow_matmul: bool) -> Names:
    cuda = Names(matmul=Names(allow_tf32=allow_matmul))
    return Names(mkldnn=Names(), cuda=cuda, cudnn=Names(allow_tf32=allow_conv))


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    ("names", "unit"),
    {
        ("none", "ieee"): UNIT,
        ("tf32", "none"): TF32,
        ("ieee", "tf32"): TF32,
        ("bf16", "tf32"): BF16,
    }.items(),
)
def test_products_are_as_precise_as_torch_is_set_up(monkeypatch, names, unit, gpu):
    monkeypatch.setattr(torch, "backends", torch_set_up(*names))
    assert unit_roundoff(Names(dtype=torch.float32, is_cuda=gpu)) == unit
    assert unit_roundoff(Names(dtype=torch.float64, is_cuda=gpu)) == 2.0**-53


def test_sums_that_rounding_can_make_anything_of_are_refused_by_the_name_of_the_layer(monkeypatch):
    layers = [Timed(nn.Linear(1100, 4)), LIF(), Timed(nn.Linear(4, 2))]
    classifier = around(SpikingNetwork(layers, Direct(2)).eval(), (1100,), 2)
    x = np.zeros((1, 1100), np.float32)
    certify_bounds(classifier, x, np.zeros(1), 0.1)
    monkeypatch.setattr("art_snn.bounds.rounding._precisions", lambda like: {"tf32"})
    message = r"layers.0.module.0 \(Linear\), with sums of 1100 products, each rounded by 0.0005"
    with pytest.raises(ValueError, match=message):
        certify_bounds(classifier, x, np.zeros(1), 0.1)


@pytest.mark.parametrize("allowed", [(False, False), (True, False), (False, True)])
def test_products_on_a_gpu_were_as_precise_as_was_allowed_before(monkeypatch, allowed):
    monkeypatch.setattr(torch, "backends", torch_before(*allowed))
    unit = TF32 if any(allowed) else UNIT
    assert unit_roundoff(Names(dtype=torch.float32, is_cuda=True)) == unit


@pytest.mark.parametrize(("name", "unit"), {"highest": UNIT, "high": TF32, "medium": BF16}.items())
def test_products_on_a_cpu_were_as_precise_as_matrix_products_before(monkeypatch, name, unit):
    monkeypatch.setattr(torch, "backends", torch_before(True, True))
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: name)
    assert unit_roundoff(Names(dtype=torch.float32, is_cuda=False)) == unit
