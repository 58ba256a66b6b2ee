"""Small files of images and of event frames, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def images(path: Path, **change: Any) -> Path:
    """A .npz file of a dozen training and four test images in three classes."""
    draw = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, count in (("train", 12), ("test", 4)):
        content[f"x_{part}"] = draw.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        content[f"y_{part}"] = np.arange(count) % 3
    np.savez(path, **content | change)
    return path


def counts(path: Path) -> Path:
    """The same with event frames [N, 3, 2, 4, 4] that hold counts from 0 to 4."""
    draw = np.random.default_rng(0)
    change = {
        f"x_{part}": draw.integers(0, 5, (count, 3, 2, 4, 4), dtype=np.uint8)
        for part, count in (("train", 12), ("test", 4))
    }
    return images(path, **change)


def picture(path: Path, value: int, size: tuple[int, int] = (6, 4), mode: str = "L") -> None:
    """A picture of one value; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)
