"""Images and event frames from .npz files, whose headers may state anything."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from art_snn.checks import FILE, expand_path, invalid, require, require_count, require_kind
from art_snn.data.dataset import Dataset

LARGEST = 16 * 2**30
"""Bytes that the arrays of one file may unpack to; a file of a thousandth of that can hold them."""

_CHANNELS = (1, 3)
"""How many an image may have."""
_SPLIT, _WHOLE = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")
# The third version is for names of fields, which no array of numbers has.
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; zipfile unpacks others a whole block at once, however large that becomes."""


def from_npz(
    path: str | Path,
    value_range: tuple[float, float] | None = None,
    *,
    test_share: float | None = None,
    seed: int = 0,
    largest: int = LARGEST,
) -> Dataset:
    """Images or event frames from a .npz file: x_train, y_train, x_test and y_test, or x and y.

    Without a value range, images are uint8, which become shares of 255, or floating point in
    [0, 1], and their range is (0, 1). Event frames hold any real numbers, such as counts, and are
    never scaled; their range stays None.

    :param path: images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, event frames
        [N, T, C, H, W]. Labels are class indices [N] from 0.
    :param value_range: (low, high) that an attack may use. Samples are then taken as they are, and
        must lie within it.
    :param test_share: share for testing of a file with x and y alone; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :param largest: bytes that the arrays may take, unpacked, as the file states them; 16 GiB.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file or a larger one, an array is missing, or samples,
        labels or share are not as above."""
    path = expand_path("data", path)
    remedy = "Give the bytes, such as 16 * 2**30."
    largest = require_count("largest", largest, up_to=2**63 - 1, remedy=remedy)
    require_kind("data", path, FILE, "a .npz file")
    content: dict[str, Any] = _arrays(path, largest)
    scaled = value_range is None
    samples = {k: _samples(k, x, scaled) for k, x in content.items() if k[0] == "x"}
    content |= samples
    if scaled and all(x.ndim == 4 for x in samples.values()):
        value_range = (0.0, 1.0)
    if "x" in content:
        return Dataset.split(
            path.name, **content, test_share=test_share, seed=seed, value_range=value_range
        )
    expected = f"None, since {path} has training and test samples of its own"
    require(test_share is None, "test_share", expected, repr(test_share), "Leave it out.")
    return Dataset(path.name, **content, value_range=value_range)


def _samples(name: str, x: np.ndarray, scaled: bool) -> np.ndarray:
    """Images [N, C, H, W] or event frames [N, T, C, H, W], float32.

    :param scaled: bring images to shares of the largest value, in [0, 1]."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in _CHANNELS:
        expected, got = "channels in the second axis or in the last", f"both of {x.shape}"
        remedy = "Build art_snn.data.Dataset from such images."
        require(x.shape[1] not in _CHANNELS, name, expected, got, remedy)
        x = x.transpose(0, 3, 1, 2)
    form = x.ndim == 5 or (x.ndim == 4 and x.shape[1] in _CHANNELS)
    expected = "[N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3"
    expected = f"real numbers: images {expected}, or event frames [N, T, C, H, W]"
    got, fits = f"{x.dtype} of shape {x.shape}", x.dtype.kind in "buif" and form and x.size
    require(fits, name, expected, got, "Convert the samples, or reorder the axes.")
    # What float32 cannot hold becomes infinite, which is refused like any other infinity.
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim == 4 and scaled:
        if x.dtype == np.uint8:
            samples /= 255
        low, high = float(samples.min()), float(samples.max())
        got = f"{x.dtype} from {low:g} to {high:g}"
        remedy = "Scale the images, or give their value_range; budgets are in its unit."
        require(low >= 0 and high <= 1, name, "uint8, or values from 0 to 1", got, remedy)
    return samples


def _arrays(path: Path, largest: int) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test and y_test, or else x and y, all of them or none.

    A file is refused where it is damaged, lacks one or states more than `largest` bytes."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            whole = set(_WHOLE) <= set(members) and not set(_SPLIT) & set(members)
            needed = _WHOLE if whole else _SPLIT
            there = {name: members[name] for name in needed if name in members}
            size = sum(info.file_size for info in there.values())
            if size <= largest and len(there) == len(needed):
                return {name: _unpacked(archive, info) for name, info in there.items()}
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        got = f"{path}, which cannot be read ({error})"
        remedy = "Take another copy, or write it again; frames of events are made again without it."
        raise invalid("data", "a .npz file of arrays", got, remedy) from error
    expected = f"the arrays {', '.join(_SPLIT)}, or x and y to be split"
    got = f"{path} with {', '.join(members) or 'none'}"
    remedy = "Write it with numpy.savez(path, x_train=..., y_train=..., ...)."
    require(len(there) == len(needed), "data", expected, got, remedy)
    expected = f"arrays of at most {largest:,} bytes, unpacked"
    remedy = "Leave samples out, or allow more by from_npz(..., largest=...)."
    raise invalid("data", expected, f"{path} that states {size:,} bytes", remedy)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header must fit the size of its member before memory is taken."""
    if info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename} is not compressed as numpy does it")
    with archive.open(info) as member:
        shape, _, kind = _HEADERS[npy.read_magic(member)](member)
        size = member.tell() + math.prod(shape) * kind.itemsize
        if not kind.hasobject and size != info.file_size:
            stated = f"{info.file_size:,} bytes states {kind} of shape {shape}"
            raise ValueError(f"{info.filename} of {stated}")
        member.seek(0)
        array: np.ndarray = npy.read_array(member, allow_pickle=False)
    return array
