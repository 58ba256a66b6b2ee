"""Evaluations side by side: paired by samples, tested, and the samples that differ."""

from __future__ import annotations

from typing import Any

import pytest

from art_snn.experiments.evaluation import Evaluation, Opened
from art_snn.experiments.evaluation.side import matched, pairs, side_sections, verdict_table
from art_snn.experiments.tables import render
from tests.evaluations import VANISHED, evaluation, provenance, small, trial

EPS = 8 / 255


def of(stage: Any, samples: str, labels: Any = None, **changes: Any) -> Evaluation:
    labels = tuple([0] * len(samples) if labels is None else labels)
    known = {"samples": tuple(samples), "labels": labels} | changes
    return evaluation(trial("a", EPS, stage), **known)


def opened(*every: Evaluation) -> list[Opened]:
    return [Opened(f"{place}.json", one) for place, one in enumerate(every)]


def test_samples_are_paired_by_their_digests_whatever_their_order():
    one, other = of((-1,) * 3, "abc"), of((-1,) * 4, "cxba")
    assert matched(one, other) == [(0, 3), (1, 2), (2, 0)]


def test_samples_that_occur_several_times_are_paired_one_by_one():
    one, other = of((-1,) * 4, "aaba"), of((-1,) * 3, "aca")
    assert matched(one, other) == [(0, 0), (1, 2)]
    assert matched(other, one) == [(0, 0), (2, 1)]


def test_the_same_sample_with_another_label_is_another_one():
    one, other = of((-1,) * 2, "aa", (0, 1)), of((-1,) * 2, "aa", (1, 1))
    assert matched(one, other) == [(1, 0)]


def test_what_differs_is_counted_tested_and_listed():
    # Of six common samples one is wrong at first in the second; the first breaks a, the second
    # c to f, of which none stands in the first alone but these.
    one = of((0, -1, -1, -1, -1, -1), "abcdef")
    other = of((-1, -2, 0, 0, 0, 0, -1), "abcdefg")
    (pair,) = pairs(opened(one, other))
    assert (pair.first, pair.second, pair.common) == (1, 2, 6)
    clean, attacked = pair.budgets
    assert clean.words == "without an attack"
    assert clean.counts == (5, 1, 0)
    assert [row[0] for row in clean.differing.rows] == ["1"]
    assert attacked.words == "at eps 8/255 in the maximum norm"
    # In both stands none, in the first alone b to f, in the second alone a: 5 against 1.
    assert attacked.counts == (0, 5, 1)
    assert attacked.p == pytest.approx(14 / 64)
    assert attacked.differing.rows[0] == ("0", "0", "0", "broken by a", "stands")
    assert attacked.differing.rows[1] == ("1", "1", "0", "stands", "misclassified as 2")


def test_results_without_a_common_sample_are_said_to_be_so():
    every = opened(of((-1,), "a"), of((-1,), "b"))
    (pair,) = pairs(every)
    assert pair.told == ("Results 1 and 2 have no sample in common, so that nothing can be paired.")
    assert pair.told in render(side_sections(every))


@pytest.mark.parametrize("changes", [{"norm": "2"}, {"trials": (trial("a", 0.5, (-1,)),)}])
def test_results_without_a_common_budget_are_compared_without_an_attack(changes):
    (pair,) = pairs(opened(of((-1,), "a"), of((-1,), "a", **changes)))
    assert [budget.words for budget in pair.budgets] == ["without an attack"]
    assert pair.told == "Results 1 and 2 share 1 sample and no budget."


def test_every_two_of_three_are_paired():
    found = pairs(opened(*[of((-1,), "a")] * 3))
    assert [(pair.first, pair.second) for pair in found] == [(1, 2), (1, 3), (2, 3)]
    assert all(budget.p == 1 for pair in found for budget in pair.budgets)


def test_verdicts_stand_below_one_another_with_their_findings():
    every = opened(
        small(), small(reservations=(VANISHED,)), small(provenance=provenance(examined=0))
    )
    table = verdict_table(every)
    assert [row[-2:] for row in table.rows] == [
        ("25.0 % [4.6, 69.9]", "0"),
        ("at most 25.0 % [4.6, 69.9]", "1"),
        ("at most 25.0 % [4.6, 69.9]", "not looked for"),
    ]
    text = render(side_sections(every), "markdown")
    assert "3 evaluations side by side" in text
    assert "- Result 2: vgg5 on digits (1.json)" in text
