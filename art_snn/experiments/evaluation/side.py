"""Two evaluations side by side, paired by the samples that they share."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from art_snn.experiments.evaluation.evaluation import Evaluation
from art_snn.experiments.evaluation.items import ReportItem
from art_snn.experiments.evaluation.rows import fates
from art_snn.experiments.evaluation.verdict import budget_words, verdicts
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.metrics import Robustness, paired_difference

CLEAN = 0.0


@dataclass(frozen=True)
class Budget:
    """Which of the common samples survive in the one evaluation and not in the other.

    :param counts: samples that survive in both, in the first alone, in the second alone.
    :param p: of the exact McNemar test, two-sided.
    :param differing: row in the first, row in the second, label, and what became of it in each."""

    words: str
    counts: tuple[int, int, int]
    p: float
    differing: Table


@dataclass(frozen=True)
class Pair:
    """Two evaluations, by their numbers from 1, on the samples that they have in common.

    :param budgets: without an attack, and each budget that both have."""

    first: int
    second: int
    common: int
    budgets: tuple[Budget, ...]

    @property
    def words(self) -> str:
        """What was compared, in a sentence."""
        both = f"Results {self.first} and {self.second}"
        if not self.common:
            return f"{both} have no sample in common, so that nothing can be paired."
        count = f"{self.common} sample{'s' * (self.common != 1)}"
        budget = " and no budget" if len(self.budgets) == 1 else ""
        return f"{both} share {count}{budget}."


def pairs(items: Sequence[ReportItem]) -> list[Pair]:
    """All pairs of the evaluations."""
    numbered = enumerate((item.evaluation for item in items), 1)
    return [_pair(*one, *other) for one, other in combinations(numbered, 2)]


def _pair(first: int, one: Evaluation, second: int, other: Evaluation) -> Pair:
    rows = matched(one, other)
    if not rows:
        return Pair(first, second, 0, ())
    titles = [f"sample in {first}", f"in {second}", "label", f"result {first}", f"result {second}"]
    same = one.norm == other.norm
    common = [eps for eps in one.budgets if same and eps in other.budgets]
    budgets = tuple(_compare(eps, one, other, rows, titles) for eps in (CLEAN, *common))
    return Pair(first, second, len(rows), budgets)


def matched(one: Evaluation, other: Evaluation) -> list[tuple[int, int]]:
    """Rows of the same digest and label in both, in the order of the first.

    Of those that occur several times the first goes with the first, the second with the second."""
    samples, others = (list(zip(e.samples, e.labels, strict=True)) for e in (one, other))
    places = defaultdict(list)
    for row, sample in enumerate(others):
        places[sample].append(row)
    seen: Counter[tuple[str, int]] = Counter()
    rows = []
    for row, sample in enumerate(samples):
        if seen[sample] < len(places[sample]):
            rows.append((row, places[sample][seen[sample]]))
        seen[sample] += 1
    return rows


def _compare(
    eps: float, one: Evaluation, other: Evaluation, rows: list[tuple[int, int]], titles: list[str]
) -> Budget:
    mine, yours = (list(column) for column in zip(*rows, strict=True))
    a, b = _surviving(one, eps)[mine], _surviving(other, eps)[yours]
    # The test counts flips: of samples that all begin as right, those that do not survive.
    right = np.ones(len(rows), dtype=bool)
    only_b, only_a, p = paired_difference(Robustness(right, a), Robustness(right, b))
    words, other_words = fates(one, eps), fates(other, eps)
    differing = [
        (str(i), str(j), str(one.labels[i]), words[i], other_words[j])
        for (i, j), differs in zip(rows, a != b, strict=True)
        if differs
    ]
    at = budget_words(one.norm, eps) if eps else "without an attack"
    table = Table(titles, differing, words=len(titles))
    return Budget(at, (int((a & b).sum()), only_a, only_b), p, table)


def _surviving(evaluation: Evaluation, eps: float) -> np.ndarray:
    """Which samples are right after all attacks up to that budget, bool (N,)."""
    outcomes = {verdict.eps: verdict.outcome for verdict in verdicts(evaluation)}
    outcome = outcomes[eps] if eps else next(iter(outcomes.values()))
    surviving: np.ndarray = outcome.correct & outcome.robust if eps else outcome.correct
    return surviving


def side_sections(items: Sequence[ReportItem]) -> list[Part]:
    """The verdicts of several evaluations below one another, and the tests between them."""
    numbered = enumerate(items, 1)
    names = [
        f"Result {n}: {item.evaluation.name}, {item.evaluation.title} ({item.name})"
        for n, item in numbered
    ]
    parts: list[Part] = [f"{len(items)} evaluations side by side", Notes(names)]
    parts.append(verdict_table(items))
    for pair in pairs(items):
        parts += [pair.words, paired_table(pair)] if pair.common else [pair.words]
    return parts


def verdict_table(items: Sequence[ReportItem]) -> Table:
    """A row per evaluation and budget."""
    rows = []
    for number, item in enumerate(items, 1):
        for verdict in verdicts(item.evaluation):
            at = budget_words(verdict.norm, verdict.eps)
            clean = str(verdict.outcome.clean_accuracy)
            against = str(len(verdict.findings)) if verdict.examined else "not looked for"
            rows.append((str(number), at, clean, verdict.share, against))
    titles = ("result", "budget", "clean accuracy", "robust accuracy", "findings")
    return Table(titles, rows, words=2)


def paired_table(pair: Pair) -> Table:
    """A row per budget."""
    one, other = pair.first, pair.second
    titles = ("budget", "right in both", f"in {one} alone", f"in {other} alone", "p")
    rows = [(b.words, *map(str, b.counts), f"{b.p:.2g}") for b in pair.budgets]
    return Table(titles, rows)
