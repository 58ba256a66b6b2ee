"""Whether a network draws at random."""

from collections.abc import Sequence

import numpy as np

EVALUATIONS = 5
"""Predictions of the same samples that are compared (AutoAttack; Croce and Hein, ICML 2020)."""
DIFFERENCE = 1e-4
"""Share of the length of the logits by which those of a network without chance may differ."""


def logit_spread(every: Sequence[np.ndarray]) -> float:
    """The largest difference of a logit between predictions [N, K], in lengths of the logits."""
    lengths = np.linalg.norm(every[0], axis=1, keepdims=True)
    scaled = np.stack(every) / np.where(lengths > 0, lengths, 1)
    return float(np.nan_to_num(np.ptp(scaled, axis=0)).max(initial=0))


def random(every: Sequence[np.ndarray], y: np.ndarray) -> bool:
    """Whether predictions [N, K] differ more than by rounding, or in how many are right.

    :param y: true classes [N]."""
    counts = {int((logits.argmax(1) == y).sum()) for logits in every}
    return logit_spread(every) > DIFFERENCE or len(counts) > 1
