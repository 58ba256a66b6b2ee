"""Images: the sets of torchvision, scikit-learn's digits, and folders of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional
from torchvision import datasets
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import is_image_file

from art_snn.checks import (
    FOLDER,
    MissingFile,
    refusing,
    require,
    require_choice,
    require_kind,
    require_root,
)
from art_snn.data.dataset import Dataset, ImageSize, Sides, read_size, require_no_share
from art_snn.progress import progress_over

_PARTS = ("train", "test")

IMAGES: dict[str, tuple[str, Any]] = {
    "mnist": ("MNIST/raw", datasets.MNIST),
    "fashion-mnist": ("FashionMNIST/raw", datasets.FashionMNIST),
    "cifar10": ("cifar-10-batches-py", datasets.CIFAR10),
    "cifar100": ("cifar-100-python", datasets.CIFAR100),
    "svhn": ("train_32x32.mat and test_32x32.mat", datasets.SVHN),
    "eurosat": ("eurosat/2750", datasets.EuroSAT),
}
"""The sets by name, each with the place of its files below the root, and its class."""


def digits(test_share: float = 0.2, seed: int = 0) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, ten classes.

    :param test_share: share of the images for testing, between 0 and 1.
    :param seed: of the split, which keeps the classes' proportions."""
    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    return Dataset.split("digits", x, bunch.target, test_share, seed)


def images(
    name: str,
    root: str | Path = "data",
    *,
    download: bool = False,
    image_size: ImageSize | None = None,
) -> Dataset:
    """An image set of torchvision, as shares of 255 with channels first.

    Sizes, training and test samples: mnist and fashion-mnist 1x28x28, 60,000 and 10,000;
    cifar10 and cifar100 3x32x32, 50,000 and 10,000; svhn 3x32x32, 73,257 and 26,032;
    eurosat 3x64x64, 27,000, split here into 80 % and 20 % by seed 0, each class in
    proportion.

    :param root: folder in which torchvision keeps its sets.
    :param download: fetch the set where it is missing; without it nothing is fetched.
    :param image_size: side or (height, width), by bilinear interpolation; None keeps theirs.
    :raises FileNotFoundError: when the set is not there, damaged, or cannot be fetched.
    :raises ValueError: for another name, a bad size, or a root that is no readable folder."""
    remedy = "Images of your own come from from_npz or from_folder."
    require_choice("name", name, IMAGES, remedy=remedy)

    full_name, size = read_size(name, image_size)
    parts = _open_parts(name, require_root(root), download)
    if name == "eurosat":
        x, y = _read_samples(parts[0].samples, size)
        return Dataset.split(full_name, x, y, mirrored=True)

    arrays = []
    for part in parts:
        x = np.asarray(part.data)
        if x.ndim == 3:
            x = x[:, None]
        elif name != "svhn":
            x = x.transpose(0, 3, 1, 2)
        arrays.append(np.divide(_resize(x, size), 255, dtype=np.float32))

        y = part.labels if name == "svhn" else part.targets
        arrays.append(np.asarray(y))
    x_train, y_train, x_test, y_test = arrays

    # A mirrored numeral is no numeral.
    mirrored = name not in ("mnist", "svhn")
    return Dataset(full_name, x_train, y_train, x_test, y_test, mirrored=mirrored)


def _open_parts(name: str, root: Path, download: bool) -> list[Any]:
    """The training and the test part of a set of torchvision; EuroSAT has one part."""
    place, kind = IMAGES[name]
    try:
        if name == "eurosat":
            return [kind(root, download=download)]
        words = _PARTS if name == "svhn" else (True, False)
        return [kind(root, word, download=download) for word in words]
    except Exception as error:
        # Missing files, damaged bytes and networks make torchvision fail in any way.
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "Look at that folder" if download else "Pass download=True"
        why = f"which is missing, damaged or cannot be fetched ({reason}). {advice}"
        complaint = f"expected {name} in {root / place}, {why}, put torchvision's files there, or "
        complaint += f"name the folder that has them: FOLDER/{name}."
        raise MissingFile("data", complaint) from error


def _resize(x: ndarray, size: Sides) -> ndarray:
    """Images [N, C, H, W] uint8 by bilinear interpolation, with antialiasing where they shrink."""
    if size is None or x.shape[2:] == size:
        return x
    # By parts, since the interpolation needs more memory than bytes do.
    resized = [
        functional.interpolate(part, size, mode="bilinear", antialias=True)
        for part in torch.split(torch.tensor(x, device="cpu"), 1024)
    ]
    return torch.cat(resized).numpy()


