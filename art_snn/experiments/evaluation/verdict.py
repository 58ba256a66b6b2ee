"""The one sentence that an evaluation comes to: how robust, and whether the number is believed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from art_snn.findings.predictions import RANDOM
from art_snn.metrics import Robustness, Share, union

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
    :param examined: samples on which findings were looked for; 0: nobody did.
    :param plan: the plan that decides; "": attacks by their names alone were run."""

    eps: float
    norm: str
    outcome: Robustness
    reservations: "tuple[Reservation, ...]"
    examined: int
    plan: str

    @property
    def robust(self) -> float:
        """The robust accuracy in [0, 1]: an upper bound, whatever was found."""
        return self.outcome.robust_accuracy.value

    @property
    def open(self) -> bool:
        """Whether the number is an upper bound and must not be told as the robustness."""
        return bool(self.reservations) or not self.examined or not self.plan

    @property
    def share(self) -> str:
        """The robust accuracy in words."""
        return bounded(self.outcome.robust_accuracy, self.open)

    def __str__(self) -> str:
        return sentence([self])


def sentence(found: Sequence[Verdict]) -> str:
    """What all budgets come to, in one sentence without its full stop.

    :param found: one verdict per budget of the same evaluation; at least one."""
    first, *_ = found
    norm, count = first.norm, len(first.reservations)
    told = [f"{one.outcome.robust_accuracy} {_at(norm, one.eps)}" for one in found]
    start = "Robust accuracy at most" if first.open else "Robust accuracy"
    numbers = f"{start} {join_words(told)}{_within(norm)}"
    if not first.examined and not count:
        return f"{numbers}; no findings were looked for"
    if not count:
        alone = "" if first.plan else ", but no plan of attacks was tried"
        return f"{numbers}; no finding speaks against it{alone}"
    it = "it is" if len(found) == 1 else "they are"
    speak = "one finding says" if count == 1 else f"{spelt(count)} findings say"
    return f"{numbers}; {speak} that {it} lower"


def bounded(share: Share, is_open: bool) -> str:
    """A robust accuracy in words, which tell where it is but an upper bound."""
    return f"at most {share}" if is_open else str(share)


def verdicts(evaluation: "Evaluation") -> list[Verdict]:
    """One per budget, from small to large."""
    found = []
    every: list[Trial] = []
    against = tuple(weighty(evaluation))
    for eps in evaluation.budgets:
        every += [trial for trial in evaluation.trials if trial.eps == eps]
        outcome = union([trial.robustness for trial in every])
        examined = evaluation.provenance.examined
        plan = evaluation.plan
        found.append(Verdict(eps, evaluation.norm, outcome, against, examined, plan))
    return found


def bound(evaluation: "Evaluation", trial: "Trial", verdict: Verdict) -> str:
    """The robust accuracy that one trial leaves, in words.

    It is an upper bound where the verdict is one, where a finding speaks about the trial, and
    where the other trials left less of it.

    :param verdict: that of the same budget."""
    about = any(one.about == trial.name for one in evaluation.reservations)
    share = trial.robustness.robust_accuracy
    less = verdict.outcome.robust_accuracy.count < share.count
    return bounded(share, verdict.open or about or less)


def weighty(evaluation: "Evaluation") -> "Iterable[Reservation]":
    """The findings about what the verdict rests on.

    Where a plan decides, a weak attack beside it takes nothing from the union; and that a network
    draws at random is met by what a plan does then: EOT, and the majority of fresh draws."""
    beside = {trial.name for trial in evaluation.trials} - {evaluation.plan}
    for one in evaluation.reservations:
        met = one.about in beside or one.name == RANDOM
        if not evaluation.plan or not met:
            yield one


def budget_words(norm: str, eps: float) -> str:
    """A budget in words."""
    return f"{_at(norm, eps)}{_within(norm)}"


def size(norm: str, eps: float) -> str:
    """A budget as a number: in the maximum norm in grey levels of images, where it is that."""
    levels = round(255 * eps)
    if norm == "inf" and 0 < levels <= MOST_LEVELS and eps == levels / 255:
        return f"{levels}/255"
    return f"{eps:.4g}"


def unit(norm: str) -> str:
    """What budgets are counted in, for the axis of a figure."""
    kinds = {"0": "changed values", "shift": "spikes moved by steps"}
    return kinds.get(norm, f"eps{_within(norm)}")


MOST_LEVELS = 32
"""Up to here multiples of 1/255 are budgets of images; 0.2, which is one too, is not meant so."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def spelt(count: int) -> str:
    """A count in a word where it has a short one."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def join_words(words: Sequence[str]) -> str:
    """The words with commas between, and an "and" before the last."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _at(norm: str, eps: float) -> str:
    plural = "" if eps == 1 else "s"
    if norm == "0":
        return f"with {eps:g} changed value{plural}"
    if norm == "shift":
        return f"with spikes moved by {eps:g} step{plural}"
    return f"at eps {size(norm, eps)}"


def _within(norm: str) -> str:
    kinds = {"inf": " in the maximum norm", "2": " in the Euclidean norm"}
    return kinds.get(norm, "")
