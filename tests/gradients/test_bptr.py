"""BPTR: the gradient passes every neuron that fired, and none of the others."""

import pytest
import torch

from art_snn import BPTR
from art_snn.dynamics import Dynamics
from art_snn.gradients import Trace
from tests.gradients.ways import AT_SPIKES, on_the_check_vector


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
