"""Adversarials that were made elsewhere, as a stage of a plan that only tries them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor

from art_snn.attacks.best import Best
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.queries import Queries
from art_snn.checks import require, shown

PREFIX = "adversarials "
"""How the words of a stage begin that tries adversarials from elsewhere; a name follows."""


@dataclass(frozen=True)
class Candidates:
    """Points that somebody takes for adversarials of some samples.

    :param name: of who made them.
    :param points: one in the place of each sample ``(N, *shape)``.
    :param there: for which samples there is one, bool (N,); the other points are never tried."""

    name: str
    points: np.ndarray
    there: NDArray[np.bool_]

    def of(self, rows: Any) -> "Candidates":
        """Those of some samples, a slice, or a mask (N,)."""
        return Candidates(self.name, self.points[rows], self.there[rows])

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}"


class CandidateAttack(PerSampleAttack):
    """Puts each candidate in the place of its sample; who runs it measures and predicts them.

    :param candidates: of all samples that are attacked."""

    by_gradients: ClassVar[bool] = False

    def __init__(
        self, estimator: PyTorchClassifier, candidates: Candidates, batch_size: int = 32
    ) -> None:
        super().__init__(estimator, targeted=False, batch_size=batch_size, verbose=False)
        self.candidates = candidates

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        rows = queries.rows.numpy()
        device = best.samples.device
        points = torch.as_tensor(self.candidates.points[rows], device=device).to(best.samples)
        points = points if mask is None else torch.where(mask, points, best.samples)
        there = torch.as_tensor(self.candidates.there[rows], device=device)
        local = torch.arange(len(rows), device=device)[there]
        # They claim to be adversarial, at any margin.
        best.take(local, points[there], best.values[local], there[there])


def require_candidates(candidates: object) -> tuple[Candidates, ...]:
    """A list of candidates; ValueError for anything else."""
    fits = isinstance(candidates, Sequence)
    fits = fits and all(isinstance(one, Candidates) for one in candidates)  # type: ignore[attr-defined]
    remedy = "Wrap arrays: Candidates(name, points, there)."
    require(fits, "candidates", "a list of Candidates", shown(candidates), remedy)
    return tuple(candidates)  # type: ignore[arg-type]
