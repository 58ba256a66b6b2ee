"""Small data sets, and files of images, of event frames and of pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from art_snn.data import Dataset
from tests.seeds import varied


def images(path: Path, **change: Any) -> Path:
    """A .npz file of a dozen training and four test images in three classes."""
    draw = np.random.default_rng(varied())
    content: dict[str, Any] = {}
    for part, count in (("train", 12), ("test", 4)):
        content[f"x_{part}"] = draw.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        content[f"y_{part}"] = np.arange(count) % 3
    np.savez(path, **content | change)
    return path


def counts(path: Path) -> Path:
    """The same with event frames [N, 3, 2, 4, 4] that hold counts from 0 to 4."""
    draw = np.random.default_rng(varied())
    change = {
        f"x_{part}": draw.integers(0, 5, (count, 3, 2, 4, 4), dtype=np.uint8)
        for part, count in (("train", 12), ("test", 4))
    }
    return images(path, **change)


def picture(path: Path, value: int, size: tuple[int, int] = (6, 4), mode: str = "L") -> None:
    """A picture of one value; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


def halves(**change: Any) -> Dataset:
    """Sixteen training and six test images of two classes, bright at the left or at the right."""
    draw = np.random.default_rng(varied())
    y = np.arange(22) % 2
    x = draw.uniform(0, 0.3, (22, 1, 4, 4)).astype(np.float32)
    x[y == 0, ..., :2] += 0.6
    x[y == 1, ..., 2:] += 0.6
    return replace(Dataset("halves", x[:16], y[:16], x[16:], y[16:]), **change)


def halves_in_frames(value_range: tuple[float, float] | None) -> Dataset:
    """The halves as event frames of three steps and two polarities, with counts from 0 to 5."""
    data = halves()
    x = [np.rint(5 * np.repeat(a[:, None], 3, 1).repeat(2, 2)) for a in (data.x_train, data.x_test)]
    return Dataset("counts", x[0], data.y_train, x[1], data.y_test, value_range)


def few_images(name="tiny", shape=(1, 4, 4), classes=3):
    """Six training images of random pixels, two of them for testing, too."""
    x = np.random.default_rng(varied()).random((6, *shape), dtype=np.float32)
    y = np.arange(6) % classes
    return Dataset(name, x, y, x[:2], y[:2])


def few_frames(steps: int = 3) -> Dataset:
    """The same of event frames, whose range is unknown."""
    x = np.random.default_rng(varied()).integers(0, 5, (6, steps, 2, 4, 6)).astype(np.float32)
    y = np.arange(6) % 3
    return Dataset("tiny events", x, y, x[:2], y[:2], value_range=None)
