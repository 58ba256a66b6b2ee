"""Random states for the length of a block, and numbers that belong to samples."""

import random

import numpy as np
import pytest
import torch

from art_snn.seeding import fix_seed, random_state, restore_random_state, uniform_noise
from tests.seeds import varied


def test_random_states_are_set_within_the_block_and_put_back_after_an_error():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    own = random.getstate()
    draws = []

    def draw(seed: int) -> None:
        with fix_seed(seed):
            draws.append((np.random.random(), torch.rand(()).item(), random.random()))  # noqa: NPY002
            raise ZeroDivisionError

    for seed in (5, 5, 6):
        with pytest.raises(ZeroDivisionError):
            draw(seed)
    assert draws[0] == draws[1]
    assert all(one != other for one, other in zip(draws[1], draws[2], strict=True))
    assert random.getstate() == own
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def draw_all() -> list[float]:
    # Normal numbers come in pairs, of which the second is kept.
    return [np.random.normal(), torch.randn(()).item(), random.gauss(0, 1)]  # noqa: NPY002


@pytest.mark.parametrize("before", [0, 1])
def test_a_random_state_is_restored_to_the_last_draw(before: int) -> None:
    with fix_seed(3):
        for _ in range(before):
            draw_all()
        state = random_state()
        first = [draw_all() for _ in range(3)]
        restore_random_state(state)
        assert [draw_all() for _ in range(3)] == first


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
