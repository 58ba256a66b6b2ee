"""Folders of pictures, one per class."""

import os
from pathlib import Path
from typing import NoReturn

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from art_snn.checks import MissingFile, invalid, require
from art_snn.data.dataset import Dataset
from art_snn.data.pictures import read_pictures
from art_snn.data.sizes import ImageSize, sized_name
from art_snn.data.split import TEST_SHARE, refuse_share, stratified
from art_snn.paths import FOLDER, expand_path, require_kind

PARTS = ("train", "test")


def from_folder(
    path: str | Path,
    image_size: ImageSize | None = None,
    *,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Pictures in path/train/<class>/ and path/test/<class>/, or in path/<class>/ alone.

    Classes are numbered by the alphabet. The pictures stay grey [N, 1, H, W] where all of them are,
    and become RGB [N, 3, H, W] otherwise, as shares of 255.

    :param path: a folder with the folders train and test, or one folder per class, which is split.
    :param image_size: side or (height, width) of all pictures, by bilinear interpolation; None
        where they have one size.
    :param test_share: share for testing where the folder has no split of its own; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :raises FileNotFoundError: when there is no such folder, or no picture of a class.
    :raises ValueError: when a file cannot be read or has more than 67,108,864 pixels; when sizes
        differ and none was given, train and test do not fit, or a class is too small to split."""
    path = expand_path("data", path)
    require_kind("data", path, FOLDER, "a folder of pictures")
    there = [p for p in PARTS if _classes(path / p)]
    missing = "test" if there == ["train"] else "train"
    expected = "both of the folders train and test, or neither"
    got = f"{path} with {''.join(there)} alone"
    remedy = f"Add {missing}, or name {path.joinpath(*there)} to have it split."
    require(len(there) != 1, "data", expected, got, remedy)
    if there:
        refuse_share(test_share, f"the folder {path}")
        (files, y_train), (others, y_test) = (_files(path / part) for part in PARTS)
        first, second = (_classes(path / part) for part in PARTS)
        got = f"{', '.join(sorted(first ^ second)[:5])} in one of them only, in {path}"
        remedy = "Add what is missing: classes are numbered by their folders."
        require(first == second, "data", "the same classes in train and test", got, remedy)
        train, test = np.split(np.arange(len(files + others)), [len(files)])
        files, y = files + others, np.concatenate([y_train, y_test])
    else:
        files, y = _files(path)
        share = TEST_SHARE if test_share is None else test_share
        train, test = stratified(y, share, seed, "test_share")
    x = np.divide(read_pictures(files, image_size), 255, dtype=np.float32)
    name = sized_name(path.resolve().name, image_size)
    return Dataset(name, x[train], y[train], x[test], y[test])


def _classes(path: Path) -> set[str]:
    """Names of the folders in the folder; none where there is no such folder."""
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        _refuse(error)


def _files(path: Path) -> tuple[list[str], np.ndarray]:
    """The pictures in path/<class>/, at any depth, and their class indices [N] int64."""
    for label in _classes(path):
        _check(str(path / label))
    try:
        samples = ImageFolder(path).samples
    except FileNotFoundError as error:
        expected = "expected pictures in one folder per class"
        raise MissingFile("data", f"{expected}, but not so in {path} ({error}).") from error
    return [file for file, _ in samples], np.array([label for _, label in samples], dtype=np.int64)


def _check(label: str) -> None:
    """Refuse what torchvision's walk through the folder of a class skips, or reads twice."""
    seen: set[str] = set()
    for folder, below, _ in os.walk(label, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        remedy = "Remove the link that leads there."
        require(real not in seen, "data", "every folder once", f"{folder} again", remedy)
        seen.add(real)
        pictures = [name for name in below if name.lower().endswith(IMG_EXTENSIONS)]
        got = f"{os.path.join(folder, *pictures[:1])}, a folder"
        require(not pictures, "data", "files of that name", got, "Rename it, or remove it.")


def _refuse(error: OSError) -> NoReturn:
    got = f"{error.filename} ({error.strerror})"
    remedy = "Change its permissions, or take a copy."
    raise invalid("data", "folders that may be read", got, remedy) from error
