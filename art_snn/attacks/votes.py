"""Votes of a random network: how many predictions are drawn for which use, and who is wrong."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from art_snn.behaviour import predict_by_draws
from art_snn.classifier.inputs import as_tensor

DRAWS_TO_EXAMINE = 5
"""Predictions that are compared, to see whether a network is random, or of which most
decide about a finding (AutoAttack; Croce and Hein, ICML 2020)."""
DRAWS_TO_DECIDE = 11
"""Fresh predictions of an adversarial, of which most decide."""
DRAWS_TO_AVERAGE = 10
"""Draws that a gradient is averaged over, and the logits on the way."""

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


def count_votes(predictions: Sequence[Any], classes: Tensor) -> Votes:
    """The votes of one or more predictions of n samples.

    :param predictions: logits [n, K] each, numpy or torch.
    :param classes: the true classes [n]."""
    logits = torch.stack([as_tensor(one) for one in predictions])

    numbers = ~logits.isnan().any(2)
    wrong = ((logits.argmax(2) != classes) & numbers).sum(0)
    return Votes(wrong, 2 * wrong > len(predictions), numbers.all(0), logits[-1])


def draw_decisions(predict: Callable[[], Any], seed: int, draws: int) -> list[Any]:
    """The predictions that decide after an attack of a seed.

    :param predict: gives logits [n, K].
    :param draws: how many; a single one is drawn from no seed."""
    return [predict()] if draws == 1 else predict_by_draws(predict, seed + _FRESH, draws)
