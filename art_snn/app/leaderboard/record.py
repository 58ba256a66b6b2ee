"""A network at one budget: what all evaluations of its weights say together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluation import Evaluation, Trial, Verdict
from art_snn.app.evaluation.words import budget_words
from art_snn.checks import invalid
from art_snn.findings import Finding
from art_snn.metrics import Share


@dataclass(frozen=True)
class Claim:
    """What one evaluation says at one budget.

    :param file: from which it was read, for complaints and notes."""

    file: str
    evaluation: Evaluation
    verdict: Verdict

    @property
    def standing(self) -> NDArray[np.bool_]:
        """Which samples are right before and after all attacks, bool (N,)."""
        standing: NDArray[np.bool_] = self.verdict.outcome.correct & self.verdict.outcome.robust
        return standing

    @property
    def certified(self) -> NDArray[np.bool_] | None:
        """Which samples are certified, bool (N,); None without bounds."""
        return self.evaluation.certified(self.verdict.eps)

    def breaker(self, row: int) -> str | None:
        """What broke a sample: a plan, an attack, or adversarials of somebody; None if nothing."""
        for trial in self._trials():
            stage = int(trial.outcome.stage[row])
            if stage >= 0:
                one = trial.outcome.stages[stage]
                return one.label if one.status == "submitted" else trial.name
        return None

    def _trials(self) -> list[Trial]:
        """Those up to the budget: from its own to smaller ones, the plan that decides first."""
        plan, eps = self.evaluation.plan, self.verdict.eps
        trials = [trial for trial in self.evaluation.trials if trial.eps <= eps]
        return sorted(trials, key=lambda trial: (-trial.eps, trial.name != plan))


@dataclass(frozen=True)
class Record:
    """A network at one budget.

    :param claims: evaluations on the same samples, which count together; the strongest first.
    :param others: evaluations on other samples, which leave more of the network."""

    claims: tuple[Claim, ...]
    others: tuple[Claim, ...] = ()

    @property
    def first(self) -> Evaluation:
        """The evaluation with the strongest attack, whose name and notes count."""
        return self.claims[0].evaluation

    @property
    def eps(self) -> float:
        return self.claims[0].verdict.eps

    @property
    def clean(self) -> Share:
        """Right without an attack."""
        return self.claims[0].verdict.outcome.clean_accuracy

    @cached_property
    def standing(self) -> NDArray[np.bool_]:
        """Which samples no attack of any evaluation broke, bool (N,)."""
        standing: NDArray[np.bool_] = np.logical_and.reduce([one.standing for one in self.claims])
        return standing

    @property
    def robust(self) -> Share:
        """Right after the attacks of all evaluations."""
        return Share(int(self.standing.sum()), len(self.standing))

    @cached_property
    def certified(self) -> Share | None:
        """What any evaluation certifies; None without bounds.

        :raises ValueError: where one breaks what another certifies, which names both files."""
        masks = [(one, mask) for one in self.claims if (mask := one.certified) is not None]
        for one, mask in masks:
            refuted = np.flatnonzero(mask & ~self.standing)
            if len(refuted):
                raise self._contradiction(one, int(refuted[0]))
        union = np.logical_or.reduce([mask for _, mask in masks]) if masks else None
        return None if union is None else Share(int(union.sum()), len(union))

    def _contradiction(self, claim: Claim, row: int) -> Exception:
        other = next(one for one in self.claims if not one.standing[row])
        got = f"{claim.file}, which certifies sample {row}, and {other.file}, where it is wrong or "
        got += f"broken {budget_words(self.first.norm, self.eps)}"
        remedy = "One of them is wrong: evaluate both anew. If both remain, report a bug."
        return invalid("files", "evaluations of the same weights that agree", got, remedy)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those that cast doubt on the strongest attack."""
        return self.claims[0].verdict.findings

    @property
    def exact(self) -> bool:
        """Whether all that the attacks left is certified, or nothing is left."""
        wrong = any(finding.severity == "error" for finding in self.findings)
        return not self.robust.count or (self.certified == self.robust and not wrong)

    @cached_property
    def credits(self) -> Mapping[str, int]:
        """How many samples each attack broke that was right without one, by who found it."""
        right = self.claims[0].verdict.outcome.correct
        rows = np.flatnonzero(right & ~self.standing).tolist()
        return Counter(self._credit(row) for row in rows)

    def _credit(self, row: int) -> str:
        for place, claim in enumerate(self.claims):
            breaker = claim.breaker(row)
            if breaker is not None:
                return f"{breaker} in {claim.file}" if place else breaker
        return "misclassified"


def merged(claims: Iterable[Claim]) -> Record:
    """The record of all claims of the same weights at the same budget.

    Those on the same samples count together, whatever any of them broke. Of several sets of
    samples, the one counts on which less is left."""
    groups: dict[tuple[str, ...], list[Claim]] = {}
    for claim in claims:
        groups.setdefault(claim.evaluation.samples, []).append(claim)
    records = [Record(tuple(sorted(group, key=_weakness))) for group in groups.values()]
    best, *rest = sorted(records, key=lambda record: record.robust.value)
    return Record(best.claims, tuple(claim for record in rest for claim in record.claims))


def _weakness(claim: Claim) -> tuple[float, int, str]:
    """From the strongest attack to the weakest; then from fewer findings to more, by name."""
    return claim.verdict.robust, len(claim.verdict.findings), claim.file


def standings(records: Sequence[Record]) -> list[Record]:
    """The records from the most robust to the least; then by what is certified and by clean."""

    def rank(record: Record) -> tuple[float, float, float, str]:
        certified = record.certified.value if record.certified else 0.0
        return -record.robust.value, -certified, -record.clean.value, record.first.name

    return sorted(records, key=rank)
