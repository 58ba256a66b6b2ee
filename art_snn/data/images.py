"""The image sets of torchvision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torchvision import datasets

from art_snn.checks import ArgumentError, MissingFile, require
from art_snn.data import packaged as debian, pictures
from art_snn.data.dataset import Dataset
from art_snn.data.sizes import ImageSize, resized, sides, sized_name
from art_snn.data.split import stratified
from art_snn.paths import expand_path, require_root

Part = tuple[np.ndarray, np.ndarray]
"""Images [N, C, H, W] uint8 with their class indices [N] int64."""


@dataclass(frozen=True)
class _Source:
    """A set of torchvision: what reads its training and test part, and where it lies below root."""

    parts: Callable[[Path, bool, ImageSize | None], tuple[Part, Part]]
    place: str
    mirrored: bool = True


def _torchvision(kind: Callable[..., Any], place: str, mirrored: bool = True) -> _Source:
    def parts(root: Path, download: bool, image_size: ImageSize | None) -> tuple[Part, Part]:
        train, test = (_arrays(kind(root, train, download=download)) for train in (True, False))
        return train, test

    return _Source(parts, place, mirrored)


def _svhn(root: Path, train: bool, download: bool) -> datasets.SVHN:
    return datasets.SVHN(root, "train" if train else "test", download=download)


def _eurosat(root: Path, download: bool, image_size: ImageSize | None) -> tuple[Part, Part]:
    samples = datasets.EuroSAT(root, download=download).samples
    x = pictures.read_pictures([file for file, _ in samples], image_size)
    y = np.array([label for _, label in samples], dtype=np.int64)
    train, test = stratified(y, 0.2, 0, "test_share")
    return (x[train], y[train]), (x[test], y[test])


IMAGES: Mapping[str, _Source] = MappingProxyType(
    {
        "mnist": _torchvision(datasets.MNIST, "MNIST/raw", mirrored=False),
        "fashion-mnist": _torchvision(datasets.FashionMNIST, "FashionMNIST/raw"),
        "cifar10": _torchvision(datasets.CIFAR10, "cifar-10-batches-py"),
        "cifar100": _torchvision(datasets.CIFAR100, "cifar-100-python"),
        "svhn": _torchvision(_svhn, "train_32x32.mat and test_32x32.mat", mirrored=False),
        "eurosat": _Source(_eurosat, "eurosat/2750"),
    }
)
"""The sets by name."""


def images(
    name: str,
    root: str | Path = "data",
    *,
    download: bool = False,
    image_size: ImageSize | None = None,
    packaged: str | Path = debian.PACKAGED,
) -> Dataset:
    """An image set of torchvision, as shares of 255 with channels first.

    Sizes, training and test samples: mnist and fashion-mnist 1x28x28, 60,000 and 10,000; cifar10
    and cifar100 3x32x32, 50,000 and 10,000; svhn 3x32x32, 73,257 and 26,032; eurosat 3x64x64,
    27,000, split here into 80 % and 20 % by seed 0, each class in proportion.

    :param root: folder in which torchvision keeps its sets.
    :param download: fetch the set where it is missing; without it nothing is fetched.
    :param image_size: side or (height, width), by bilinear interpolation; None keeps theirs.
    :param packaged: folder of Debian's dataset-fashion-mnist, where root has none.
    :raises FileNotFoundError: when the set is not there, damaged, or cannot be fetched.
    :raises ValueError: for another name, a bad size, or a root that is no readable folder."""
    remedy = "Images of your own come from from_npz or from_folder."
    require(name in IMAGES, "name", f"one of {', '.join(IMAGES)}", repr(name), remedy)
    if image_size is not None:
        sides(image_size)
    root, packaged, source = require_root(root), expand_path("packaged", packaged), IMAGES[name]
    missing = name == "fashion-mnist" and not (root / source.place).is_dir()
    try:
        if missing and debian.is_there(packaged):
            train, test = debian.read_parts(packaged)
        else:
            train, test = source.parts(root, download, image_size)
    except ArgumentError:
        raise
    except Exception as error:
        # Missing files, damaged bytes and networks make torchvision fail in any way.
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "Look at that folder" if download else "Pass download=True, --download in commands"
        advice += ", or put torchvision's files there."
        if name == "fashion-mnist":
            advice += f" On Debian, install dataset-fashion-mnist, which puts it in {packaged}."
        why = f"which is missing, damaged or cannot be fetched ({reason}). {advice}"
        raise MissingFile("data", f"expected {name} in {root / source.place}, {why}") from error
    parts = zip(("x_train", "x_test"), (train[0], test[0]), strict=True)
    x = {n: np.divide(resized(part, image_size), 255, dtype=np.float32) for n, part in parts}
    y = {"y_train": train[1], "y_test": test[1]}
    return Dataset(sized_name(name, image_size), **x, **y, mirrored=source.mirrored)  # type: ignore[arg-type]


def _arrays(part: Any) -> Part:
    """Arrays of a set of torchvision, whose axes differ."""
    x = np.asarray(part.data)
    y = np.asarray(part.labels if isinstance(part, datasets.SVHN) else part.targets)
    if x.ndim == 3:
        x = x[:, None]
    elif not isinstance(part, datasets.SVHN):
        x = x.transpose(0, 3, 1, 2)
    return x, y.astype(np.int64)
