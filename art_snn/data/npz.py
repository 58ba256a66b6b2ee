"""Images from .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from art_snn.checks import invalid
from art_snn.data.dataset import Dataset


def from_npz(path: str | Path) -> Dataset:
    """Images from a .npz file with the arrays x_train, y_train, x_test and y_test.

    :param path: images are uint8, or floating point in [0, 1]; [N, H, W], [N, H, W, C] or
        [N, C, H, W] with C = 1 or 3. Labels are class indices [N] from 0.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file, an array is missing, or has another form.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"data: expected a .npz file, but {path} does not exist.")
    arrays = _arrays(path)
    images = {name: _images(name, arrays[name]) for name in ("x_train", "x_test")}
    labels = {
        name: _labels(name, arrays[name], len(images["x" + name[1:]]))
        for name in ("y_train", "y_test")
    }
    if images["x_train"].shape[1:] != images["x_test"].shape[1:]:
        raise invalid(
            "x_test",
            expected=f"images of shape {images['x_train'].shape[1:]}, as in x_train",
            got=str(images["x_test"].shape[1:]),
            remedy="Bring all images to one size.",
        )
    return Dataset(path.stem, **images, **labels)


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


def _images(name: str, x: np.ndarray) -> np.ndarray:
    """[N, C, H, W] float32 in [0, 1]."""
    if x.dtype.kind not in "buif":
        raise invalid(
            name, expected="real numbers", got=str(x.dtype), remedy="Convert the images first."
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
        raise invalid(
            name,
            expected="images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3",
            got=f"shape {x.shape}",
            remedy="Event recordings and other data go to the library, not to this command.",
        )
    scaled = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    low, high = float(scaled.min()), float(scaled.max())
    if not (low >= 0 and high <= 1):
        raise invalid(
            name,
            expected="uint8, or values from 0 to 1",
            got=f"{x.dtype} from {low:g} to {high:g}",
            remedy="Scale the images; budgets are shares of that range.",
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