def from_folder(
    path: str | Path,
    image_size: ImageSize | None = None,
    *,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Pictures in path/train/<class>/ and path/test/<class>/, or in path/<class>/ alone.

    Classes are numbered by the alphabet. The pictures stay grey [N, 1, H, W] where all of
    them are, and become RGB [N, 3, H, W] otherwise, as shares of 255.

    :param path: a folder with the folders train and test, or one folder per class, which is split.
    :param image_size: side or (height, width) of all pictures, by bilinear interpolation;
        None where they have one size.
    :param test_share: share for testing where the folder has no split of its own; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :raises FileNotFoundError: when there is no such folder, or no picture of a class.
    :raises ValueError: when a file cannot be read, or is larger than PIL allows; when
        sizes differ and none was given, train and test do not fit, or a class is too
        small to split."""
    path = require_kind("data", path, FOLDER, "a folder of pictures")
    there = [part for part in _PARTS if (path / part).is_dir()]
    missing = "test" if there == ["train"] else "train"
    require(
        len(there) != 1,
        "data",
        "both of the folders train and test, or neither",
        f"{path} with {''.join(there)} alone",
        f"Add {missing}, or name {path.joinpath(*there)} to have it split.",
    )
    name, size = read_size(path.resolve().name, image_size)
    if not there:
        x, y = _read_samples(_image_folder(path).samples, size)
        return Dataset.split(name, x, y, test_share, seed)
    require_no_share(test_share, path)
    first, second = (_image_folder(path / part) for part in _PARTS)
    other = set(first.classes) ^ set(second.classes)
    require(
        not other,
        "data",
        "the same classes in train and test",
        f"{', '.join(sorted(other)[:5])} in one of them only, in {path}",
        "Add what is missing: classes are numbered by their folders.",
    )
    x, y = _read_samples(first.samples + second.samples, size)
    count = len(first.samples)
    return Dataset(name, x[:count], y[:count], x[count:], y[count:])


def holds_pictures(folder: Path) -> bool:
    """True for a folder with train or test in it, or with pictures in folders of classes."""
    parts = any((folder / part).is_dir() for part in _PARTS)
    return parts or any(is_image_file(path.name) for path in folder.glob("*/*"))


def _image_folder(path: Path) -> ImageFolder:
    try:
        return ImageFolder(path)
    except FileNotFoundError as error:
        expected = "expected pictures in one folder per class"
        raise MissingFile(
            "data", f"{expected}, which {path} does not have ({error})."
        ) from error


def _read_samples(
    samples: Sequence[tuple[str, int]], size: Sides
) -> tuple[ndarray, ndarray]:
    """Pictures [N, C, H, W] as shares of 255 and classes [N], from files with their classes.

    One channel where all of them are grey, otherwise RGB. Without a size they must all
    have one. Resizing is bilinear."""
    paths = [file for file, _ in samples]
    pictures = []
    for path in progress_over(paths, "Pictures", unit="files", leave=False):
        pictures.append(_read_picture(path, size))
        first, other = ("x".join(map(str, pictures[i].shape[:2])) for i in (0, -1))
        require(
            first == other,
            "image_size",
            "a size, since the pictures have several",
            f"None, for {first} ({paths[0]}) and {other} ({path})",
            "Give all of them one size, such as image_size=32.",
        )
    channels = max(picture.shape[2] for picture in pictures)
    stack = np.empty((len(pictures), *pictures[0].shape[:2], channels), np.uint8)
    for row, picture in zip(stack, pictures, strict=True):
        row[:] = picture  # A grey one has its channel three times among coloured ones.
    x = np.divide(stack.transpose(0, 3, 1, 2), 255, dtype=np.float32, order="C")
    return x, np.array([label for _, label in samples])


def _read_picture(path: str, size: Sides) -> ndarray:
    """[H, W, 1] of a grey picture, [H, W, 3] of any other."""
    expected = "pictures that PIL reads"
    remedy = "Delete that file, or save it again."
    with (
        refusing("data", expected, f"{path}, which cannot be read", remedy),
        Image.open(path) as stream,
    ):
        mode = stream.mode
        picture = stream.convert("L" if mode in ("1", "L") else "RGB")
    require(
        not mode.startswith(("I", "F")),
        "data",
        "pictures of 8 bits per channel",
        f"{path} of mode {mode}",
        "Convert them, or save them as arrays for from_npz.",
    )
    if size is not None:
        height, width = size
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.atleast_3d(np.asarray(picture))
