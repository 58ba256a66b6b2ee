"""What a training run was like, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples.

    :param number: counted from 1.
    :param loss: mean cross entropy over the samples as they were trained on.
    :param validation: share of the validation samples that are classified correctly afterwards, and
        under attack where training is adversarial; None without validation samples.
    """

    number: int
    loss: float
    validation: float | None = None


def best(history: Sequence[Epoch]) -> Epoch | None:
    """The first epoch of the highest validation accuracy; None without validation samples."""
    known = [epoch for epoch in history if epoch.validation is not None]
    return max(known, key=lambda epoch: (epoch.validation or 0.0, -epoch.number), default=None)
