"""Folders of pictures, one per class, and picture files as arrays."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

from art_snn.checks import (
    FOLDER,
    MissingFile,
    expand_path,
    invalid,
    require,
    require_kind,
    require_sides,
)
from art_snn.data.dataset import (
    TEST_SHARE,
    Dataset,
    ImageSize,
    refuse_share,
    sized_name,
    stratified,
)
from art_snn.progress import progress_over

MOST_PIXELS = 2**26
"""Pixels of one picture, 200 MB in colour. The limit of PIL is for the whole program, and stays."""

_PARTS = ("train", "test")
_GREY, _DEEP = ("1", "L"), ("I", "F")
"""Modes of PIL, or what they begin with."""


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
    there = [part for part in _PARTS if (path / part).is_dir()]
    missing = "test" if there == ["train"] else "train"
    expected = "both of the folders train and test, or neither"
    got = f"{path} with {''.join(there)} alone"
    remedy = f"Add {missing}, or name {path.joinpath(*there)} to have it split."
    require(len(there) != 1, "data", expected, got, remedy)
    if there:
        refuse_share(test_share, f"the folder {path}")
        first, second = (_image_folder(path / part) for part in _PARTS)
        other = set(first.classes) ^ set(second.classes)
        got = f"{', '.join(sorted(other)[:5])} in one of them only, in {path}"
        remedy = "Add what is missing: classes are numbered by their folders."
        require(not other, "data", "the same classes in train and test", got, remedy)
        samples = first.samples + second.samples
        y = np.array([label for _, label in samples], dtype=np.int64)
        train, test = np.split(np.arange(len(samples)), [len(first.samples)])
    else:
        samples = _image_folder(path).samples
        share = TEST_SHARE if test_share is None else test_share
        y = np.array([label for _, label in samples], dtype=np.int64)
        train, test = stratified(y, share, seed, "test_share")
    x = np.divide(read_pictures([file for file, _ in samples], image_size), 255, dtype=np.float32)
    name = sized_name(path.resolve().name, image_size)
    return Dataset(name, x[train], y[train], x[test], y[test])


def _image_folder(path: Path) -> ImageFolder:
    try:
        return ImageFolder(path)
    except FileNotFoundError as error:
        expected = "expected pictures in one folder per class"
        raise MissingFile("data", f"{expected}, but not so in {path} ({error}).") from error


def read_pictures(paths: Sequence[str], image_size: ImageSize | None) -> np.ndarray:
    """Pictures [N, C, H, W] uint8; one channel where all of them are grey, otherwise RGB.

    Without a size they must all have one. Resizing is bilinear."""
    pictures = []
    for path in progress_over(paths, "Pictures", unit="files", leave=False):
        pictures.append(_read_picture(path, image_size))
        same = pictures[-1].shape[:2] == pictures[0].shape[:2]
        first, other = ("x".join(map(str, pictures[i].shape[:2])) for i in (0, -1))
        got = f"None, for {first} ({paths[0]}) and {other} ({path})"
        remedy = "Give image_size=32, on the command line --image-size 32."
        require(same, "image_size", "a size, since the pictures have several", got, remedy)
    channels = 1 if all(picture.ndim == 2 for picture in pictures) else 3
    stack = np.empty((len(pictures), *pictures[0].shape[:2], channels), np.uint8)
    for row, picture in zip(stack, pictures, strict=True):
        row[:] = picture[:, :, None] if picture.ndim == 2 else picture
    return np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def _read_picture(path: str, image_size: ImageSize | None) -> np.ndarray:
    """[H, W] of a grey picture, [H, W, 3] of any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            stream = Image.open(path)
        with stream:
            if stream.width * stream.height > MOST_PIXELS:
                raise Image.DecompressionBombError(f"{stream.width:,} x {stream.height:,}")
            mode, picture = stream.mode, stream.convert("L" if stream.mode in _GREY else "RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"pictures of at most {MOST_PIXELS:,} pixels"
        raise invalid("data", expected, f"{path} ({error})", "Make it smaller.") from error
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        got = f"{path}, which it does not ({error})"
        remedy = "Delete that file, or save it again."
        raise invalid("data", "pictures that PIL reads", got, remedy) from error
    expected = "pictures of 8 bits per channel"
    remedy = "Convert them, or save them as arrays for from_npz."
    require(not mode.startswith(_DEEP), "data", expected, f"{path} of mode {mode}", remedy)
    if image_size is not None:
        height, width = require_sides(image_size, channels="Channels are not resized.")
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)
