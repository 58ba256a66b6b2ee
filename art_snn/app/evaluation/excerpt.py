"""What a verification repeats: the first samples of an evaluation, and predictions of blocks."""

from pathlib import Path

import numpy as np

from art_snn.checks import SEEDS, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import LARGEST, read_arrays
from art_snn.seeding import seeded

EXCERPT = "first.npz"
"""The file of the excerpt, in the folder of an evaluation."""
EXCERPT_COUNT = 20
"""Samples that an excerpt holds, at most."""
_REMEDY = "Evaluate again in a new folder."


def read_excerpt(folder: Path, largest: int = LARGEST) -> dict[str, np.ndarray]:
    """The first n samples of an evaluation with their adversarials, from its folder.

    :param largest: bytes that they may take, unpacked.
    :return: the B budgets eps; x ``(n, *shape)`` of classes y (n,); adversarial ``(B, n, *shape)``,
        the sample itself where nothing broke it; and which are broken, bool (B, n).
    :raises FileNotFoundError: when there are none.
    :raises ValueError: when the file is damaged or holds something else."""
    content = "the first samples with their adversarials, as art-snn evaluate writes them"
    arrays = read_arrays(folder / EXCERPT, "first", content, _REMEDY, largest=largest)
    shapes = {name: array.shape for name, array in arrays.items()}
    budgets = shapes.get("eps", ())[:1]
    x = shapes.get("x", ())
    expected = {
        "eps": budgets,
        "x": x,
        "y": x[:1],
        "adversarial": budgets + x,
        "broken": budgets + x[:1],
    }
    fits = shapes == expected and arrays["broken"].dtype == bool
    require(fits, "first", content, f"arrays of shapes {shapes}", _REMEDY)
    return arrays


def derive_seed(seed: int, start: int) -> int:
    """The seed of the block whose first sample has the number `start`."""
    return (seed + start) % (SEEDS + 1)


def predict_classes(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, batch_size: int, seed: int
) -> list[int]:
    """Classes of the samples x ``(n, ...)`` of a block from its seed; -1 without a prediction."""
    with seeded(seed):
        logits = classifier.predict(x, batch_size=batch_size)
    unanswered = np.isnan(logits).any(1)
    classes: list[int] = np.where(unanswered, -1, logits.argmax(1)).tolist()
    return classes
