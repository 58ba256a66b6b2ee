"""BPTR: the gradient passes every neuron that fired, and none of the others."""

from __future__ import annotations

import pytest
import torch

from art_snn import BPTR, STBP
from art_snn.dynamics import Dynamics
from art_snn.gradients import Trace
from tests.architectures import AFFINE, batch, network
from tests.gradients.ways import AT_SPIKES, on_the_check_vector
from tests.oracles import result


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_the_factor_on_the_check_vector_is_one(decay, reset):
    got = on_the_check_vector(BPTR(), decay=decay, reset=reset)
    assert got == pytest.approx(AT_SPIKES.tolist(), rel=1e-12)


def test_the_factor_is_zero_where_nothing_fires():
    assert on_the_check_vector(BPTR(), threshold=3.0) == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_asks_only_whether_the_rate_is_positive(dtype):
    rate = torch.tensor([[[0, 0.125, 0.5, 1]]], dtype=dtype)
    current = torch.tensor([[[9.0, -1, 0, 3]]], dtype=dtype)
    slope = BPTR().slope(Trace(Dynamics(0.3, 2.0), current, rate, None))
    assert slope.dtype == dtype
    assert slope.tolist() == [[[0, 1, 1, 1]]]


def test_only_the_spikes_matter_and_not_the_threshold():
    x = batch()
    one, two = (network(AFFINE["chain"], gradient=BPTR(), threshold=t) for t in (1.0, 2.0))
    two.load_state_dict(one.state_dict())
    with torch.no_grad():
        # Twice the threshold, with twice the current: the same spikes.
        two.layers[0].module[1].weight.mul_(2)
        two.layers[2].module[0].weight.mul_(2)
        two.layers[2].module[0].bias.mul_(2)
    first, second = result(one, x), result(two, x)
    torch.testing.assert_close(second.logits, first.logits)
    torch.testing.assert_close(second.input, 4 * first.input)
    with one.using(STBP()), two.using(STBP()):
        assert not torch.allclose(result(two, x).input, 4 * result(one, x).input)
