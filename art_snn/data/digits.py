"""scikit-learn's handwritten digits, which come with the package's own dependency."""

import numpy as np
from sklearn.datasets import load_digits

from art_snn.data.dataset import Dataset
from art_snn.data.split import stratified


def digits(test_share: float = 0.2, seed: int = 0) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, ten classes.

    :param test_share: share of the images held out for testing, between 0 and 1.
    :param seed: of the split, which keeps the classes' proportions.
    :raises ValueError: when the share is not between 0 and 1, or leaves a part too small."""
    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    train, test = stratified(y, test_share, seed, "test_share")
    return Dataset("digits", x[train], y[train], x[test], y[test], mirrored=False)
