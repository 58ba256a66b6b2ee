"""Random numbers belong to samples; what draws at random differs from draw to draw."""

import numpy as np
import pytest
import torch

from art_snn.attacks.randomness import logit_spread, random, uniform_noise
from tests.conftest import varied

X = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(varied()))


def test_a_sample_has_the_same_numbers_alone_and_in_any_order():
    together = uniform_noise(X, 3)
    order = torch.tensor([4, 0, 3, 1, 2])
    assert torch.equal(uniform_noise(X[order], 3), together[order])
    assert torch.equal(uniform_noise(X[2:3], 3), together[2:3])
    assert torch.equal(uniform_noise(X.double(), 3).float(), together)


def test_samples_seeds_and_draws_have_numbers_of_their_own():
    numbers = [uniform_noise(X, 3), uniform_noise(X, 4), uniform_noise(X, 3, draw=1)]
    every = torch.cat(numbers).flatten(1)
    assert len({tuple(row.tolist()) for row in every}) == 15


def test_the_numbers_are_uniform_between_minus_one_and_one():
    numbers = uniform_noise(torch.arange(40.0)[:, None].expand(-1, 500), varied())
    assert numbers.abs().max() <= 1
    # 20,000 numbers: five standard deviations of their mean and of their mean square.
    assert abs(float(numbers.mean())) < 5 * (1 / 3 / 20_000) ** 0.5
    assert abs(float(numbers.square().mean()) - 1 / 3) < 5 * (4 / 45 / 20_000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_may_be_no_sample(dtype):
    assert uniform_noise(torch.zeros(0, 3, dtype=dtype), 0).shape == (0, 3)


def test_spread_and_randomness_by_hand():
    one = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert logit_spread([one, one, one]) == 0
    # A difference of 2 in logits of length 5, and of 0.25 where the length is 0.
    assert logit_spread([one, one + np.array([[0, 2], [0.25, 0]])]) == pytest.approx(0.4)
    assert not random([one, one * (1 + 1e-6)], np.array([1, 0]))
    assert random([one, one * 1.001], np.array([1, 0]))
    # Next to no difference, but another class.
    even = np.array([[1.0, 1.0 + 1e-9]])
    assert random([even, even[:, ::-1]], np.array([1]))
    assert logit_spread([np.full((1, 2), np.nan)] * 2) == 0
