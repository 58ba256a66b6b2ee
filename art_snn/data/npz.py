"""Images and event frames from .npz files, whose headers may state anything."""

import math
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy

from art_snn.checks import FILE, expand_path, invalid, require, require_count, require_kind
from art_snn.data.dataset import (
    TEST_SHARE,
    Dataset,
    check_kind,
    refuse_share,
    require_labels,
    require_range,
    stratified,
)

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
    axes: Literal["NCHW", "NHWC"] | None = None,
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
    :param axes: of images with four axes, where their shape can be read both ways.
    :param test_share: share for testing of a file with x and y alone; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :param largest: bytes that the arrays may take, unpacked, as the file states them; 16 GiB.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file or a larger one, an array is missing, or samples,
        labels, axes or share are not as above."""
    path = expand_path("data", path)
    given = None if value_range is None else require_range(value_range)
    remedy = "Give the bytes, such as 16 * 2**30."
    largest = require_count("largest", largest, up_to=2**63 - 1, remedy=remedy)
    require_kind("data", path, FILE, "a .npz file")
    content: dict[str, Any] = _arrays(path, largest)
    for name, labels in ((name, "y" + name[1:]) for name in content if name[0] == "x"):
        _refuse_single(name, content[name], content[labels])
        content[name] = _samples(name, content[name], given, axes)
        content[labels] = require_labels(labels, content[labels], len(content[name]))
    if "x" in content:
        share, x, y = TEST_SHARE if test_share is None else test_share, content["x"], content["y"]
        train, test = stratified(y, share, seed, "test_share")
        content = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    else:
        refuse_share(test_share, str(path))
    if given is None and content["x_train"].ndim == 4:
        given = (0.0, 1.0)
    return Dataset(path.name, **content, value_range=given)


def _samples(
    name: str, x: np.ndarray, value_range: tuple[float, float] | None, axes: str | None
) -> np.ndarray:
    """Images [N, C, H, W] or event frames [N, T, C, H, W], float32."""
    check_kind(name, x)
    x = _channels_first(name, x, axes)
    if not (x.ndim == 5 or (x.ndim == 4 and x.shape[1] in _CHANNELS)) or not x.size:
        images = "images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3"
        expected = f"{images}, or event frames [N, T, C, H, W]"
        raise invalid(name, expected, f"shape {x.shape}", "Reorder the axes.")
    # What float32 cannot hold becomes infinite, which is refused like any other infinity.
    with np.errstate(over="ignore"):
        if x.ndim == 4 and value_range is None:
            return _shares(name, x)
        return np.ascontiguousarray(x, dtype=np.float32)


def _refuse_single(name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Refuse one image of three axes, which without its label would be N grey images."""
    single = x.ndim == 3 and y.ndim == 1 and y.size != len(x)
    expected = f"[N, H, W] with one image for each of {y.size} labels"
    remedy = "Give every image its label; a single image needs the axis of samples, too: x[None]."
    require(not single, name, expected, f"shape {x.shape}", remedy)


def _channels_first(name: str, x: np.ndarray, axes: str | None) -> np.ndarray:
    orders = [
        order
        for order, axis in (("NCHW", 1), ("NHWC", 3))
        if x.ndim == 4 and x.shape[axis] in _CHANNELS and axes in (None, order)
    ]
    expected = "NCHW or NHWC, as the images have them, with C = 1 or 3"
    got = f"{axes!r} for {name} of shape {x.shape}"
    require(axes is None or orders, "axes", expected, got, "Leave it out, or correct it.")
    expected = f"NCHW or NHWC, since both suit {name} of shape {x.shape}"
    remedy = "Say which axis holds the channels: axes='NCHW' or 'NHWC', --axes in commands."
    require(len(orders) < 2, "axes", expected, "neither", remedy)
    if x.ndim == 3:
        return x[:, None]
    return x.transpose(0, 3, 1, 2) if orders == ["NHWC"] else x


def _shares(name: str, x: np.ndarray) -> np.ndarray:
    """Images as shares of the largest value, float32 in [0, 1]."""
    scaled = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    low, high = float(scaled.min()), float(scaled.max())
    got = f"{x.dtype} from {low:g} to {high:g}"
    remedy = "Scale the images, or give their value_range; budgets are in its unit."
    require(low >= 0 and high <= 1, name, "uint8, or values from 0 to 1", got, remedy)
    return np.ascontiguousarray(scaled)


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
        version = npy.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"{info.filename} is of the format {version}")
        shape, _, kind = _HEADERS[version](member)
        size = member.tell() + math.prod(shape) * kind.itemsize
    if not kind.hasobject and size != info.file_size:
        stated = f"{info.file_size:,} bytes states {kind} of shape {shape}"
        raise ValueError(f"{info.filename} of {stated}")
    with archive.open(info) as member:
        array: np.ndarray = npy.read_array(member, allow_pickle=False)
    return array
