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
    :param findings: those that cast doubt on a number at this budget.
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
        """The robust accuracy in [0, 1]; an upper bound wherever :attr:`open` says so."""
        return self.outcome.robust_accuracy.value

    @property
    def open(self) -> bool:
        """Whether the number must be reported as an upper bound: 0 never is one."""
        doubted = bool(self.findings) or not self.examined or not self.plan
        return doubted and self.outcome.robust_accuracy.count > 0

    @property
    def share(self) -> str:
        """The robust accuracy in words."""
        return bound_words(self.outcome.robust_accuracy, self.open)

    def __str__(self) -> str:
        share = self.outcome.robust_accuracy
        at_most = " at most" if self.open else ""
        return f"Robust accuracy{at_most} {share} {budget_words(self.norm, self.eps)}"


def plain_words(evaluation: Evaluation, verdict: Verdict) -> str:
    """The verdict at one budget for people outside of the field, in two sentences."""
    clean, robust = verdict.outcome.clean_accuracy, verdict.outcome.robust_accuracy
    kind = _kind(evaluation)
    one, are = (kind, "is") if clean.total == 1 else (f"{kind}s", "are")
    change = _change(evaluation, verdict.eps)
    start = f"Of {clean.total} {one}, {clean.count} {are} classified correctly"
    still = f"{robust.count or 'none'} still {'is' if robust.count == 1 else 'are'}"
    return f"{start}, and {still} after an attack that {change}. {_doubt(verdict)}".rstrip()


def _doubt(verdict: Verdict) -> str:
    """What the warnings mean for the number, in a sentence."""
    count = len({(finding.name, finding.about) for finding in verdict.findings})
    if not verdict.outcome.robust_accuracy.count:
        return ""
    if count:
        suggest = "warning suggests" if count == 1 else "warnings suggest"
        return f"{spelt(count).capitalize()} {suggest} that the true number may be lower."
    if not verdict.examined:
        return "Nothing was examined for warnings, so the true number may be lower."
    if not verdict.plan:
        return "A single attack cannot show what others would break: the true number may be lower."
    return "No warning casts doubt on this number."


def _kind(evaluation: Evaluation) -> str:
    """What a sample is called: an image, where it has the shape and the budget of one."""
    image = len(evaluation.provenance.shape) == 3 and evaluation.norm in ("inf", "2")
    return "image" if image else "sample"


def _change(evaluation: Evaluation, eps: float) -> str:
    """What an attack may do to a sample at that budget."""
    norm, kind = evaluation.norm, _kind(evaluation)
    value = "pixel" if kind == "image" else "value"
    plural = "" if eps == 1 else "s"
    return {
        "inf": f"changes no {value} by more than {size(norm, eps)}",
        "2": f"moves no {kind} by more than {size(norm, eps)} in the Euclidean norm",
        "0": f"changes at most {size(norm, eps)} value{plural} of each",
        "shift": f"moves no spike by more than {size(norm, eps)} time step{plural}",
    }[norm]


def bound_words(share: Share, is_open: bool) -> str:
    """A robust accuracy in words, "at most" where it is only an upper bound."""
    return f"at most {share}" if is_open else str(share)


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """One per budget, from small to large."""
    results, trials = [], []
    decisive = decisive_findings(evaluation)
    for eps in evaluation.budgets:
        against = tuple(one for one in decisive if one.eps in (None, eps))
        trials += [trial.robustness for trial in evaluation.at(eps).values()]
        examined = evaluation.provenance.examined
        outcome, plan = union(trials), evaluation.plan
        results.append(Verdict(eps, evaluation.norm, outcome, against, examined, plan))
    return results


def bound(evaluation: Evaluation, trial: Trial, verdict: Verdict) -> str:
    """The robust accuracy that one trial leaves, in words, with the verdict at the same budget."""
    share = trial.robustness.robust_accuracy
    return bound_words(share, is_bound(evaluation, trial, verdict))


def is_bound(evaluation: Evaluation, trial: Trial, verdict: Verdict) -> bool:
    """Whether what one trial leaves is an upper bound, by the verdict at the same budget.

    It is where the verdict is one, where a finding is about the trial, and where the other trials
    left less of it; 0 never is."""
    findings = (one for one in evaluation.findings if one.about == trial.name)
    about = any(one.eps in (None, trial.eps) for one in findings)
    share = trial.robustness.robust_accuracy
    less = verdict.outcome.robust_accuracy.count < share.count
    return (verdict.open or about or less) and share.count > 0


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
    return f"{short_budget(norm, eps)}{_within(norm)}"


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


def short_budget(norm: str, eps: float) -> str:
    """A budget in words, without the name of its norm."""
    plural = "" if eps == 1 else "s"
    if norm == "0":
        return f"with {eps:g} changed value{plural}"
    if norm == "shift":
        return f"with spikes moved by {eps:g} step{plural}"
    return f"at eps {size(norm, eps)}"


def _within(norm: str) -> str:
    kinds = {"inf": " in the maximum norm", "2": " in the Euclidean norm"}
    return kinds.get(norm, "")
