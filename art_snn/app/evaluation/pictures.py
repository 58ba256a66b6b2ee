"""Originals, adversarials and differences as pictures, as many as a page can carry."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.items import Examples
from art_snn.app.evaluation.words import budget_words

MOST = 12
ROOM = 700_000
"""Characters that the pictures of one evaluation may take."""
ON, OFF = (240, 160, 0), (86, 180, 233)
"""Colours of brighter and darker events; white where a pixel has both."""
MOST_FRAMES = 20
GAP = 128
"""Grey of the line between two frames."""


@dataclass(frozen=True)
class Picture:
    """A picture within a page, as a data URI, with words for those who do not see it."""

    source: str
    width: int
    height: int
    words: str


@dataclass(frozen=True)
class Example:
    """One sample in words, and as pictures: the original, the adversarial, their difference."""

    words: str
    pictures: tuple[Picture, Picture, Picture]


@dataclass(frozen=True)
class Grid:
    """Samples with their adversarials; strips are pictures of several frames in time."""

    words: str
    strips: bool
    rows: tuple[Example, ...]


def make_grid(evaluation: Evaluation, examples: Examples) -> Grid:
    """The first examples, as many as there is room for."""
    start = f"Samples under {examples.trial}, {budget_words(evaluation.norm, examples.eps)}. "
    objection = _objection(examples)
    if objection:
        return Grid(f"{start}{objection}", False, ())
    rows: list[Example] = []
    room = ROOM
    for row in _rows(evaluation, examples):
        room -= sum(len(picture.source) for picture in row.pictures)
        if len(rows) == MOST or (rows and room < 0):
            break
        rows.append(row)
    return Grid(start + _legend(examples, len(rows)), examples.x.ndim == 5, tuple(rows))


def _objection(examples: Examples) -> str | None:
    """Why nothing can be drawn, in a sentence."""
    shape = examples.x.shape[1:]
    if not len(examples.x):
        return "There is none."
    if not drawable(shape):
        return f"Samples of shape ({', '.join(map(str, shape))}) are not drawn."
    numbers = all(np.isfinite(values).all() for values in (examples.x, examples.adversarial))
    return None if numbers else "They hold values that are not finite, and are not drawn."


def drawable(shape: tuple[int, ...]) -> bool:
    """Whether samples of that shape are images [C, H, W] or event frames [T, C, H, W]."""
    return len(shape) in (3, 4) and shape[-3] in (1, 2, 3) and min(shape) > 0


def _rows(evaluation: Evaluation, examples: Examples) -> Iterator[Example]:
    low, high = _range(examples)
    for place, row in enumerate(examples.rows.tolist()):
        x, adversarial = (a[place].astype(float) for a in (examples.x, examples.adversarial))
        change = adversarial - x
        label, guess = evaluation.labels[row], int(examples.predicted[place])
        moved = int((change != 0).sum())
        largest = f"{np.abs(change).max():.3g}" if change.size else "0"
        taken = f"still taken for {guess}" if guess == label else f"taken for {guess}"
        start = f"Sample {row}, of class {label}"
        words = f"{start}, {taken}; {moved} of {change.size} values changed, at most by {largest}."
        pictures = (
            sample(x, low, high, f"{start}, original"),
            sample(adversarial, low, high, f"{start}, adversarial, {taken}"),
            difference(change, f"{start}, difference: largest change {largest}"),
        )
        yield Example(words, pictures)


def _range(examples: Examples) -> tuple[float, float]:
    """The values that are black and white: the least and the largest of all that is shown."""
    both = examples.x, examples.adversarial
    return float(min(a.min() for a in both)), float(max(a.max() for a in both))


def _legend(examples: Examples, count: int) -> str:
    """How the pictures are to be read."""
    low, high = _range(examples)
    _, *_, channels, _, _ = shape = examples.x.shape
    words = f"Black is {low:.4g}, white {high:.4g}. "
    if channels == 2:
        words = "Orange are events of the second channel, blue those of the first, white both. "
    several = ", the mean of the channels" if channels > 1 else ""
    words += f"Differences: red is more, blue is less{several}, each on its own scale."
    if len(shape) == 5:
        frames = min(MOST_FRAMES, shape[1])
        words += f" Frames 1 to {frames} of {shape[1]}, side by side in time."
    if count < len(examples.rows):
        words += f" The first {count} of {len(examples.rows)} examples are shown."
    return words


def sample(values: np.ndarray, low: float, high: float, words: str) -> Picture:
    """A sample [C, H, W] or [T, C, H, W]; low is black, high is white."""
    scaled = np.clip((values - low) / ((high - low) or 1), 0, 1)
    return _picture([_coloured(frame) for frame in _frames(scaled)], words)


def difference(values: np.ndarray, words: str) -> Picture:
    """A signed change of the same shape: blue where less, red where more, on its own scale."""
    frames = [frame.mean(0) for frame in _frames(values)]
    scale = max(float(np.abs(frame).max()) for frame in frames) or 1.0
    colours = [colormaps["RdBu_r"](0.5 + frame / (2 * scale))[..., :3] for frame in frames]
    return _picture(colours, words)


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


def _picture(frames: list[np.ndarray], words: str) -> Picture:
    """Frames [H, W, 3] in [0, 1] in one strip, a grey line between any two."""
    line = np.full((len(frames[0]), 1, 3), GAP / 255)
    strip = np.concatenate([part for frame in frames for part in (frame, line)][:-1], axis=1)
    stream = io.BytesIO()
    Image.fromarray((255 * strip).round().astype(np.uint8)).save(stream, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    height, width = strip.shape[:2]
    return Picture(source, width, height, words)
