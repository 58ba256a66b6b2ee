"""Calls that tell whether a network draws, keeps a state or mixes samples."""

import numpy as np
import pytest
import torch

from art_snn.randomness import draws_numbers, is_random, logit_spread, predict_by_draws


def test_spread_and_randomness_by_hand():
    one = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert logit_spread([one, one, one]) == 0
    # A difference of 2 in logits of length 5, and of 0.25 where the length is 0.
    assert logit_spread([one, one + np.array([[0, 2], [0.25, 0]])]) == pytest.approx(0.4)
    assert not is_random([one, one * (1 + 1e-6)], np.array([1, 0]))
    assert is_random([one, one * 1.001], np.array([1, 0]))
    # Next to no difference, but another class.
    even = np.array([[1.0, 1.0 + 1e-9]])
    assert is_random([even, even[:, ::-1]], np.array([1]))
    assert logit_spread([np.full((1, 2), np.nan)] * 2) == 0


def test_a_call_that_draws_from_torch_is_told_from_one_that_does_not():
    cpu = torch.device("cpu")
    assert draws_numbers(lambda: torch.rand(()), cpu)
    assert not draws_numbers(lambda: torch.zeros(()), cpu)
    # A generator of its own is none of torch's.
    generator = torch.Generator()
    assert not draws_numbers(lambda: torch.rand((), generator=generator), cpu)


def test_predictions_by_draws_have_a_random_state_each_and_the_same_ones_again():
    def predict() -> np.ndarray:
        return torch.rand(2, 3).numpy()

    first, second = predict_by_draws(predict, 5, 2)
    assert not np.array_equal(first, second)
    assert np.array_equal(predict_by_draws(predict, 6, 1)[0], second)
