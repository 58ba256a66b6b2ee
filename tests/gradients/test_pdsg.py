"""PDSG: the slope follows the deviation of all potentials so far, of the batch or of a sample."""

import math

import pytest
import torch

from art_snn import PDSG
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef
from tests.oracles import deviation

DISTANCE = torch.tensor([[[-0.8, -0.2], [0.4, 0.0]], [[-0.4, 0.1], [-0.1, -0.7]]]).double()
SLOPE = [0.087967, 0.532171, 0.762776, 0.704131, 0.325787, 0.953741, 0.745117, 0.082313]
SHAPES = [(4, 3, 2, 3, 2), (4, 3, 5), (4, 3), (4, 1, 2, 2, 2), (4, 3, 2, 1, 1), (1, 3, 2, 2, 2)]
each_way = pytest.mark.parametrize("per_sample", [False, True])


def slope(distance, per_sample):
    return PDSG(per_sample=per_sample).slope(distance.clone(), NeuronRef("", Dynamics()))


def naive_slope(x, per_sample):
    """A Gaussian of the deviation of every channel so far; [T, N] has no channels of its own."""
    steps = x.unbind() if x.ndim > 2 else x[..., None].unbind()
    sigmas = [deviation(list(steps[: t + 1]), per_sample) for t in range(len(steps))]
    sigma = torch.stack(sigmas).view(x.shape)
    return torch.exp(-((x - sigma / 2) ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


@each_way
def test_slopes_are_those_computed_by_hand(per_sample):
    # With one sample and one channel both forms are the same.
    got = slope(DISTANCE.view(2, 1, 1, 2, 2), per_sample)
    assert got.flatten().tolist() == pytest.approx(SLOPE, abs=6e-7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_way
def test_the_deviation_is_that_of_torch_over_all_steps_so_far(per_sample, shape):
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    expected = naive_slope(x, per_sample)
    torch.testing.assert_close(slope(x, per_sample), expected, rtol=1e-12, atol=0)
    assert len(expected.unique()) > 1


@pytest.mark.parametrize("offset", [1e4, -1e4])
@each_way
def test_in_single_precision_a_large_offset_does_not_drown_the_deviation(per_sample, offset):
    x = torch.randn(4, 3, 2, 5) * 0.5 + offset
    at_step = PDSG(per_sample=per_sample).prepare(x, NeuronRef("", Dynamics()))
    at_threshold = at_step(torch.zeros_like(x), slice(0, 4), slice(0, 3))
    # There the slope tells the deviation alone.
    got = math.exp(-1 / 8) / (math.sqrt(2 * math.pi) * at_threshold)
    steps = x.double().unbind()
    exact = torch.stack([deviation(list(steps[: t + 1]), per_sample) for t in range(4)])
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), exact.expand_as(got), rtol=1e-3, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, -1.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_way
def test_a_constant_channel_has_the_deviation_one(per_sample, dtype, value):
    x = torch.randn(5, 3, 2, 7, dtype=dtype)
    x[:, :, 0] = value
    # For two steps the last channel is constant, too.
    x[:2, :, 1] = 0.3
    torch.testing.assert_close(slope(x, per_sample), naive_slope(x, per_sample))
