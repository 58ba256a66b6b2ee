"""The verdict of an evaluation: how robust the network is, and what casts doubt on it."""

from dataclasses import dataclass

from art_snn.app.evaluation.evaluation import Evaluation, Trial
from art_snn.app.evaluation.words import budget_words, capital, size, spelt
from art_snn.findings import Finding
from art_snn.findings.predictions import RANDOM
from art_snn.metrics import Robustness, Share, union

UNION = "union of all"
CERTIFIED = "certified"
EXACT = "exact: certified and attacked agree"


@dataclass(frozen=True)
class Verdict:
    """The result at one budget.

    :param outcome: of all trials together, at this budget or a smaller one.
    :param findings: those that cast doubt on a number at this budget.
    :param examined: samples that were examined for findings; 0 for none.
    :param plan: the plan that decides; "" where only single attacks ran.
    :param certified: the samples that bounds certify at this budget or a larger one; None where
        there are no bounds."""

    eps: float
    norm: str
    outcome: Robustness
    findings: tuple[Finding, ...]
    examined: int
    plan: str
    certified: Share | None = None

    @property
    def robust(self) -> float:
        """The robust accuracy in [0, 1]; an upper bound wherever :attr:`open` says so."""
        return self.outcome.robust_accuracy.value

    @property
    def open(self) -> bool:
        """Whether the number must be reported as an upper bound: 0 and exact ones never are."""
        doubted = bool(self.findings) or not self.examined or not self.plan
        return doubted and self.outcome.robust_accuracy.count > 0 and not self.exact

    @property
    def exact(self) -> bool:
        """Whether bounds certify all that the attacks left, so that no attack can leave less.

        Errors cast doubt on what was certified and attacked, and nothing is exact with them."""
        wrong = any(finding.severity == "error" for finding in self.findings)
        return self.certified == self.outcome.robust_accuracy and not wrong

    @property
    def share(self) -> str:
        """The robust accuracy in words."""
        return bound_words(self.outcome.robust_accuracy, self.open)

    @property
    def doubts(self) -> str:
        """How many findings cast doubt on the number, in the cell of a table."""
        count = len(self.findings)
        return str(count) if count or self.examined else "not examined"

    def __str__(self) -> str:
        share, at_eps = self.outcome.robust_accuracy, budget_words(self.norm, self.eps)
        if self.exact:
            return f"Robust accuracy {share} {at_eps}, {EXACT}"
        if self.certified is not None:
            ends = f"between {self.certified} (certified) and {share} (attacked)"
            return f"Robust accuracy {ends} {at_eps}"
        return f"Robust accuracy{' at most' if self.open else ''} {share} {at_eps}"


def plain_words(evaluation: Evaluation, verdict: Verdict) -> str:
    """The verdict at one budget for people outside of the field, in two sentences or three."""
    clean, robust = verdict.outcome.clean_accuracy, verdict.outcome.robust_accuracy
    kind = _kind(evaluation)
    one, are = (kind, "is") if clean.total == 1 else (f"{kind}s", "are")
    change = _change(evaluation, verdict.eps)
    start = f"Of {clean.total} {one}, {clean.count} {are} classified correctly"
    still = f"{robust.count or 'none'} still {'is' if robust.count == 1 else 'are'}"
    words = f"{start}, and {still} after an attack that {change}."
    return " ".join(filter(None, (words, _proof(verdict), _doubt(verdict))))


def _proof(verdict: Verdict) -> str:
    """What bounds prove, in a sentence; "" without them, and where no sample is left."""
    certified, left = verdict.certified, verdict.outcome.robust_accuracy
    if certified is None or not left.count:
        return ""
    them = "it" if certified.count == 1 else "them"
    if verdict.exact:
        return f"Bounds prove that no such attack breaks {them}, so the number is {EXACT}."
    if not certified.count:
        return "Bounds prove nothing here."
    ends = f"{_percent(certified)} (certified) and {_percent(left)} (attacked)"
    proof = f"Bounds prove for {certified.count} that no such attack breaks {them}"
    return f"{proof}: the robust accuracy is between {ends}."


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"


def _doubt(verdict: Verdict) -> str:
    """What the findings mean for the number, in a sentence."""
    errors = sum(finding.severity == "error" for finding in verdict.findings)
    if errors:
        words = f"{spelt(errors)} error{'' if errors == 1 else 's'}"
        return f"{capital(words)} must be mended before this number means anything."
    if not verdict.outcome.robust_accuracy.count or verdict.exact:
        return ""
    if count := len(verdict.findings):
        suggest = "warning suggests" if count == 1 else "warnings suggest"
        return f"{capital(spelt(count))} {suggest} that the true number may be lower."
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
        outcome, plan, certified = union(trials), evaluation.plan, evaluation.certified(eps)
        share = None if certified is None else Share(int(certified.sum()), len(certified))
        results.append(Verdict(eps, evaluation.norm, outcome, against, examined, plan, share))
    return results


def bound(evaluation: Evaluation, trial: Trial, verdict: Verdict) -> str:
    """The robust accuracy that one trial leaves, in words, with the verdict at the same budget."""
    share = trial.robustness.robust_accuracy
    return bound_words(share, is_bound(evaluation, trial, verdict))


def is_bound(evaluation: Evaluation, trial: Trial, verdict: Verdict) -> bool:
    """Whether what one trial leaves is an upper bound, by the verdict at the same budget.

    It is where the verdict is one, where a finding is about the trial, unless the verdict is exact,
    and where the other trials left less of it; 0 never is."""
    findings = (one for one in evaluation.findings if one.about == trial.name)
    about = any(one.eps in (None, trial.eps) for one in findings) and not verdict.exact
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
    return [finding for finding in findings if finding.id != RANDOM]
