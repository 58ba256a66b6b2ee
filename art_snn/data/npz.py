"""Images and event frames from .npz files."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from art_snn.checks import invalid, require, require_count
from art_snn.data.archive import LARGEST, arrays
from art_snn.data.dataset import Dataset
from art_snn.data.samples import check_kind, checked_labels, checked_range
from art_snn.data.split import TEST_SHARE, refuse_share, stratified
from art_snn.paths import FILE, expand_path, require_kind

CHANNELS = (1, 3)
"""How many an image may have."""


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
    given = None if value_range is None else checked_range(value_range)
    remedy = "Give the bytes, such as 16 * 2**30."
    largest = require_count("largest", largest, up_to=2**63 - 1, remedy=remedy)
    require_kind("data", path, FILE, "a .npz file")
    content: dict[str, Any] = arrays(path, largest)
    for name, labels in ((name, "y" + name[1:]) for name in content if name[0] == "x"):
        _refuse_single(name, content[name], content[labels])
        content[name] = _samples(name, content[name], given, axes)
        content[labels] = checked_labels(labels, content[labels], len(content[name]))
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
    if not (x.ndim == 5 or (x.ndim == 4 and x.shape[1] in CHANNELS)) or not x.size:
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
        if x.ndim == 4 and x.shape[axis] in CHANNELS and axes in (None, order)
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
