"""Images and event frames from .npz files."""

from pathlib import Path
from typing import Literal

import numpy as np

from art_snn.checks import MissingFile, invalid, require
from art_snn.data.dataset import Dataset
from art_snn.data.samples import checked_range
from art_snn.data.split import TEST_SHARE, refuse_share, stratified

CHANNELS = (1, 3)
"""How many an image may have."""


def from_npz(
    path: str | Path,
    value_range: tuple[float, float] | None = None,
    *,
    axes: Literal["NCHW", "NHWC"] | None = None,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Images or event frames from a .npz file: x_train, y_train, x_test and y_test, or x and y.

    Without a value range, images are uint8, which become shares of 255, or floating point in
    [0, 1], and their range is (0, 1). Event frames hold any real numbers, such as counts, and are
    never scaled; their range stays None.

    :param path: images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, event frames
        [N, T, C, H, W]. Labels are class indices [N] from 0.
    :param value_range: (low, high) that an attack may use. Samples are then taken as they are,
        bytes as numbers from 0 to 255, and must lie within it.
    :param axes: of images with four axes, where their shape can be read both ways.
    :param test_share: share for testing of a file with x and y alone; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file, an array is missing, has another form, or values
        outside the range, when the axes are not told and have to be, or are told of other arrays,
        and for a share beside a split."""
    path = Path(path)
    given = None if value_range is None else checked_range(value_range)
    if not path.is_file():
        raise MissingFile("data", f"expected a .npz file, but {path} does not exist.")
    arrays = _arrays(path)
    samples = {n: _samples(n, array, given, axes) for n, array in arrays.items() if n[0] == "x"}
    labels = {
        n: _labels(n, array, len(samples["x" + n[1:]]))
        for n, array in arrays.items()
        if n[0] == "y"
    }
    if "x" in samples:
        x, y = samples["x"], labels["y"]
        share = TEST_SHARE if test_share is None else test_share
        train, test = stratified(y, share, seed, "test_share")
        parts = (x[train], y[train], x[test], y[test])
    else:
        refuse_share(test_share, str(path))
        parts = (samples["x_train"], labels["y_train"], samples["x_test"], labels["y_test"])
    if given is None and parts[0].ndim == 4:
        given = (0.0, 1.0)
    return Dataset(path.stem, *parts, value_range=given)


SPLIT, WHOLE = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of :data:`SPLIT`, or else of :data:`WHOLE`."""
    try:
        # Opened here, since numpy leaves the file open when it is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            found = list(archive)
            needed = WHOLE if set(WHOLE) <= set(found) and not set(SPLIT) & set(found) else SPLIT
            arrays = {name: archive[name] for name in needed if name in found}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds other files than arrays")
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        got = f"{path}, which cannot be read ({error})"
        raise invalid("data", "a .npz file of arrays", got, "Write it with numpy.savez.") from error
    expected = f"the arrays {', '.join(SPLIT)}, or x and y to be split"
    got = f"{path} with {', '.join(found) or 'none'}"
    remedy = "Write it with numpy.savez(path, x_train=..., y_train=..., ...)."
    require(len(arrays) >= len(needed), "data", expected, got, remedy)
    return arrays


def _samples(
    name: str, x: np.ndarray, value_range: tuple[float, float] | None, axes: str | None
) -> np.ndarray:
    """Images [N, C, H, W] or event frames [N, T, C, H, W], float32."""
    if x.dtype.kind not in "buif":
        raise invalid(name, "real numbers", str(x.dtype), "Convert the samples first.")
    x = _channels_first(name, x, axes)
    if not (x.ndim == 5 or (x.ndim == 4 and x.shape[1] in CHANNELS)) or not x.size:
        expected = (
            "images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, or event "
            "frames [N, T, C, H, W]"
        )
        raise invalid(name, expected, f"shape {x.shape}", "Reorder the axes.")
    if x.ndim == 4 and value_range is None:
        return _shares(name, x)
    return np.ascontiguousarray(x, dtype=np.float32)


def _channels_first(name: str, x: np.ndarray, axes: str | None) -> np.ndarray:
    first, last = (x.ndim == 4 and x.shape[axis] in CHANNELS for axis in (1, 3))
    told = {None: (first, last), "NCHW": (first, False), "NHWC": (False, last)}
    expected = "NCHW or NHWC, as the images have them, with C = 1 or 3"
    got = f"{axes!r} for {name} of shape {x.shape}"
    remedy = "Leave it out, or correct it."
    fits = not (axes not in told or (axes is not None and told[axes] == (False, False)))
    require(fits, "axes", expected, got, remedy)
    expected = f"NCHW or NHWC, since both suit {name} of shape {x.shape}"
    remedy = "Say which axis holds the channels: axes='NCHW' or 'NHWC', --axes in commands."
    require(told[axes] != (True, True), "axes", expected, "neither", remedy)
    if x.ndim == 3:
        return x[:, None]
    return x.transpose(0, 3, 1, 2) if told[axes] == (False, True) else x


def _shares(name: str, x: np.ndarray) -> np.ndarray:
    """Images as shares of the largest value, float32 in [0, 1]."""
    scaled = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    low, high = float(scaled.min()), float(scaled.max())
    got = f"{x.dtype} from {low:g} to {high:g}"
    remedy = "Scale the images, or give their value_range; budgets are in its unit."
    require(low >= 0 and high <= 1, name, "uint8, or values from 0 to 1", got, remedy)
    return np.ascontiguousarray(scaled)


def _labels(name: str, y: np.ndarray, samples: int) -> np.ndarray:
    """Class indices [N] int64."""
    whole = np.issubdtype(y.dtype, np.integer) and y.shape == (samples,) and y.min() >= 0
    remedy = "Turn one-hot rows into indices: y.argmax(1)."
    require(whole, name, f"{samples} class indices from 0", f"{y.dtype} of shape {y.shape}", remedy)
    return y.astype(np.int64)
