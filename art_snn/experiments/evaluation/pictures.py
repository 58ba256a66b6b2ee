"""Samples, adversarials and what was changed, as pictures within a page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image

ON, OFF = (240, 160, 0), (86, 180, 233)
"""Colours of brighter and darker events; white where a pixel has both."""
MOST_FRAMES = 20
GAP = 128
"""Grey of the line between two frames."""


@dataclass(frozen=True)
class Picture:
    """A picture within a page.

    :param source: the picture itself, as a data URI.
    :param width, height: in pixels.
    :param words: what is to be seen, for those who do not see it."""

    source: str
    width: int
    height: int
    words: str


def drawable(shape: tuple[int, ...]) -> bool:
    """Whether samples of that shape are images [C, H, W] or event frames [T, C, H, W]."""
    return len(shape) in (3, 4) and shape[-3] in (1, 2, 3) and min(shape) > 0


def sample(values: np.ndarray, low: float, high: float, words: str) -> Picture:
    """A sample [C, H, W] or [T, C, H, W]: grey, in colours, or two polarities in two colours.

    :param low, high: values that are black and white."""
    scaled = np.clip((values - low) / ((high - low) or 1), 0, 1)
    return _picture(_joined([_coloured(frame) for frame in _frames(scaled)]), words)


def difference(values: np.ndarray, words: str) -> Picture:
    """A signed change of the same shape: blue where less, red where more, on its own scale."""
    frames = [frame.mean(0) for frame in _frames(values)]
    scale = max(float(np.abs(frame).max()) for frame in frames) or 1.0
    colours = [colormaps["RdBu_r"](0.5 + frame / (2 * scale))[..., :3] for frame in frames]
    return _picture(_joined(colours), words)


def _frames(values: np.ndarray) -> list[np.ndarray]:
    return list(values[:MOST_FRAMES]) if values.ndim == 4 else [values]


def _coloured(frame: np.ndarray) -> np.ndarray:
    """A frame [C, H, W] in [0, 1] as colours [H, W, 3]."""
    if len(frame) == 1:
        return np.repeat(frame[0][..., None], 3, -1)
    if len(frame) == 3:
        return frame.transpose(1, 2, 0)
    weights = np.array([OFF, ON]) / 255
    both: np.ndarray = frame.min(0)[..., None]
    one: np.ndarray = np.clip(np.tensordot(frame, weights, (0, 0)), 0, 1)
    return np.asarray(one * (1 - both) + both)


def _joined(frames: list[np.ndarray]) -> np.ndarray:
    """Frames [H, W, 3] in [0, 1] in one strip, a grey line between any two."""
    line = np.full((len(frames[0]), 1, 3), GAP / 255)
    strip = [part for frame in frames for part in (frame, line)][:-1]
    return np.concatenate(strip, axis=1)


def _picture(colours: np.ndarray, words: str) -> Picture:
    stream = io.BytesIO()
    Image.fromarray((255 * colours).round().astype(np.uint8)).save(stream, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    height, width = colours.shape[:2]
    return Picture(source, width, height, words)
