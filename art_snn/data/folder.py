"""Folders of pictures, one per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import ImageFolder

from art_snn.checks import MissingFile, invalid
from art_snn.data.dataset import Dataset
from art_snn.data.pictures import read
from art_snn.data.sizes import ImageSize, named
from art_snn.data.split import TEST_SHARE, refuse_share, stratified


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

    :param path: a folder with the folders train and test, or else one folder per class, which are
        then split into training and test samples.
    :param image_size: side or (height, width) to which the pictures are brought by bilinear
        interpolation; None where they have one size.
    :param test_share: share for testing where the folder has no split of its own; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :raises FileNotFoundError: when there is no such folder, or no picture of a class.
    :raises ValueError: when a file cannot be read, sizes differ and none was given, only one of
        train and test is there, their classes differ, or a class has too few pictures to be split.
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingFile("data", f"expected a folder of pictures, but {path} does not exist.")
    if not _own_split(path):
        files, y = _listed(path)
        train, test = stratified(
            y, TEST_SHARE if test_share is None else test_share, seed, "test_share"
        )
    else:
        refuse_share(test_share, f"the folder {path}")
        files, y, train, test = _both(path)
    x = np.divide(read(files, image_size), 255, dtype=np.float32)
    name = named(path.resolve().name, image_size)
    return Dataset(name, x[train], y[train], x[test], y[test])


def _own_split(path: Path) -> bool:
    """Whether there are train and test, each with folders of classes."""
    parts = [part for part in ("train", "test") if any(p.is_dir() for p in path.glob(f"{part}/*"))]
    if len(parts) == 1:
        (found,) = parts
        missing = "test" if found == "train" else "train"
        raise invalid(
            "data",
            "both of the folders train and test, or neither",
            f"{path} with {found} alone",
            f"Add {missing}, or name {path / found} to have it split.",
        )
    return bool(parts)


def _both(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Files, classes, and which of them are for training and for testing."""
    (ours, y_train), (theirs, y_test) = _listed(path / "train"), _listed(path / "test")
    classes = [sorted(p.name for p in (path / part).iterdir() if p.is_dir()) for part in _PARTS]
    if classes[0] != classes[1]:
        differing = sorted(set(classes[0]) ^ set(classes[1]))
        raise invalid(
            "data",
            "the same classes in train and test",
            f"{', '.join(differing[:5])} in one of them only, in {path}",
            "Add what is missing: classes are numbered by their folders.",
        )
    y = np.concatenate([y_train, y_test])
    rows = np.arange(len(y))
    return ours + theirs, y, rows[: len(ours)], rows[len(ours) :]


_PARTS = ("train", "test")


def _listed(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        found = ImageFolder(path).samples
    except FileNotFoundError as error:
        raise MissingFile(
            "data", f"expected pictures in one folder per class, but not so in {path} ({error})."
        ) from error
    return [file for file, _ in found], np.array([label for _, label in found], dtype=np.int64)
