"""scikit-learn's handwritten digits, which come with the package's own dependency."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from art_snn.checks import invalid
from art_snn.data.dataset import Dataset


def digits(test_share: float = 0.2, seed: int = 0) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, ten classes.

    :param test_share: share of the images held out for testing, between 0 and 1.
    :param seed: of the split, which keeps the classes' proportions.
    :raises ValueError: when the share is not between 0 and 1.
    """
    if not 0 < test_share < 1:
        raise invalid(
            "test_share",
            expected="a share between 0 and 1",
            got=repr(test_share),
            remedy="The demo holds out 0.2.",
        )
    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=test_share, random_state=seed, stratify=y
    )
    return Dataset("digits", x_train, y_train, x_test, y_test)
