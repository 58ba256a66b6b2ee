"""What samples may look like: their shapes, their values, and the range of these."""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from art_snn.checks import invalid, require


def checked_range(value_range: object) -> tuple[float, float]:
    """(low, high) as two floats.

    :raises ValueError: when it is anything but two finite numbers with low < high."""
    ends = value_range if isinstance(value_range, Sequence) else ()
    finite = [isinstance(end, Real) and math.isfinite(end) for end in ends]
    if len(ends) == 2 and all(finite) and ends[0] < ends[1]:
        return float(ends[0]), float(ends[1])
    expected = "(low, high), two finite numbers with low < high"
    remedy = "Bytes as shares are (0, 1); counts go from 0 to the largest that may occur."
    raise invalid("value_range", expected, repr(value_range), remedy)


def check_shapes(x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Refuse anything but images or event frames of one shape."""
    expected = "images [N, C, H, W] or event frames [N, T, C, H, W]"
    remedy = "Add the axes that are missing."
    require(x_train.ndim in (4, 5), "x_train", expected, f"shape {x_train.shape}", remedy)
    expected = f"samples of shape {x_train.shape[1:]}, as in x_train"
    got = str(x_test.shape[1:])
    remedy = "Bring all samples to one size."
    require(x_train.shape[1:] == x_test.shape[1:], "x_test", expected, got, remedy)


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
    got = f"values from {least:g} to {most:g}"
    remedy = "Give the range that the data have, or scale the data."
    require(np.float32(low) <= least and most <= np.float32(high), name, expected, got, remedy)
