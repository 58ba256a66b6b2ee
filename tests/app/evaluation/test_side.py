"""Evaluations side by side: paired by samples, tested, and the samples that differ."""

from typing import Any

import pytest
from art_snn.app.evaluation.side import (
    labels,
    matched,
    paired_table,
    pairs,
    side_sections,
    verdict_table,
)

from art_snn.app.report.evaluation import Evaluation, ReportItem
from art_snn.app.tables import render
from tests.evaluations import VANISHED, evaluation, provenance, small, trial

EPS = 8 / 255


def of(stage: Any, samples: str, labels: Any = None, **changes: Any) -> Evaluation:
    labels = tuple([0] * len(samples) if labels is None else labels)
    changes = {"samples": tuple(samples), "labels": labels} | changes
    return evaluation(trial("a", EPS, stage), **changes)


def items(*evaluations: Evaluation) -> list[ReportItem]:
    return [ReportItem(f"{place}.json", one) for place, one in enumerate(evaluations)]


@pytest.mark.parametrize(
    ("one", "other", "labels", "rows"),
    [
        ("abc", "cxba", None, [(0, 3), (1, 2), (2, 0)]),
        # Those that occur several times are paired one by one.
        ("aaba", "aca", None, [(0, 0), (1, 2)]),
        ("aca", "aaba", None, [(0, 0), (2, 1)]),
        # The same sample with another label is another one.
        ("aa", "aa", ((0, 1), (1, 1)), [(1, 0)]),
    ],
)
def test_samples_are_paired_by_digest_and_label_whatever_their_order(one, other, labels, rows):
    first, second = labels or (None, None)
    pair = of((-1,) * len(one), one, first), of((-1,) * len(other), other, second)
    assert matched(*pair) == rows


def test_what_differs_is_counted_tested_and_listed():
    # Of six common samples one is wrong at first in the second; the first breaks a, the second
    # c to f, of which none stands in the first alone but these.
    one = of((0, -1, -1, -1, -1, -1), "abcdef")
    other = of((-1, -2, 0, 0, 0, 0, -1), "abcdefg")
    (pair,) = pairs(items(one, other))
    assert (pair.first, pair.second, pair.common) == (1, 2, 6)
    clean, attacked = pair.budgets
    assert clean.words == "without an attack"
    assert clean.counts == (5, 1, 0)
    assert [row[0] for row in clean.differing.rows] == ["1"]
    assert attacked.words == "at eps 8/255 in the maximum norm"
    # In both survives none, in the first alone b to f, in the second alone a: 5 against 1.
    assert attacked.counts == (0, 5, 1)
    assert attacked.p == pytest.approx(14 / 64)
    assert attacked.differing.rows[0] == ("0", "0", "0", "broken by a", "survives")
    assert attacked.differing.rows[1] == ("1", "1", "0", "survives", "misclassified as 2")


def test_results_without_a_common_sample_say_so():
    both = items(of((-1,), "a"), of((-1,), "b"))
    (pair,) = pairs(both)
    assert "no sample in common" in pair.words
    assert pair.words in side_sections(both)


@pytest.mark.parametrize("changes", [{"norm": "2"}, {"trials": (trial("a", 0.5, (-1,)),)}])
def test_results_without_a_common_budget_are_compared_without_an_attack(changes):
    (pair,) = pairs(items(of((-1,), "a"), of((-1,), "a", **changes)))
    assert [budget.words for budget in pair.budgets] == ["without an attack"]
    assert pair.words == "plain (1) and plain (2) share 1 sample and no budget."


def test_all_pairs_of_three_are_compared():
    result = pairs(items(*[of((-1,), "a")] * 3))
    assert [(pair.first, pair.second) for pair in result] == [(1, 2), (1, 3), (2, 3)]
    assert all(budget.p == 1 for pair in result for budget in pair.budgets)


def test_results_go_by_their_names_and_by_numbers_where_these_are_the_same():
    names = [of((-1,), "a", name=name) for name in ("plain", "hardened", "plain")]
    assert labels(items(*names)) == ["plain (1)", "hardened", "plain (3)"]
    (pair,) = pairs(items(*names[:2]))
    assert pair.words == "plain and hardened share 1 sample."
    assert paired_table(pair).titles[2:4] == ("in plain alone", "in hardened alone")
    assert paired_table(pair).rows[0][-1] == "p = 1"
    titles = ["sample in plain", "in hardened", "label", "plain", "hardened"]
    assert pair.budgets[0].differing.titles == titles


def test_verdicts_are_listed_with_their_findings():
    unexamined = small(provenance=provenance(examined=0))
    three = items(small(), small(findings=(VANISHED,)), unexamined)
    share = "25.0 % [4.6, 69.9]"
    assert [row[-2:] for row in verdict_table(three).rows] == [
        (share, "0"),
        (f"at most {share}", "1"),
        (f"at most {share}", "not examined"),
    ]
    text = render(side_sections(three), "markdown")
    assert "3 evaluations side by side" in text
    assert "- plain (2): vgg5 on digits (1.json)" in text
