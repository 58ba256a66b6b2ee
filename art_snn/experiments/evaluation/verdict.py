"""The verdict of an evaluation: how robust the network is, and what casts doubt on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from art_snn.experiments.evaluation.evaluation import Evaluation, Trial
from art_snn.findings import Finding
from art_snn.findings.predictions import RANDOM
from art_snn.metrics import Robustness, Share, union

UNION = "union of all"


@dataclass(frozen=True)
class Verdict:
    """The result at one budget.

    :param outcome: of all trials together, at this budget or a smaller one.
    :param findings: those that cast doubt on the number.
    :param examined: samples that were examined for findings; 0 for none.
    :param plan: the plan that decides; "" where only single attacks ran."""

    eps: float
    norm: str
    outcome: Robustness
    findings: tuple[Finding, ...]
    examined: int
    plan: str

    @property
    def robust(self) -> float:
        """The robust accuracy in [0, 1]; always an upper bound."""
        return self.outcome.robust_accuracy.value

    @property
    def open(self) -> bool:
        """Whether the number must be reported as an upper bound."""
        return bool(self.findings) or not self.examined or not self.plan

    @property
    def share(self) -> str:
        """The robust accuracy in words."""
        return bound_words(self.outcome.robust_accuracy, self.open)

    def __str__(self) -> str:
        return sentence([self])


def sentence(results: Sequence[Verdict]) -> str:
    """The verdicts of an evaluation in one sentence, without its full stop."""
    first, *_ = results
    norm, count = first.norm, len(first.findings)
    shares = [f"{one.outcome.robust_accuracy} {_at(norm, one.eps)}" for one in results]
    start = "Robust accuracy at most" if first.open else "Robust accuracy"
    numbers = f"{start} {join_words(shares)}{_within(norm)}"
    if not first.examined and not count:
        return f"{numbers}; no findings were looked for"
    if not count:
        alone = "" if first.plan else ", but no plan of attacks was run"
        return f"{numbers}; no finding casts doubt on it{alone}"
    if not any(one.robust for one in results):
        return f"{numbers}; no sample survives"
    it = "it" if len(results) == 1 else "they"
    suggest = "one finding suggests" if count == 1 else f"{spelt(count)} findings suggest"
    return f"{numbers}; {suggest} that {it} may be lower"


def bound_words(share: Share, is_open: bool) -> str:
    """A robust accuracy in words, "at most" where it is only an upper bound."""
    return f"at most {share}" if is_open else str(share)


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """One per budget, from small to large."""
    results, trials = [], []
    against = tuple(decisive_findings(evaluation))
    for eps in evaluation.budgets:
        trials += [trial.robustness for trial in evaluation.at(eps).values()]
        examined = evaluation.provenance.examined
        outcome, plan = union(trials), evaluation.plan
        results.append(Verdict(eps, evaluation.norm, outcome, against, examined, plan))
    return results


def bound(evaluation: Evaluation, trial: Trial, verdict: Verdict) -> str:
    """The robust accuracy that one trial leaves, in words, with the verdict at the same budget.

    It is an upper bound where the verdict is one, where a finding is about the trial, and where the
    other trials left less of it."""
    about = any(finding.about == trial.name for finding in evaluation.findings)
    share = trial.robustness.robust_accuracy
    less = verdict.outcome.robust_accuracy.count < share.count
    return bound_words(share, verdict.open or about or less)


def decisive_findings(evaluation: Evaluation) -> list[Finding]:
    """The findings that cast doubt on the verdict.

    Where a plan decides, findings about other attacks do not, nor does randomness: plans handle it
    with EOT and a majority of fresh predictions."""
    if not evaluation.plan:
        return list(evaluation.findings)
    others = {*evaluation.names} - {evaluation.plan}
    findings = (one for one in evaluation.findings if one.about not in others)
    return [finding for finding in findings if finding.name != RANDOM]


def budget_words(norm: str, eps: float) -> str:
    """A budget in words."""
    return f"{_at(norm, eps)}{_within(norm)}"


def size(norm: str, eps: float) -> str:
    """A budget as a number; in the maximum norm as a fraction of 255 where it is exactly one."""
    levels = round(255 * eps)
    if norm == "inf" and 0 < levels <= MOST_LEVELS and eps == levels / 255:
        return f"{levels}/255"
    return f"{eps:.4g}" if norm in ("inf", "2") else f"{eps:g}"


def unit(norm: str) -> str:
    """What budgets are counted in, for the axis of a figure."""
    kinds = {"0": "changed values", "shift": "spikes moved by steps"}
    return kinds.get(norm, f"eps{_within(norm)}")


MOST_LEVELS = 32
"""Multiples of 1/255 up to here are budgets of images; 0.2, which is 51/255, is none."""
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
