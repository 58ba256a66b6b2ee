"""Images and event frames from .npz files, whose headers may state anything."""

from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import expand_path, require, require_count
from art_snn.data.dataset import Dataset
from art_snn.files import LARGEST, read_arrays

_CHANNELS = (1, 3)
"""How many an image may have."""
_SPLIT, _WHOLE = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")


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
    remedy = "Take another copy, or write it again; frames of events are made again without it. "
    remedy += "More bytes are allowed by from_npz(..., largest=...)."
    how: dict[str, Any] = {"names": (*_SPLIT, *_WHOLE), "largest": largest}
    content: dict[str, Any] = read_arrays(path, "data", "a .npz file", remedy, **how)
    needed = _WHOLE if {*content} == {*_WHOLE} else _SPLIT
    expected = f"the arrays {', '.join(_SPLIT)}, or x and y to be split"
    got = f"{path} with {', '.join(content) or 'none'}"
    remedy = "Write it with numpy.savez(path, x_train=..., y_train=..., ...)."
    require({*needed} <= {*content}, "data", expected, got, remedy)
    content = {name: content[name] for name in needed}
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
