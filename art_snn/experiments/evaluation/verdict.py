"""The one sentence that an evaluation comes to: how robust, and whether the number is believed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from art_snn.metrics import Robustness, union

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.result import Evaluation, Reservation
    from art_snn.experiments.evaluation.trial import Trial


@dataclass(frozen=True)
class Verdict:
    """What one budget comes to.

    :param eps: the budget.
    :param norm: in which it is.
    :param outcome: of the attack whose adversarial is whichever trial's succeeds, at this budget or
        a smaller one.
    :param reservations: the findings that speak against the number.
    :param examined: samples on which findings were looked for; 0: nobody did."""

    eps: float
    norm: str
    outcome: Robustness
    reservations: "tuple[Reservation, ...]"
    examined: int

    @property
    def robust(self) -> float:
        """The robust accuracy in [0, 1]: an upper bound, whatever was found."""
        return self.outcome.robust_accuracy.value

    def __str__(self) -> str:
        share, count = self.outcome.robust_accuracy, len(self.reservations)
        at = f"{share} {budget(self.norm, self.eps)}"
        if not count and not self.examined:
            return f"Robust accuracy at most {at}; no findings were looked for"
        if not count:
            return f"Robust accuracy {at}; no finding speaks against it"
        speak = "one finding says" if count == 1 else f"{spelt(count)} findings say"
        return f"Robust accuracy at most {at}; {speak} that it is lower"


def verdicts(evaluation: "Evaluation") -> list[Verdict]:
    """One per budget, from small to large."""
    found = []
    every: list[Trial] = []
    against = tuple(_weighty(evaluation))
    for eps in evaluation.budgets:
        every += [trial for trial in evaluation.trials if trial.eps == eps]
        outcome = union([trial.robustness for trial in every])
        examined = evaluation.provenance.examined
        found.append(Verdict(eps, evaluation.norm, outcome, against, examined))
    return found


def _weighty(evaluation: "Evaluation") -> "Iterable[Reservation]":
    """The findings about what the verdict rests on.

    Where a plan decides, a weak attack beside it takes nothing from the union."""
    beside = {trial.name for trial in evaluation.trials} - {evaluation.plan}
    for reservation in evaluation.reservations:
        if not evaluation.plan or reservation.about not in beside:
            yield reservation


def budget(norm: str, eps: float) -> str:
    """A budget in words."""
    if norm == "0":
        return f"with {eps:g} changed values"
    if norm == "shift":
        return f"with spikes moved by {eps:g} steps"
    kind = "maximum" if norm == "inf" else "Euclidean"
    return f"at eps {eps:.4g} in the {kind} norm"


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def spelt(count: int) -> str:
    """A count in a word where it has a short one."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
