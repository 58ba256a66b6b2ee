"""Checks of an evaluation against the network, the data, and the files next to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from art_snn.app.check.result import Check
from art_snn.app.evaluate.adversarials import in_range, least_budgets
from art_snn.app.evaluate.result import (
    EXCERPT as FIRST,
    EXCERPT_COUNT as COUNT,
    SampleExcerpt as First,
    weights_digest as weights,
)
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import predicted_classes
from art_snn.app.evaluation import Evaluation
from art_snn.attacks.run import FRESH
from art_snn.attacks.spiking_auto_attack import DRAWS
from art_snn.checks import ArgumentError
from art_snn.files import digest
from art_snn.seeding import seeded


@dataclass(frozen=True)
class Repetition:
    """An evaluation, the network and samples that it is said to be of, and its folder."""

    evaluation: Evaluation
    target: Target
    folder: Path

    @property
    def count(self) -> int:
        """How many samples are checked: the first ones."""
        return min(COUNT, len(self.evaluation.samples), len(self.target.x))

    def checks(self) -> Iterator[Check]:
        """All of them, in the order of reading."""
        given, here = self.evaluation.provenance.weights, weights(self.target.classifier)
        yield Check("weights", given == here, f"digest {here}, in the evaluation {given}")
        yield self._samples()
        yield self._predictions()
        try:
            first = First.read(self.folder)
        except (ArgumentError, FileNotFoundError) as error:
            yield Check(FIRST, False, getattr(error, "complaint", str(error)))
            return
        yield self._flags(first)
        # What is of other samples or budgets can be compared with nothing.
        if self._belongs(first):
            yield self._ball(first)
            yield self._fooled(first)

    def _samples(self) -> Check:
        """Digests and classes of the first samples."""
        here = [digest("", sample)[:16] for sample in self.target.x[: self.count]]
        labels = self.target.y[: self.count].tolist()
        pairs = zip(self.evaluation.samples, self.evaluation.labels, strict=True)
        same = sum(a == b for a, b in zip(pairs, zip(here, labels, strict=True), strict=False))
        total, words = (
            len(self.evaluation.samples),
            f"{same} of the first {self.count} are the same",
        )
        if len(self.target.x) != total:
            return Check(
                "samples", False, f"{words}; {len(self.target.x)} test samples, not {total}"
            )
        return Check("samples", same == self.count, words)

    def _predictions(self) -> Check:
        """Classes without an attack, predicted in the blocks of the evaluation."""
        parts = (predicted_classes(self.target, rows) for rows in self.target.slices)
        here: list[int] = []
        while len(here) < self.count:
            here += next(parts)
        given = self.evaluation.clean[: self.count]
        same = sum(a == b for a, b in zip(given, here, strict=False))
        words = f"{same} of the first {self.count} are the same"
        other = f" (evaluated on {self.evaluation.provenance.device})" if same < self.count else ""
        return Check("predictions", same == self.count, words + other)

    @cached_property
    def _broken(self) -> NDArray[np.bool_]:
        """Which of the first samples any attack broke at each budget, bool (B, n)."""
        rows = []
        for eps in self.evaluation.budgets:
            stages = [
                trial.outcome.stage[: self.count] for trial in self.evaluation.at(eps).values()
            ]
            rows.append(np.logical_or.reduce([stage >= 0 for stage in stages]))
        return np.array(rows)

    def _belongs(self, first: First) -> bool:
        """Whether the file is of the first samples and of all budgets."""
        x = self.target.x[: self.count]
        budgets = sorted(first.eps.tolist()) == [*self.evaluation.budgets]
        return budgets and first.x.shape == x.shape and bool(np.array_equal(first.x, x))

    def _ordered(self, first: First) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Adversarials and flags from small to large budgets."""
        order = np.argsort(first.eps)
        return first.adversarial[order], first.broken[order]

    def _flags(self, first: First) -> Check:
        """Whether the file says of each sample what the evaluation says."""
        if not self._belongs(first):
            return Check("broken samples", False, f"{FIRST} is of other samples or budgets")
        _, broken = self._ordered(first)
        differing = int((broken != self._broken).sum())
        words = f"{int(broken.sum())} in {FIRST}, {int(self._broken.sum())} in the evaluation"
        return Check("broken samples", not differing, words)

    def _ball(self, first: First) -> Check:
        """Whether each adversarial lies in the range of samples and in the ball."""
        adversarial, broken = self._ordered(first)
        outside, farthest = 0, 0.0
        for eps, points, which in zip(self.evaluation.budgets, adversarial, broken, strict=True):
            fits = in_range(points[which], self.target.classifier)
            x = first.x[which][fits]
            try:
                least = self._least(x, points[which][fits])
            except ArgumentError as error:
                return Check("ball", False, error.complaint)
            outside += int((~fits).sum()) + int((least > eps).sum())
            farthest = max(farthest, *(least / eps), 0.0)
        words = f"{outside} of {int(broken.sum())} outside"
        return Check("ball", not outside, f"{words}, the farthest at {farthest:.4g} of its budget")

    def _least(self, x: np.ndarray, points: np.ndarray) -> NDArray[np.float64]:
        if not len(x):
            return np.zeros(0)
        return least_budgets(self.target.settings.measure, self.target.classifier, x, points)

    def _fooled(self, first: First) -> Check:
        """Whether the network misclassifies each adversarial, a random one mostly."""
        adversarial, broken = self._ordered(first)
        points, labels = adversarial[broken], self.target.y[: self.count]
        classes = np.broadcast_to(labels, broken.shape)[broken]
        draws, votes = DRAWS if self.target.random else 1, np.zeros(len(points), int)
        for draw in range(draws if len(points) else 0):
            with seeded(self.target.settings.seed + FRESH + draw):
                logits = self.target.classifier.predict(points, self.target.settings.batch_size)
            votes += (logits.argmax(1) != classes) & ~np.isnan(logits).any(1)
        fooled = int((2 * votes > draws).sum())
        words = f"{fooled} of {len(points)} fool the network"
        return Check("adversarials", fooled == len(points), words)
