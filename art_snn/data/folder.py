"""Folders of pictures, one per class."""

from pathlib import Path

import numpy as np

from art_snn.checks import require
from art_snn.data.dataset import Dataset
from art_snn.data.listing import classes, picture_files
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

    :param path: a folder with the folders train and test, or else one folder per class, which are
        then split into training and test samples.
    :param image_size: side or (height, width) to which the pictures are brought by bilinear
        interpolation; None where they have one size.
    :param test_share: share for testing where the folder has no split of its own; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :raises FileNotFoundError: when there is no such folder, or no picture of a class.
    :raises ValueError: when a file or folder cannot be read, a picture has more than
        67,108,864 pixels, sizes differ and none was given, only one of train and test is there,
        their classes differ, or a class has too few pictures to be split.
    """
    path = expand_path("data", path)
    require_kind("data", path, FOLDER, "a folder of pictures")
    there = [p for p in PARTS if classes(path / p)]
    missing = "test" if there == ["train"] else "train"
    got, expected = (
        f"{path} with {''.join(there)} alone",
        "both of the folders train and test, or neither",
    )
    remedy = f"Add {missing}, or name {path.joinpath(*there)} to have it split."
    require(len(there) != 1, "data", expected, got, remedy)
    if there:
        refuse_share(test_share, f"the folder {path}")
        (ours, y_train), (theirs, y_test) = map(picture_files, (path / part for part in PARTS))
        first, second = (classes(path / part) for part in PARTS)
        got = f"{', '.join(sorted(first ^ second)[:5])} in one of them only, in {path}"
        remedy = "Add what is missing: classes are numbered by their folders."
        require(first == second, "data", "the same classes in train and test", got, remedy)
        files, y = ours + theirs, np.concatenate([y_train, y_test])
        train, test = np.split(np.arange(len(y)), [len(ours)])
    else:
        files, y = picture_files(path)
        share = TEST_SHARE if test_share is None else test_share
        train, test = stratified(y, share, seed, "test_share")
    x = np.divide(read_pictures(files, image_size), 255, dtype=np.float32)
    name = sized_name(path.resolve().name, image_size)
    return Dataset(name, x[train], y[train], x[test], y[test])
