"""Data sets that come in packages: scikit-learn's digits, and Fashion-MNIST from Debian."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from art_snn.checks import invalid
from art_snn.data.dataset import Dataset
from art_snn.data.split import stratified

PACKAGED = "/usr/share/datasets/fashion-mnist"
"""Where Debian's package dataset-fashion-mnist puts its four idx files."""


def digits(test_share: float = 0.2, seed: int = 0) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, ten classes.

    :param test_share: share of the images for testing, between 0 and 1.
    :param seed: of the split, which keeps the classes' proportions."""
    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    train, test = stratified(y, test_share, seed, "test_share")
    return Dataset("digits", x[train], y[train], x[test], y[test], mirrored=False)


def _files(folder: Path) -> list[Path]:
    parts = [(part, kind) for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return [folder / f"{part}-{kind}-ubyte.gz" for part, kind in parts]


def is_there(folder: Path) -> bool:
    """Whether the folder holds all four files."""
    return all(file.is_file() for file in _files(folder))


def read_parts(folder: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test images [N, 1, H, W] uint8, each with its class indices [N] int64."""
    x_train, y_train, x_test, y_test = map(_read, _files(folder))
    train = x_train[:, None], y_train.astype(np.int64)
    return train, (x_test[:, None], y_test.astype(np.int64))


def _read(path: Path) -> np.ndarray:
    try:
        with TemporaryDirectory() as folder:
            plain = Path(folder) / "idx"
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            array: np.ndarray = read_sn3_pascalvincent_tensor(str(plain)).numpy()
        if array.dtype != np.uint8:
            raise ValueError(f"it holds {array.dtype}")
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        expected, got = "a gzip-compressed idx file of bytes", f"{path}, which cannot be read"
        remedy = "Install or download it again."
        raise invalid("data", expected, f"{got} ({error})", remedy) from error
    return array
