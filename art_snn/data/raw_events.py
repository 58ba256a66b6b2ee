"""Raw events as frames of counts."""

from typing import Literal

import numpy as np
from numpy import ndarray

from art_snn.checks import require, require_choice, require_count, require_sides
from art_snn.data.dataset import ImageSize

Bins = Literal["count", "time"]
"""How recordings are cut: into frames of as many events each, or of as much time."""


def frames(
    x: ndarray,
    y: ndarray,
    p: ndarray,
    t: ndarray,
    *,
    steps: int,
    size: ImageSize,
    bins: Bins = "count",
    recording: ndarray | None = None,
) -> ndarray:
    """Frames of counts [N, T, 2, H, W], float32, of the raw events of one recording or several.

    Of n events the k-th, from 0, goes into frame floor(k T / n) by count. By time, frames
    share the time from the first event of the recording to the last.

    :param x, y: column and row of each event, whole numbers from 0 (E,).
    :param p: polarities, 0 or -1 for darker, 1 for brighter (E,).
    :param t: times in any order and unit (E,).
    :param steps: number of frames T.
    :param size: side or (height, width) in pixels.
    :param bins: count or time.
    :param recording: the recording of each event, from 0 (E,); None: all are of one.
    :raises ArgumentError: for columns of differing lengths, events outside of the size, or
        another polarity."""
    steps = require_count("steps", steps, remedy="The papers use 4 to 20 frames.")
    require_choice("bins", bins, ("count", "time"), remedy="Papers cut by count.")
    height, width = require_sides(size, channels="Polarities are two.")
    columns = [np.asarray(column) for column in (x, y, p, t)]
    x, y, p, t = columns
    of = np.zeros(len(x), np.int64) if recording is None else np.asarray(recording)
    lengths = {column.shape for column in (*columns, of)}
    fits = len(lengths) == 1 and x.ndim == 1 and len(x) > 0
    expected = "columns x, y, p, t and recording of one number per event, one or more"
    require(
        fits, "events", expected, sorted(lengths), "Join recordings one after another."
    )
    for name, column, side in (("x", x, width), ("y", y, height)):
        low, high = column.min(), column.max()
        inside = column.dtype.kind in "iu" and low >= 0 and high < side
        expected = f"whole numbers from 0 to {side - 1}"
        require(
            inside, name, expected, f"{low} to {high}", "Give the size of the sensor."
        )
    kinds = {*np.unique(p).tolist()}
    is_polar = kinds <= {0, 1} or kinds <= {-1, 1}
    require(
        is_polar, "p", "polarities 0 and 1, or -1 and 1", sorted(kinds)[:4], "Map them."
    )

    order = np.lexsort((t, of))
    of = of[order].astype(np.int64)
    t = t[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    counts = np.diff(starts, append=len(of))
    if bins == "count":
        clock = np.arange(len(of))
        whole = counts
    else:
        clock = t
        span = t[starts + counts - 1] - t[starts]
        whole = np.where(span > 0, span, 1.0)
    part = clock - np.repeat(clock[starts], counts)
    # The last event ends the time.
    place = np.minimum(part * steps // np.repeat(whole, counts), steps - 1).astype(int)
    shape = (int(of[-1]) + 1, steps, 2, height, width)
    where = (of, place, (p[order] > 0).astype(np.int64), y[order], x[order])
    flat = np.ravel_multi_index(where, shape)
    return np.bincount(flat, minlength=np.prod(shape)).reshape(shape).astype(np.float32)
