"""The verdict of an evaluation in numbers and in words, and the findings that cast doubt on it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from art_snn.app.evaluation.record import NORMS, SIZES, Evaluation, Mask, Trial
from art_snn.attacks import require_measure
from art_snn.findings import Finding
from art_snn.findings.examination import RANDOM
from art_snn.findings.finding import SEVERITIES
from art_snn.metrics import Robustness, Share, union

UNION = "union of all"
CERTIFIED = "certified"
Card = Mapping[str, Any]
"""One finding at all budgets at which it was made: its name and severity; the place, what
it is about and where; sentences that say what it means; remedies; figures, the budgets in
words with what was measured there; and limits, when it counts as a finding."""
_MOST_LEVELS = 32
"""Multiples of 1/255 up to here are budgets of images; 0.2, which is 51/255, is none."""


def format_eps(norm: str, eps: float) -> str:
    """A budget as a number; in the maximum norm as a fraction of 255 where it is exactly one."""
    levels = round(255 * eps)
    if norm == "inf" and 0 < levels <= _MOST_LEVELS and eps == levels / 255:
        return f"{levels}/255"
    return f"{eps:.4g}" if norm in SIZES else f"{eps:g}"


def fill_budgets(form: str, norm: str, *budgets: float, **words: str) -> str:
    """The label, the phrase or the clause of a :class:`~art_snn.attacks.Measure` for budgets."""
    sizes = join_words(format_eps(norm, eps) for eps in budgets)
    plural = "" if budgets == (1,) else "s"
    return form.format(eps=sizes, s=plural, **words)


def describe_budgets(norm: str, *budgets: float) -> str:
    """One or more budgets in words, without the name of their norm."""
    return fill_budgets(require_measure(norm).phrase, norm, *budgets)


def describe_budget(norm: str, eps: float) -> str:
    """A budget in words, with the name of its norm."""
    words = describe_budgets(norm, eps)
    return f"{words} in {NORMS[norm]}" if norm in SIZES else words


def count_words(count: int, noun: str) -> str:
    """A count with what is counted: "1 sample", "2 samples"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def join_words(words: Iterable[str]) -> str:
    """The words with commas between, and an "and" before the last."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def tell_apart(names: Sequence[str], marks: Iterable[object]) -> list[str]:
    """The names, with their marks where several are the same."""
    return [
        name if names.count(name) == 1 else f"{name} ({mark})"
        for name, mark in zip(names, marks, strict=True)
    ]


def describe_bound(share: object, upper: bool) -> str:
    """A share in words, with "at most" where it is an upper bound: the one sign for that."""
    return f"{'at most ' * upper}{share}"


@dataclass(frozen=True)
class Verdict:
    """The result at one budget.

    :param outcome: of all trials at this budget or a smaller one together, and of all
        attacks that looked for findings.
    :param findings: those that cast doubt on a number at this budget.
    :param certified: the samples that bounds certify at this budget or a larger one, or
        draws where no attack broke them, too; None where there are neither."""

    evaluation: Evaluation
    eps: float
    outcome: Robustness
    findings: tuple[Finding, ...]
    certified: Share | None

    @property
    def norm(self) -> str:
        """The norm of the budget."""
        return self.evaluation.norm

    @property
    def budget(self) -> str:
        """The budget in words, without the name of its norm: "at eps 8/255"."""
        return describe_budgets(self.norm, self.eps)

    @property
    def standing(self) -> Mask:
        """Samples that are right before and after all attacks, bool (N,)."""
        return self.outcome.correct & self.outcome.robust  # type: ignore[no-any-return]  # numpy gives Any.

    @property
    def left(self) -> int:
        """How many samples stand."""
        return self.outcome.robust_accuracy.count

    @property
    def robust(self) -> float:
        """The robust accuracy in [0, 1]; an upper bound wherever :attr:`open` says so."""
        return self.outcome.robust_accuracy.value

    @property
    def open(self) -> bool:
        """True if the number must be reported as an upper bound: 0 and exact ones never are."""
        evaluation = self.evaluation
        trusted = evaluation.provenance.examined and evaluation.plan and not self.findings
        return not trusted and self.left > 0 and not self.exact

    @property
    def noise(self) -> Share | None:
        """What a random change of the budget leaves; None where nobody looked."""
        evaluation = self.evaluation
        if not evaluation.noise:
            return None
        place = evaluation.budgets.index(self.eps)
        return Share(evaluation.noise[place], len(evaluation.samples))

    @property
    def errors(self) -> list[Finding]:
        """Findings that cast doubt on what was certified and on what was attacked."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def exact(self) -> bool:
        """True if bounds certify all that the attacks left, so that no attack can leave less.

        Nothing is exact with errors."""
        proven = bool(self.evaluation.bounds) and not self.errors
        return proven and self.certified == self.outcome.robust_accuracy

    @property
    def share(self) -> str:
        """The robust accuracy in words, as :meth:`describe` has it."""
        return self.describe(self.outcome.robust_accuracy)

    def describe(self, share: object) -> str:
        """A share at this budget in words: "at most" if it is an upper bound, "exactly" if
        bounds and attacks agree."""
        return f"exactly {share}" if self.exact else describe_bound(share, self.open)

    @property
    def doubts(self) -> str:
        """How many findings cast doubt on the number, in the cell of a table."""
        count = len(self.findings)
        return (
            str(count) if count or self.evaluation.provenance.examined else "not examined"
        )

    def __str__(self) -> str:
        proof = "" if self.certified is None else f", {self.certified} certified"
        return (
            f"Robust accuracy {self.share} {describe_budget(self.norm, self.eps)}{proof}"
        )

    def describe_trial(self, trial: Trial) -> str:
        """The robust accuracy that one trial at this budget leaves, in words.

        It is an upper bound where the verdict is one, where a finding is about the trial, unless
        the verdict is exact, and where the other trials left less of it; 0 never is."""
        about = any(
            one.about == trial.name and one.eps in (None, trial.eps)
            for one in self.evaluation.findings
        )
        share = trial.robustness.robust_accuracy
        less = self.left < share.count
        doubted = self.open or less or (about and not self.exact)
        return describe_bound(share, doubted and share.count > 0)

    def breaker(self, row: int) -> Trial | None:
        """The trial that broke a sample, from this budget to smaller ones, the plan first."""
        evaluation = self.evaluation
        trials = [
            trial
            for trial in evaluation.trials
            if trial.eps <= self.eps and trial.outcome.stage[row] >= 0
        ]
        return min(
            trials,
            key=lambda trial: (-trial.eps, trial.name != evaluation.plan),
            default=None,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: eps, norm, clean, robust, low, high, upper_bound, certified, exact, findings.

        Shares are numbers in [0, 1], certified is None without bounds, and findings are names."""
        low, high = self.outcome.robust_accuracy.interval
        return {
            "eps": self.eps,
            "norm": self.norm,
            "clean": self.outcome.clean_accuracy.value,
            "robust": self.robust,
            "low": low,
            "high": high,
            "upper_bound": self.open,
            "certified": None if self.certified is None else self.certified.value,
            "exact": self.exact,
            "findings": list(dict.fromkeys(finding.id for finding in self.findings)),
        }


def describe_verdicts(results: Sequence[Verdict]) -> str:
    """The verdicts from the smallest budget on for people outside of the field, in sentences.

    Of more than three they are the first, the last at which a tenth is left, and the last."""
    norm = results[0].norm
    clean = results[0].outcome.clean_accuracy
    if len(results) > 3:
        # Larger budgets leave no more.
        tenth = sum(10 * one.left >= clean.count for one in results)
        shown = {0, max(tenth - 1, 0), len(results) - 1}
        results = [results[place] for place in sorted(shown)]
    first, *larger = results
    image = len(first.evaluation.provenance.shape) == 3 and norm in SIZES
    kind, value = ("image", "pixel") if image else ("sample", "value")
    clause = require_measure(norm).clause
    change = fill_budgets(clause, norm, first.eps, kind=kind, value=value)
    right = f"{clean.count} {'is' if clean.total == 1 else 'are'} classified correctly"
    left = f"{first.left or 'none'} still {'is' if first.left == 1 else 'are'}"
    samples = count_words(clean.total, kind)
    size = _describe_size(first)
    words = f"Of {samples}, {right}, and {left} after an attack that {change}{size}."
    if first.noise is not None:
        words += f" A random change of that size leaves {first.noise.count or 'none'}."
    ends = [f"{one.left or 'none'} {one.budget}" for one in larger]
    words += f" Larger changes leave {join_words(ends)}." if ends else ""
    parts = (words, _describe_proof(results), _describe_doubt(results))
    return " ".join(filter(None, parts))


def _describe_size(verdict: Verdict) -> str:
    """What the budget is of all that may change, or of the time, in words; "" if unknown."""
    source = verdict.evaluation.provenance
    if verdict.norm == "inf" and source.value_range is not None:
        low, high = source.value_range
        return f" ({100 * verdict.eps / (high - low):.2g} % of the range from {low:g} to {high:g})"
    if verdict.norm == "shift" and source.milliseconds is not None:
        return f" ({verdict.eps * source.milliseconds:.2g} ms)"
    return ""


def _describe_proof(results: Sequence[Verdict]) -> str:
    """What bounds or draws prove, in sentences; "" without them, and where no sample is left."""
    evaluation = results[0].evaluation
    proven = [(one, one.certified) for one in results if one.certified and one.left]
    statuses = {
        stage.status
        for one, _ in proven
        for trial in evaluation.at(one.eps).values()
        for stage in trial.outcome.stages
    }
    if "decided" in statuses:  # The exact search took what was left.
        both = join_words(_describe_ends(one, low) for one, low in proven)
        return f"Bounds and a search prove that the robust accuracy is {both}."
    drawn = None if evaluation.bounds else evaluation.certificate
    if proven and not any(low.count for _, low in proven):
        if drawn is not None:
            return "Draws certify nothing here: more of them help (--draws), or more training."
        return "Bounds prove nothing here: training for them helps (art-snn train --defence ibp)."
    how = (
        f"certified, each wrong with probability {drawn.alpha:g}"
        if drawn
        else "certified"
    )
    ends = []
    for one, low in proven:
        high = one.outcome.robust_accuracy
        if low == high and not one.exact:
            ends.append(f"exactly {high.percent} ({how}) {one.budget}")
        elif not one.exact:
            both = f"between {low.percent} ({how}) and {high.percent} (attacked)"
            ends.append(f"{both} {one.budget}")
    subject = "Draws show" if drawn else "Bounds prove"
    words = f"{subject} that the robust accuracy is {join_words(ends)}." if ends else ""
    exact = [one.eps for one, _ in proven if one.exact]
    if exact:
        at = describe_budgets(evaluation.norm, *exact)
        words += f" The number {at} is exact: certified and attacked agree."
    return words.strip()


def _describe_ends(verdict: Verdict, low: Share) -> str:
    """What is proven, at least `low`, at a budget at which the exact search took what was left."""
    end = f"{verdict.outcome.robust_accuracy.percent} {verdict.budget}"
    if verdict.exact:
        return f"exactly {end}"
    return (
        f"between {low.percent.removesuffix(' %')} and {end}, "
        f"with {count_words(verdict.left - low.count, 'sample')} open"
    )


def _describe_doubt(results: Sequence[Verdict]) -> str:
    """What the findings mean for the numbers, in a sentence; "" where all are 0 or exact."""
    counted = [one for one in results if one.left and not one.exact]
    doubted = [one for one in counted if one.open]
    errors = {(error.id, error.about) for verdict in results for error in verdict.errors}
    if errors:
        wrong = "An error" if len(errors) == 1 else "Errors"
        return f"{wrong} must be fixed before any number counts."
    if not doubted:
        number = "this number" if len(results) == 1 else "these numbers"
        return f"No warning casts doubt on {number}." if counted else ""
    source = results[0].evaluation
    warnings = {n.id + n.about for verdict in doubted for n in verdict.findings}
    if warnings:
        suggest = "A warning suggests" if len(warnings) == 1 else "Warnings suggest"
        at = f" {describe_budgets(source.norm, *(one.eps for one in doubted))}"
        where = at if len(doubted) < len(counted) else ""
        return f"{suggest} that the true number{where} may be lower."
    if not source.provenance.examined:
        return "Nothing was examined for warnings, so the true number may be lower."
    return "A single attack cannot show what others would break: it may be lower."


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """One per budget, from small to large.

    Notes cast no doubt. Where a plan decides, nor do findings about other attacks, nor
    randomness: plans handle it with EOT and a majority of fresh predictions."""
    results = []
    trials = [evaluation.examined]
    decisive = tuple(one for one in evaluation.findings if one.severity != "note")
    if evaluation.plan:
        others = {*evaluation.names} - {evaluation.plan}
        decisive = tuple(n for n in decisive if n.about not in others and n.id != RANDOM)
    for eps in evaluation.budgets:
        against = tuple(one for one in decisive if one.eps in (None, eps))
        trials += [trial.robustness for trial in evaluation.at(eps).values()]
        outcome = union(trials)
        # Most of eleven draws may be wrong of what is certified by more of them.
        certified = evaluation.certified(eps) & outcome.correct & outcome.robust
        share = Share.of(certified) if evaluation.certifies else None
        results.append(Verdict(evaluation, eps, outcome, against, share))
    return results


def make_cards(evaluation: Evaluation) -> tuple[list[Card], list[Card]]:
    """Cards of findings that cast doubt on a number, and of the others; errors come first.

    Warnings cast none on 0 nor on exact numbers, errors do."""
    doubts = [
        finding
        for verdict in verdicts(evaluation)
        for finding in verdict.findings
        if verdict.open or finding.severity == "error"
    ]
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in sorted(
        evaluation.findings, key=lambda one: SEVERITIES.index(one.severity)
    ):
        groups[finding.id, finding.about].append(finding)
    decisive = []
    others = []
    for group in groups.values():
        card = _make_card(evaluation.norm, group)
        if any(finding in doubts for finding in group):
            decisive.append(card)
        else:
            others.append(card)
    return decisive, others


def _make_card(norm: str, group: Sequence[Finding]) -> Card:
    """A card of the same finding about the same thing at several budgets, the gravest first."""

    def where(some: Sequence[Finding]) -> str:
        budgets = {one.eps for one in some}
        if None in budgets:
            return "at every budget"
        return describe_budgets(norm, *sorted(filter(None, budgets)))

    def measured(one: Finding) -> str:
        return ", ".join(
            f"{name}\u00a0{value:.4g}" for name, value in one.evidence.items()
        )

    alike: dict[str, list[Finding]] = defaultdict(list)
    for finding in group:
        alike[finding.sentence or f"Measured: {measured(finding)}."].append(finding)
    sentences = list(alike)
    if len(alike) > 1:  # A sentence that does not name its budgets begins with them.
        pairs = [(where(some), text) for text, some in alike.items()]
        sentences = [t if at in t else f"{at.capitalize()}: {t}" for at, t in pairs]
    first = group[0]
    return {
        "name": first.title[:1].upper() + first.title[1:],
        "severity": first.severity,
        "place": f"{first.about}, {where(group)}",
        "sentences": sentences,
        "remedies": list(dict.fromkeys(one.remedy for one in group)),
        "figures": [(where([one]), measured(one)) for one in group],
        "limits": list(dict.fromkeys(one.limit for one in group)),
    }
