"""Picture files as arrays."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from art_snn.checks import invalid, require
from art_snn.data.sizes import ImageSize, sides
from art_snn.paths import FILE, require_kind
from art_snn.progress import over

GREY = ("1", "L")
DEEP = ("I", "F")

MOST_PIXELS = 2**26
"""Pixels of one picture, 200 MB in colour. The limit of PIL is for the whole program, and stays."""

READABLE = "pictures that PIL reads"


def read_pictures(paths: Sequence[str], image_size: ImageSize | None) -> np.ndarray:
    """Pictures [N, C, H, W] uint8; one channel where all of them are grey, otherwise RGB.

    Without a size they must all have one. Resizing is bilinear."""
    for path in paths:
        require_kind("data", Path(path), FILE, READABLE)
    pictures = []
    for path in over(paths, "Pictures", unit="files", leave=False):
        pictures.append(_open(path, image_size))
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


def _open(path: str, image_size: ImageSize | None) -> np.ndarray:
    """[H, W] of a grey picture, [H, W, 3] of any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            mode, picture = _decoded(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"pictures of at most {MOST_PIXELS:,} pixels"
        raise invalid("data", expected, f"{path} ({error})", "Make it smaller.") from error
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        got = f"{path}, which it does not ({error})"
        remedy = "Delete that file, or save it again."
        raise invalid("data", READABLE, got, remedy) from error
    expected = "pictures of 8 bits per channel"
    remedy = "Convert them, or save them as arrays for from_npz."
    require(not mode.startswith(DEEP), "data", expected, f"{path} of mode {mode}", remedy)
    if image_size is not None:
        height, width = sides(image_size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _decoded(path: str) -> tuple[str, Image.Image]:
    """The picture's mode in the file, and itself, grey or RGB."""
    with Image.open(path) as stream:
        if stream.width * stream.height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{stream.width:,} x {stream.height:,}")
        return stream.mode, stream.convert("L" if stream.mode in GREY else "RGB")
