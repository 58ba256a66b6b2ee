"""Random starts belong to samples."""

import pytest
import torch

from art_snn.attacks.randomness import uniform_noise
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
