"""Two evaluations side by side, paired by the samples that they share."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.items import ReportItem
from art_snn.app.evaluation.rows import fates
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.evaluation.words import budget_words, count_words, size
from art_snn.app.tables import Notes, Part, Table
from art_snn.metrics import Robustness, p_words, paired_difference

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

    :param names: by which people tell the two apart.
    :param budgets: without an attack, and each budget that both have."""

    first: int
    second: int
    names: tuple[str, str]
    common: int
    budgets: tuple[Budget, ...]

    @property
    def words(self) -> str:
        """What was compared, in a sentence."""
        both = " and ".join(self.names)
        if not self.common:
            return f"{both} have no sample in common, so that nothing can be paired."
        budget = " and no budget" if len(self.budgets) == 1 else ""
        return f"{both} share {count_words(self.common, 'sample')}{budget}."


def pairs(items: Sequence[ReportItem]) -> list[Pair]:
    """All pairs of the evaluations."""
    numbered = enumerate(zip(labels(items), items, strict=True), 1)
    named = [(number, name, item.evaluation) for number, (name, item) in numbered]
    return [_pair(*both) for both in combinations(named, 2)]


def labels(items: Sequence[ReportItem]) -> list[str]:
    """The names of the evaluations, with their numbers where several have the same."""
    names = [item.evaluation.name for item in items]
    numbered = enumerate(names, 1)
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in numbered]


def _pair(first: tuple[int, str, Evaluation], second: tuple[int, str, Evaluation]) -> Pair:
    (number, name, one), (other_number, other_name, other) = first, second
    names, rows = (name, other_name), matched(one, other)
    if not rows:
        return Pair(number, other_number, names, 0, ())
    titles = [f"sample in {name}", f"in {other_name}", "label", *names]
    same = one.norm == other.norm
    common = [eps for eps in one.budgets if same and eps in other.budgets]
    budgets = tuple(_compare(eps, one, other, rows, titles) for eps in (CLEAN, *common))
    return Pair(number, other_number, names, len(rows), budgets)


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
    names = [
        f"{label}: {item.evaluation.title} ({item.name})"
        for label, item in zip(labels(items), items, strict=True)
    ]
    parts: list[Part] = [f"{len(items)} evaluations side by side", Notes(names)]
    parts.append(verdict_table(items))
    for pair in pairs(items):
        parts += [pair.words, paired_table(pair)] if pair.common else [pair.words]
    return parts


def verdict_table(items: Sequence[ReportItem]) -> Table:
    """A row per evaluation and budget."""
    rows: list[Sequence[str]] = []
    alike = len({item.evaluation.norm for item in items}) == 1
    at = size if alike else budget_words
    bounded = any(item.evaluation.bounds for item in items)
    for label, item in zip(labels(items), items, strict=True):
        for verdict in verdicts(item.evaluation):
            clean = str(verdict.outcome.clean_accuracy)
            eps = at(verdict.norm, verdict.eps)
            proven = [str(verdict.certified or "no bounds")] if bounded else []
            rows.append((label, eps, clean, *proven, verdict.share, verdict.doubts))
    titles = ["result", "eps" if alike else "budget", "clean accuracy"]
    titles += ["certified accuracy"] if bounded else []
    titles += ["robust accuracy", "findings"]
    return Table(titles, rows, words=1 if alike else 2)


def paired_table(pair: Pair) -> Table:
    """A row per budget."""
    one, other = pair.names
    titles = ("budget", "right in both", f"in {one} alone", f"in {other} alone", "McNemar's test")
    rows = [(b.words, *map(str, b.counts), p_words(b.p)) for b in pair.budgets]
    return Table(titles, rows)
