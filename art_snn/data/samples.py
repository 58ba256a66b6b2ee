"""Which samples, labels and value ranges are accepted."""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from art_snn.checks import invalid, require

MOST_CLASSES = 100_000
"""Networks have an output for every class up to the largest label: 10**9 would take gigabytes."""


def checked_range(value_range: object) -> tuple[float, float]:
    """(low, high) as floats; ValueError unless they are two finite numbers with low < high."""
    ends = value_range if isinstance(value_range, Sequence) else ()
    finite = [isinstance(end, Real) and math.isfinite(end) for end in ends]
    if len(ends) == 2 and all(finite) and ends[0] < ends[1]:
        return float(ends[0]), float(ends[1])
    expected = "(low, high), two finite numbers with low < high"
    remedy = "Bytes as shares are (0, 1); counts go from 0 to the largest that may occur."
    raise invalid("value_range", expected, repr(value_range), remedy)


def check_kind(name: str, x: object) -> None:
    """Refuse anything but an array of real numbers."""
    remedy = "Convert it by numpy.asarray."
    require(isinstance(x, np.ndarray), name, "a numpy array", type(x).__name__, remedy)
    assert isinstance(x, np.ndarray)
    remedy = "Convert the samples first."
    require(x.dtype.kind in "buif", name, "real numbers", str(x.dtype), remedy)


def check_shapes(x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Refuse anything but images or event frames of one shape, with the channels before the sides.

    More than three channels before a width of at most three count as sides before channels."""
    expected = "images [N, C, H, W] or event frames [N, T, C, H, W]"
    got = f"shape {x_train.shape}"
    remedy = "Add the axes that are missing."
    require(x_train.ndim in (4, 5), "x_train", expected, got, remedy)
    channels, height, width = x_train.shape[-3:]
    order = (0, 3, 1, 2) if x_train.ndim == 4 else (0, 1, 4, 2, 3)
    remedy = f"Put the channels first by x.transpose{order}, or the shorter side before the longer."
    last = min(channels, height) > 3 >= width
    require(not last, "x_train", expected, f"{got}, whose channels seem to come last", remedy)
    expected = f"samples of shape {x_train.shape[1:]}, as in x_train"
    got = str(x_test.shape[1:])
    remedy = "Bring all samples to one size."
    require(x_train.shape[1:] == x_test.shape[1:], "x_test", expected, got, remedy)


def checked_labels(name: str, y: object, samples: int) -> np.ndarray:
    """One class index for each of the samples, below :data:`MOST_CLASSES`, as int64 [N]."""
    remedy = "Convert them by numpy.asarray."
    require(isinstance(y, np.ndarray), name, "a numpy array", type(y).__name__, remedy)
    assert isinstance(y, np.ndarray)
    # By the letter, since to numpy durations are whole numbers, too.
    fits = y.dtype.kind in "iu" and y.shape == (samples,) and samples > 0
    expected, got = f"{samples or 'some'} class indices from 0", f"{y.dtype} of shape {y.shape}"
    require(fits, name, expected, got, _advice(y))
    least, most = int(y.min()), int(y.max())
    remedy = "Number the classes from 0 without gaps, alike in training and test labels."
    require(least >= 0, name, expected, f"{got} from {least} to {most}", remedy)
    expected = f"class indices below {MOST_CLASSES:,}"
    require(most < MOST_CLASSES, name, expected, f"{most:,} in {name}", remedy)
    return y.astype(np.int64, copy=False)


def _advice(y: np.ndarray) -> str:
    if y.ndim == 2:
        # The largest of a single column would always be its first.
        turned = "y.argmax(1)" if y.shape[1] > 1 else "y[:, 0]"
        return f"Turn one-hot rows into indices: {turned}."
    if y.dtype.kind not in "iu":
        return "Number the classes from 0 by integers, alike in training and test labels."
    return "Give one label per sample."


def check_values(name: str, x: np.ndarray, value_range: tuple[float, float] | None) -> None:
    """Refuse NaN, infinity, and values outside the range where there is one."""
    if not x.size:
        return
    least, most = float(x.min()), float(x.max())
    low, high = value_range or (-math.inf, math.inf)
    got = f"values from {least:g} to {most:g}"
    remedy = "Clean the data, for instance by numpy.nan_to_num."
    require(math.isfinite(least) and math.isfinite(most), name, "finite values", got, remedy)
    # Samples are float32, so the bounds are compared as such: 0.1 is no exact float32.
    expected = f"values within value_range, {low:g} to {high:g}"
    remedy = "Give the range that the data have, or scale the data."
    require(np.float32(low) <= least and most <= np.float32(high), name, expected, got, remedy)
