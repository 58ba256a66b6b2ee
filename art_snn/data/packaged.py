"""Fashion-MNIST as Debian packages it."""

from pathlib import Path

import numpy as np

from art_snn.data import idx

PACKAGED = "/usr/share/datasets/fashion-mnist"
"""Where Debian's package dataset-fashion-mnist puts its four idx files."""


def _files(folder: Path) -> list[Path]:
    parts = [(part, kind) for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return [folder / f"{part}-{kind}-ubyte.gz" for part, kind in parts]


def is_there(folder: Path) -> bool:
    """Whether the folder holds all four files."""
    return all(file.is_file() for file in _files(folder))


def parts(folder: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test part: images [N, 1, H, W] uint8 and class indices [N] int64.

    :raises ValueError: for a damaged file.
    """
    x_train, y_train, x_test, y_test = map(idx.read, _files(folder))
    train = x_train[:, None], y_train.astype(np.int64)
    return train, (x_test[:, None], y_test.astype(np.int64))
