"""Images and event frames from .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from art_snn.checks import invalid
from art_snn.data.dataset import Dataset
from art_snn.data.samples import checked_range


def from_npz(path: str | Path, value_range: tuple[float, float] | None = None) -> Dataset:
    """Images or event frames from a .npz file: x_train, y_train, x_test and y_test.

    Without a value range, images are uint8, which become shares of 255, or floating point in
    [0, 1], and their range is (0, 1). Event frames hold any real numbers, such as counts, and are
    never scaled; their range stays None.

    :param path: images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, event frames
        [N, T, C, H, W]. Labels are class indices [N] from 0.
    :param value_range: (low, high) that an attack may use. Samples are then taken as they are,
        bytes as numbers from 0 to 255, and must lie within it.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file, an array is missing, has another form, or values
        outside the range.
    """
    path = Path(path)
    given = None if value_range is None else checked_range(value_range)
    if not path.is_file():
        raise FileNotFoundError(f"data: expected a .npz file, but {path} does not exist.")
    arrays = _arrays(path)
    samples = {name: _samples(name, arrays[name], given) for name in ("x_train", "x_test")}
    labels = {
        name: _labels(name, arrays[name], len(samples["x" + name[1:]]))
        for name in ("y_train", "y_test")
    }
    if given is None and samples["x_train"].ndim == 4:
        given = (0.0, 1.0)
    return Dataset(path.stem, **samples, **labels, value_range=given)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    needed = ("x_train", "y_train", "x_test", "y_test")
    try:
        # Opened here, since numpy leaves the file open when it is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            found = list(archive)
            arrays = {name: archive[name] for name in needed if name in found}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds other files than arrays")
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        raise invalid(
            "data",
            expected="a .npz file of arrays",
            got=f"{path}, which cannot be read ({error})",
            remedy="Write it with numpy.savez.",
        ) from error
    if len(arrays) < len(needed):
        raise invalid(
            "data",
            expected=f"the arrays {', '.join(needed)}",
            got=f"{path} with {', '.join(found) or 'none'}",
            remedy="Write it with numpy.savez(path, x_train=..., y_train=..., ...).",
        )
    return arrays


def _samples(name: str, x: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    """Images [N, C, H, W] or event frames [N, T, C, H, W], float32."""
    if x.dtype.kind not in "buif":
        raise invalid(
            name, expected="real numbers", got=str(x.dtype), remedy="Convert the samples first."
        )
    x = _channels_first(x)
    if not (x.ndim == 5 or (x.ndim == 4 and x.shape[1] in (1, 3))) or not x.size:
        raise invalid(
            name,
            expected="images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, or event "
            "frames [N, T, C, H, W]",
            got=f"shape {x.shape}",
            remedy="Reorder the axes.",
        )
    if x.ndim == 4 and value_range is None:
        return _shares(name, x)
    return np.ascontiguousarray(x, dtype=np.float32)


def _channels_first(x: np.ndarray) -> np.ndarray:
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        return x.transpose(0, 3, 1, 2)
    return x


def _shares(name: str, x: np.ndarray) -> np.ndarray:
    """Images as shares of the largest value, float32 in [0, 1]."""
    scaled = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    low, high = float(scaled.min()), float(scaled.max())
    if not (low >= 0 and high <= 1):
        raise invalid(
            name,
            expected="uint8, or values from 0 to 1",
            got=f"{x.dtype} from {low:g} to {high:g}",
            remedy="Scale the images, or give their value_range; budgets are in its unit.",
        )
    return np.ascontiguousarray(scaled)


def _labels(name: str, y: np.ndarray, samples: int) -> np.ndarray:
    """Class indices [N] int64."""
    whole = np.issubdtype(y.dtype, np.integer) and y.shape == (samples,) and y.min() >= 0
    if not whole:
        raise invalid(
            name,
            expected=f"{samples} class indices from 0",
            got=f"{y.dtype} of shape {y.shape}",
            remedy="Turn one-hot rows into indices: y.argmax(1).",
        )
    return y.astype(np.int64)
