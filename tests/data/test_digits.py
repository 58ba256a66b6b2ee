"""The digits as the demo and the examples use them."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.data import digits


def test_digits_are_split_by_class_into_images_between_0_and_1():
    data = digits()
    assert data.x_train.shape == (1437, 1, 8, 8)
    assert data.x_test.shape == (360, 1, 8, 8)
    assert data.x_train.dtype == np.float32
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert (data.input_shape, data.classes) == ((1, 8, 8), 10)
    assert np.bincount(data.y_test).min() >= 34
    assert data.value_range == (0, 1)
    assert not data.mirrored


def test_the_split_follows_from_the_seed_and_shares_no_image():
    assert np.array_equal(digits(seed=3).x_test, digits(seed=3).x_test)
    assert not np.array_equal(digits(seed=3).x_test, digits(seed=4).x_test)
    data = digits()
    assert len(data.x_train) + len(data.x_test) == 1797


@pytest.mark.parametrize(
    ("share", "word"), [*((share, "between") for share in (0, 1, -0.2)), (0.001, "each part")]
)
def test_a_share_that_leaves_too_little_is_refused(share, word):
    with pytest.raises(ValueError, match=rf"^test_share: expected a share .*{word}"):
        digits(test_share=share)
