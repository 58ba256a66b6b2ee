"""Two evaluations side by side, paired by the samples that they share."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from art_snn.experiments.evaluation.rows import fates
from art_snn.experiments.evaluation.verdict import budget_words, verdicts
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.metrics import Robustness, paired_difference

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.opened import Opened
    from art_snn.experiments.evaluation.result import Evaluation

CLEAN = 0.0


@dataclass(frozen=True)
class Budget:
    """Which of the common samples stand in the one evaluation and not in the other.

    :param words: the budget, or that there was no attack.
    :param counts: samples that stand in both, in the first alone, in the second alone.
    :param p: of the exact McNemar test, two-sided.
    :param differing: row in the first, row in the second, label, and what became of it in each."""

    words: str
    counts: tuple[int, int, int]
    p: float
    differing: Table


@dataclass(frozen=True)
class Pair:
    """Two evaluations on the samples that they share.

    :param first, second: their numbers, from 1.
    :param common: how many samples they share.
    :param budgets: without an attack, and every budget that both have."""

    first: int
    second: int
    common: int
    budgets: tuple[Budget, ...]

    @property
    def told(self) -> str:
        """What was compared, in a sentence."""
        those = f"Results {self.first} and {self.second}"
        if not self.common:
            return f"{those} have no sample in common, so that nothing can be paired."
        count = f"{self.common} sample{'s' * (self.common != 1)}"
        if len(self.budgets) == 1:
            return f"{those} share {count} and no budget."
        return f"{those} share {count}."


def pairs(every: "Sequence[Opened]") -> list[Pair]:
    """Every two of the evaluations."""
    numbered = enumerate((one.evaluation for one in every), 1)
    return [_pair(*one, *other) for one, other in combinations(numbered, 2)]


def matched(one: "Evaluation", other: "Evaluation") -> list[tuple[int, int]]:
    """Rows of the same sample in both, in the order of the first.

    The same sample is one of the same digest and label. Of those that occur several times the
    first goes with the first, the second with the second."""
    places = defaultdict(list)
    for row, sample in enumerate(_named(other)):
        places[sample].append(row)
    seen: Counter[tuple[str, int]] = Counter()
    found = []
    for row, sample in enumerate(_named(one)):
        if seen[sample] < len(places[sample]):
            found.append((row, places[sample][seen[sample]]))
        seen[sample] += 1
    return found


def side_sections(every: "Sequence[Opened]") -> list[Part]:
    """The verdicts of several evaluations below one another, and the tests between them."""
    names = [f"Result {n}: {o.evaluation.title} ({o.name})" for n, o in enumerate(every, 1)]
    found: list[Part] = [f"{len(every)} evaluations side by side", Notes(names)]
    found.append(verdict_table(every))
    for pair in pairs(every):
        found.append(pair.told)
        if pair.common:
            found.append(paired_table(pair))
    return found


def verdict_table(every: "Sequence[Opened]") -> Table:
    """A row per evaluation and budget."""
    rows = []
    for number, one in enumerate(every, 1):
        for verdict in verdicts(one.evaluation):
            at = budget_words(verdict.norm, verdict.eps)
            clean = str(verdict.outcome.clean_accuracy)
            against = str(len(verdict.reservations)) if verdict.examined else "not looked for"
            rows.append((str(number), at, clean, verdict.share, against))
    titles = ("result", "budget", "clean accuracy", "robust accuracy", "findings")
    return Table(titles, rows, words=2)


def paired_table(pair: Pair) -> Table:
    """A row per budget."""
    one, other = pair.first, pair.second
    titles = ("budget", "right in both", f"in {one} alone", f"in {other} alone", "p")
    rows = [(b.words, *map(str, b.counts), f"{b.p:.2g}") for b in pair.budgets]
    return Table(titles, rows)


def _named(evaluation: "Evaluation") -> list[tuple[str, int]]:
    return list(zip(evaluation.samples, evaluation.labels, strict=True))


def _pair(first: int, one: "Evaluation", second: int, other: "Evaluation") -> Pair:
    rows = matched(one, other)
    if not rows:
        return Pair(first, second, 0, ())
    same = one.norm == other.norm
    common = [eps for eps in one.budgets if same and eps in other.budgets]
    found = tuple(_at(eps, (first, one), (second, other), rows) for eps in (CLEAN, *common))
    return Pair(first, second, len(rows), found)


def _at(
    eps: float,
    first: "tuple[int, Evaluation]",
    second: "tuple[int, Evaluation]",
    rows: list[tuple[int, int]],
) -> Budget:
    (number, one), (other_number, other) = first, second
    mine, yours = (list(column) for column in zip(*rows, strict=True))
    a, b = _standing(one, eps)[mine], _standing(other, eps)[yours]
    # The test counts flips: of samples that all begin as right, those that do not stand.
    everyone = np.ones(len(rows), dtype=bool)
    only_b, only_a, p = paired_difference(Robustness(everyone, a), Robustness(everyone, b))
    told, other_told = fates(one, eps), fates(other, eps)
    differing = [
        (str(i), str(j), str(one.labels[i]), told[i], other_told[j])
        for (i, j), differs in zip(rows, a != b, strict=True)
        if differs
    ]
    titles = [f"sample in {number}", f"in {other_number}", "label"]
    titles += [f"result {number}", f"result {other_number}"]
    words = budget_words(one.norm, eps) if eps else "without an attack"
    table = Table(titles, differing, words=len(titles))
    return Budget(words, (int((a & b).sum()), only_a, only_b), p, table)


def _standing(evaluation: "Evaluation", eps: float) -> np.ndarray:
    """Which samples are right after all attacks up to that budget, bool (N,)."""
    found = {verdict.eps: verdict.outcome for verdict in verdicts(evaluation)}
    outcome = found[eps] if eps else next(iter(found.values()))
    standing: np.ndarray = outcome.correct & outcome.robust if eps else outcome.correct
    return standing
