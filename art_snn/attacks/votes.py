"""Votes of a random network: how many predictions are drawn for which use, and who is wrong."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from art_snn.classifier.inputs import as_tensor
from art_snn.seeding import seeded

DRAWS = {
    # Predictions that are compared, to see whether a network is random, or of which most decide
    # about a finding (AutoAttack; Croce and Hein, ICML 2020).
    "examine": 5,
    # Fresh predictions of an adversarial, of which most decide.
    "decide": 11,
    # Draws that a gradient is averaged over, and the logits on the way.
    "average": 10,
}
"""How many predictions of a random network are drawn, by their use."""
_FRESH = 1000
"""The predictions that decide are drawn from seeds that much above that of the attack."""


class Votes(NamedTuple):
    """Several predictions of n samples.

    :param wrong: how many are misclassifications [n]; a prediction with NaN is none.
    :param most: True where most are wrong [n].
    :param answered: True where no logit was NaN [n].
    :param logits: the last prediction [n, K]."""

    wrong: Tensor
    most: Tensor
    answered: Tensor
    logits: Tensor


def count_votes(predict: Callable[[], Any], classes: Tensor, seeds: Sequence[int | None]) -> Votes:
    """The votes of several predictions of samples.

    :param predict: gives logits [n, K].
    :param classes: the true classes [n].
    :param seeds: of a prediction each; None leaves the random states as they are."""
    wrong = torch.zeros_like(classes)
    answered = torch.ones_like(classes, dtype=torch.bool)
    for seed in seeds:
        with nullcontext() if seed is None else seeded(seed):
            logits = as_tensor(predict())
        numbers = ~logits.isnan().any(1)
        wrong += (logits.argmax(1) != classes) & numbers
        answered &= numbers
    return Votes(wrong, 2 * wrong > len(seeds), answered, logits)


def deciding_seeds(seed: int, draws: int) -> Sequence[int | None]:
    """Seeds of the predictions that decide after an attack of a seed; a single one needs none."""
    if draws == 1:
        return (None,)
    return range(seed + _FRESH, seed + _FRESH + draws)
