"""PDSG: the slope follows the deviation of all potentials so far, of the batch or of a sample."""

import pytest
import torch

from art_snn import PDSG
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef
from art_snn.gradients.rules.pdsg import _running_deviation
from tests.oracles import deviation

POTENTIAL = [[[0.2, 0.8], [1.4, 1.0]], [[0.6, 1.1], [0.9, 0.3]]]
SIGMA = [0.5, 0.405101]
SLOPE = [0.087967, 0.532171, 0.762776, 0.704131, 0.325787, 0.953741, 0.745117, 0.082313]

SHAPES = [(4, 3, 2, 3, 2), (4, 3, 5), (4, 3), (4, 1, 2, 2, 2), (4, 3, 2, 1, 1), (1, 3, 2, 2, 2)]
each_way = pytest.mark.parametrize("per_sample", [False, True])


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


def naive_deviation(x, per_sample):
    # [T, N] has no channels of its own.
    steps = x.unbind() if x.ndim > 2 else x[..., None].unbind()
    sigmas = [deviation(list(steps[: t + 1]), per_sample) for t in range(len(steps))]
    return torch.stack(sigmas).view(x.shape)


@each_way
def test_slopes_and_deviations_are_those_computed_by_hand(per_sample):
    # With one sample and one channel both forms are the same.
    u = doubles(POTENTIAL).view(2, 1, 1, 2, 2)
    sigma = _running_deviation(u - 1, per_sample)
    assert sigma.flatten().tolist() == pytest.approx(SIGMA, abs=6e-7)
    slope = PDSG(per_sample=per_sample).slope(u - 1, NeuronRef("", Dynamics()))
    assert slope.flatten().tolist() == pytest.approx(SLOPE, abs=6e-7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_way
def test_the_deviation_is_that_of_torch_over_all_steps_so_far(per_sample, shape):
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    sigma = _running_deviation(x, per_sample)
    expected = naive_deviation(x, per_sample)
    torch.testing.assert_close(sigma.expand_as(x), expected, rtol=1e-12, atol=0)
    assert len(expected.unique()) > 1


@pytest.mark.parametrize("value", [0.0, 0.1, -1000.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_way
def test_a_constant_channel_has_the_deviation_one(per_sample, dtype, value):
    x = torch.randn(5, 3, 2, 7, dtype=dtype)
    x[:, :, 0] = value
    sigma = _running_deviation(x, per_sample)
    assert (sigma[:, :, 0] == 1).all()
    assert (sigma[:, :, 1] != 1).all()


def test_a_channel_that_is_constant_at_first_has_the_deviation_one_until_it_moves():
    x = doubles([0.3, 0.3, 0.3, 0.7]).view(4, 1, 1).expand(4, 2, 1)
    sigma = _running_deviation(x, False).flatten()
    assert sigma[:3].tolist() == [1, 1, 1]
    assert sigma[3].item() == pytest.approx(x.flatten().std().item(), rel=1e-12)


@pytest.mark.parametrize("offset", [1000.0, -1000.0])
@pytest.mark.parametrize("shape", [(8, 16, 2, 8, 8), (8, 16, 3)])
@each_way
def test_in_single_precision_a_large_offset_does_not_drown_the_deviation(per_sample, shape, offset):
    x = (torch.randn(shape) * 0.5 + offset).float()
    # At the first step of a sample alone there may be a single value, and no deviation.
    got, expected = (_running_deviation(y, per_sample)[1:] for y in (x, x.double()))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=0)
    exact = naive_deviation(x.double(), per_sample)[1:]
    torch.testing.assert_close(expected.expand_as(exact), exact, rtol=1e-9, atol=0)
