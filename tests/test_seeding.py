"""Random states for the length of a block."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from art_snn.seeding import random_state, restore_random_state, seeded


def test_random_states_are_set_within_the_block_and_put_back_after_an_error():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    own = random.getstate()
    draws = []

    def draw(seed: int) -> None:
        with seeded(seed):
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
    with seeded(3):
        for _ in range(before):
            draw_all()
        state = random_state()
        first = [draw_all() for _ in range(3)]
        restore_random_state(state)
        assert [draw_all() for _ in range(3)] == first
