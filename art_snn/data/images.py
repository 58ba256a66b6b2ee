"""The image sets of torchvision, and the digits that come with scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torchvision import datasets

from art_snn.checks import ArgumentError, MissingFile, require, require_root, require_sides
from art_snn.data.dataset import Dataset, ImageSize, sized_name, stratified
from art_snn.data.folder import read_pictures

_Part = tuple[np.ndarray, np.ndarray]
"""Images [N, C, H, W] uint8 with their class indices [N] int64."""

IMAGES = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "svhn": "train_32x32.mat and test_32x32.mat",
    "eurosat": "eurosat/2750",
}
"""The sets by name, each with the place of its files below the root."""


def digits(test_share: float = 0.2, seed: int = 0) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, ten classes.

    :param test_share: share of the images for testing, between 0 and 1.
    :param seed: of the split, which keeps the classes' proportions."""
    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    train, test = stratified(y, test_share, seed, "test_share")
    return Dataset("digits", x[train], y[train], x[test], y[test], mirrored=False)


def images(
    name: str,
    root: str | Path = "data",
    *,
    download: bool = False,
    image_size: ImageSize | None = None,
) -> Dataset:
    """An image set of torchvision, as shares of 255 with channels first.

    Sizes, training and test samples: mnist and fashion-mnist 1x28x28, 60,000 and 10,000; cifar10
    and cifar100 3x32x32, 50,000 and 10,000; svhn 3x32x32, 73,257 and 26,032; eurosat 3x64x64,
    27,000, split here into 80 % and 20 % by seed 0, each class in proportion.

    :param root: folder in which torchvision keeps its sets.
    :param download: fetch the set where it is missing; without it nothing is fetched.
    :param image_size: side or (height, width), by bilinear interpolation; None keeps theirs.
    :raises FileNotFoundError: when the set is not there, damaged, or cannot be fetched.
    :raises ValueError: for another name, a bad size, or a root that is no readable folder."""
    remedy = "Images of your own come from from_npz or from_folder."
    require(name in IMAGES, "name", f"one of {', '.join(IMAGES)}", repr(name), remedy)
    full_name, root = sized_name(name, image_size), require_root(root)
    try:
        train, test = _parts(name, root, download, image_size)
    except ArgumentError:
        raise
    except Exception as error:
        # Missing files, damaged bytes and networks make torchvision fail in any way.
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "Look at that folder" if download else "Pass download=True, --download in commands"
        why = f"which is missing, damaged or cannot be fetched ({reason}). {advice}"
        place = root / IMAGES[name]
        complaint = f"expected {name} in {place}, {why}, or put torchvision's files there."
        raise MissingFile("data", complaint) from error
    (x_train, y_train), (x_test, y_test) = train, test
    x_train, x_test = (
        np.divide(_resize(x, image_size), 255, dtype=np.float32) for x in (x_train, x_test)
    )
    # A mirrored numeral is no numeral.
    mirrored = name not in ("mnist", "svhn")
    return Dataset(full_name, x_train, y_train, x_test, y_test, mirrored=mirrored)


def _parts(
    name: str, root: Path, download: bool, image_size: ImageSize | None
) -> tuple[_Part, _Part]:
    """Training and test part, as torchvision reads them."""
    if name == "eurosat":
        samples = datasets.EuroSAT(root, download=download).samples
        x = read_pictures([file for file, _ in samples], image_size)
        y = np.array([label for _, label in samples], dtype=np.int64)
        train, test = stratified(y, 0.2, 0, "test_share")
        return (x[train], y[train]), (x[test], y[test])
    if name == "svhn":
        sets = [datasets.SVHN(root, part, download=download) for part in ("train", "test")]
        return tuple((part.data, part.labels.astype(np.int64)) for part in sets)  # type: ignore[return-value]
    kinds: dict[str, Any] = {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }
    parts = []
    for part in (kinds[name](root, train, download=download) for train in (True, False)):
        x = np.asarray(part.data)
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
        parts.append((x, np.asarray(part.targets).astype(np.int64)))
    return parts[0], parts[1]


def _resize(x: np.ndarray, image_size: ImageSize | None) -> np.ndarray:
    """Images [N, C, H, W] uint8 by bilinear interpolation, with antialiasing where they shrink."""
    if image_size is None:
        return x
    size = require_sides(image_size, channels="Channels are not resized.")
    if x.shape[2:] == size:
        return x
    # By parts, since the interpolation needs more memory than bytes do.
    parts = (torch.tensor(x[i : i + 1024], device="cpu") for i in range(0, len(x), 1024))
    how: Any = {"size": size, "mode": "bilinear", "antialias": True}
    return np.concatenate([functional.interpolate(part, **how).numpy() for part in parts])
