"""The picture files of a folder, by class."""

import os
from pathlib import Path
from typing import NoReturn

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from art_snn.checks import MissingFile, invalid, require


def classes(path: Path) -> set[str]:
    """Names of the folders in the folder; none where there is no such folder.

    :raises ValueError: for one that may not be read."""
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        _refuse(error)


def picture_files(path: Path) -> tuple[list[str], np.ndarray]:
    """Files of the pictures in path/<class>/, at any depth, and their class indices [N] int64.

    :raises FileNotFoundError: when there is no class, or one without pictures.
    :raises ValueError: for folders that may not be read, are named like pictures, or hold one
        another by links."""
    for label in classes(path):
        _check(str(path / label))
    try:
        found = ImageFolder(path).samples
    except FileNotFoundError as error:
        raise MissingFile(
            "data", f"expected pictures in one folder per class, but not so in {path} ({error})."
        ) from error
    return [file for file, _ in found], np.array([label for _, label in found], dtype=np.int64)


def _check(label: str) -> None:
    """Refuse what torchvision's walk through the folder of a class leaves out, or finds again."""
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
