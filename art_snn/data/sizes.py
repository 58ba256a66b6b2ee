"""Images and frames brought to another height and width."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from art_snn.checks import require_sides

ImageSize = int | tuple[int, int]


def sides(image_size: ImageSize) -> tuple[int, int]:
    """(height, width) of a side or of both; ValueError unless they are whole numbers >= 1."""
    return require_sides(image_size, channels="Channels are not resized.")


def sized_name(name: str, image_size: ImageSize | None) -> str:
    """Name of a data set that was brought to that size."""
    if image_size is None:
        return name
    height, width = sides(image_size)
    return f"{name} {height}x{width}"


def resized(x: np.ndarray, image_size: ImageSize | None) -> np.ndarray:
    """Images [N, C, H, W] uint8 by bilinear interpolation, with antialiasing where they shrink."""
    if image_size is None or x.shape[2:] == sides(image_size):
        return x
    # By parts, since the interpolation needs more memory than bytes do.
    parts = (torch.tensor(x[i : i + 1024], device="cpu") for i in range(0, len(x), 1024))
    how: Any = {"size": sides(image_size), "mode": "bilinear", "antialias": True}
    return np.concatenate([functional.interpolate(part, **how).numpy() for part in parts])


def pooled(frames: np.ndarray, image_size: ImageSize) -> np.ndarray:
    """Frames of counts [T, C, H, W] -> float32 [T, C, height, width], means of areas."""
    counts = torch.from_numpy(frames.astype(np.float32))
    return functional.interpolate(counts, sides(image_size), mode="area").numpy()
