"""Originals, adversarials and differences in rows, as many as a page can carry."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from art_snn.experiments.evaluation.pictures import (
    MOST_FRAMES,
    Picture,
    difference,
    drawable,
    sample,
)
from art_snn.experiments.evaluation.verdict import budget_words

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.examples import Examples
    from art_snn.experiments.evaluation.result import Evaluation

MOST = 12
ROOM = 700_000
"""Letters that the pictures of one evaluation may take."""


@dataclass(frozen=True)
class Example:
    """One sample.

    :param words: which it is, and what became of it.
    :param pictures: the original, the adversarial, and their difference."""

    words: str
    pictures: tuple[Picture, Picture, Picture]


@dataclass(frozen=True)
class Grid:
    """Samples with their adversarials.

    :param words: what the rows show.
    :param strips: whether pictures are frames in time.
    :param rows: one per sample."""

    words: str
    strips: bool
    rows: tuple[Example, ...]


def grid(evaluation: "Evaluation", examples: "Examples") -> Grid:
    """The first examples, as many as there is room for."""
    shape = examples.x.shape[1:]
    start = f"Samples under {examples.trial}, {budget_words(evaluation.norm, examples.eps)}. "
    obstacle = _obstacle(examples)
    if obstacle:
        return Grid(f"{start}{obstacle}", False, ())
    rows: list[Example] = []
    room = ROOM
    for row in _rows(evaluation, examples):
        room -= sum(len(picture.source) for picture in row.pictures)
        if len(rows) == MOST or (rows and room < 0):
            break
        rows.append(row)
    return Grid(start + _legend(examples, len(rows)), len(shape) == 4, tuple(rows))


def _obstacle(examples: "Examples") -> str:
    """Why nothing can be drawn, in a sentence, or ""."""
    shape = examples.x.shape[1:]
    if not len(examples.x):
        return "There is none."
    if not drawable(shape):
        return f"Samples of shape ({', '.join(map(str, shape))}) are not drawn."
    numbers = all(np.isfinite(values).all() for values in (examples.x, examples.adversarial))
    return "" if numbers else "They hold values that are no finite numbers, and are not drawn."


def _rows(evaluation: "Evaluation", examples: "Examples") -> Iterator[Example]:
    low, high = _range(examples)
    for place, row in enumerate(examples.rows.tolist()):
        x, adversarial = (
            values[place].astype(float) for values in (examples.x, examples.adversarial)
        )
        change = adversarial - x
        label, guess = evaluation.labels[row], int(examples.predicted[place])
        moved = int((change != 0).sum())
        largest = f"{np.abs(change).max():.3g}" if change.size else "0"
        taken = f"still taken for {guess}" if guess == label else f"taken for {guess}"
        kept = f"Sample {row}, of class {label}"
        told = f"{kept}, {taken}; {moved} of {change.size} values changed, at most by {largest}."
        words = f"{kept}, original", f"{kept}, adversarial, {taken}"
        pictures = (
            sample(x, low, high, words[0]),
            sample(adversarial, low, high, words[1]),
            difference(change, f"{kept}, difference: largest change {largest}"),
        )
        yield Example(told, pictures)


def _range(examples: "Examples") -> tuple[float, float]:
    """The values that are black and white: the least and the largest of all that is shown."""
    both = examples.x, examples.adversarial
    return float(min(a.min() for a in both)), float(max(a.max() for a in both))


def _legend(examples: "Examples", shown: int) -> str:
    """How the pictures are to be read."""
    low, high = _range(examples)
    _, *_, channels, _, _ = shape = examples.x.shape
    told = f"Black is {low:.4g}, white {high:.4g}. "
    if channels == 2:
        told = "Orange are events of the second channel, blue those of the first, white both. "
    several = ", the mean of the channels" if channels > 1 else ""
    told += f"Differences: red is more, blue is less{several}, each on its own scale."
    if len(shape) == 5:
        frames = min(MOST_FRAMES, shape[1])
        told += f" Frames 1 to {frames} of {shape[1]} stand side by side in time."
    if shown < len(examples.rows):
        told += f" The first {shown} of {len(examples.rows)} examples are shown."
    return told
