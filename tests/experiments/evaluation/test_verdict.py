"""The verdict in one sentence, and where a number must be told as an upper bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from art_snn.experiments.evaluation import Evaluation, Reservation, verdicts
from art_snn.experiments.evaluation.verdict import bound, join_words, sentence, size, unit
from tests.evaluations import RISES, VANISHED, WEAK, evaluation, provenance, small, trial

EPS = 8 / 255


def said(found: Evaluation) -> str:
    (verdict,) = verdicts(found)
    return str(verdict)


def test_without_findings_the_number_is_the_robust_accuracy():
    # One of four stands: one was wrong, each of the two attacks broke another one.
    expected = "Robust accuracy 25.0 % [4.6, 69.9] at eps 8/255 in the maximum norm"
    assert said(small()) == f"{expected}; no finding speaks against it"


@pytest.mark.parametrize(
    ("findings", "words"),
    [((RISES,), "one finding says that it is"), ((RISES, VANISHED), "two findings say that it is")],
    ids=["one", "two"],
)
def test_with_findings_it_is_an_upper_bound(findings, words):
    found = said(small(reservations=findings))
    assert found.startswith("Robust accuracy at most 25.0 % [4.6, 69.9] at eps 8/255")
    assert found.endswith(f"; {words} lower")


def test_where_nobody_looked_for_findings_it_is_an_upper_bound_too():
    found = said(small(provenance=provenance(examined=0)))
    assert found.startswith("Robust accuracy at most 25.0 %")
    assert found.endswith("; no findings were looked for")


def test_what_attacks_leave_without_a_plan_is_an_upper_bound_too():
    found = said(small(plan=""))
    assert found.startswith("Robust accuracy at most 25.0 %")
    assert found.endswith("; no finding speaks against it, but no plan of attacks was tried")


def test_that_a_network_draws_at_random_is_met_by_a_plan_and_by_no_attack_alone():
    random = Reservation("network", "random network", {"most": 3}, "where draws differ", "EOT.")
    assert said(small(reservations=(random,))).startswith("Robust accuracy 25.0 %")
    assert said(small(reservations=(random,), plan="")).endswith(
        "one finding says that it is lower"
    )


def test_what_breaks_at_a_smaller_budget_is_broken_at_a_larger_one():
    trials = trial("a", 1 / 255, (0, -1, -1, -1)), trial("a", 2 / 255, (-1, 0, -1, -1))
    found = verdicts(evaluation(*trials))
    assert [verdict.outcome.robust_accuracy.count for verdict in found] == [3, 2]
    assert [verdict.robust for verdict in found] == [0.75, 0.5]


def test_several_budgets_are_one_sentence():
    trials = trial("a", 1 / 255, (0, -1, -1, -1)), trial("a", 2 / 255, (-1, 0, -1, -1))
    found = sentence(verdicts(evaluation(*trials, reservations=(VANISHED,))))
    assert found == (
        "Robust accuracy at most 75.0 % [30.1, 95.4] at eps 1/255 and 50.0 % [15.0, 85.0] at eps "
        "2/255 in the maximum norm; one finding says that they are lower"
    )


def test_a_finding_about_an_attack_beside_the_plan_takes_nothing_from_the_verdict():
    assert said(small(plan="standard", reservations=(WEAK,))).startswith("Robust accuracy 25.0 %")
    assert said(small(plan="", reservations=(WEAK,))).startswith("Robust accuracy at most 25.0 %")


def test_an_attack_is_told_as_an_upper_bound_where_others_left_less_or_a_finding_is_about_it():
    found = small()
    (verdict,) = verdicts(found)
    assert bound(found, found.trials[0], verdict) == "at most 50.0 % [15.0, 85.0]"
    alone = evaluation(found.trials[0], plan="standard")
    assert bound(alone, alone.trials[0], verdicts(alone)[0]) == "50.0 % [15.0, 85.0]"
    both = evaluation(found.trials[0], replace(found.trials[0], name=WEAK.about), plan="standard")
    about = replace(both, reservations=(WEAK,))
    told = [bound(about, one, verdicts(about)[0]) for one in about.trials]
    assert told == ["50.0 % [15.0, 85.0]", "at most 50.0 % [15.0, 85.0]"]


@pytest.mark.parametrize(
    ("norm", "eps", "words"),
    [
        ("inf", 0.1, "at eps 0.1 in the maximum norm"),
        ("2", 0.5, "at eps 0.5 in the Euclidean norm"),
        ("0", 1, "with 1 changed value"),
        ("0", 40, "with 40 changed values"),
        ("shift", 2, "with spikes moved by 2 steps"),
    ],
)
def test_budgets_are_told_in_the_words_of_their_norm(norm, eps, words):
    assert f" {words};" in said(evaluation(trial("a", eps, (0, -1)), norm=norm))


@pytest.mark.parametrize(
    ("norm", "eps", "told"),
    [
        ("inf", 8 / 255, "8/255"),
        ("inf", 0.0313, "0.0313"),
        ("inf", 0.2, "0.2"),
        ("2", 8 / 255, "0.03137"),
        ("0", 20.0, "20"),
    ],
)
def test_a_budget_is_a_fraction_only_where_it_is_exactly_that(norm, eps, told):
    assert size(norm, eps) == told


def test_axes_tell_what_budgets_are_counted_in():
    told = [unit(norm) for norm in ("inf", "2", "0", "shift")]
    expected = ["eps in the maximum norm", "eps in the Euclidean norm", "changed values"]
    assert told == [*expected, "spikes moved by steps"]


def test_words_are_listed_with_an_and_before_the_last():
    assert [join_words(words) for words in (["a"], ["a", "b"], list("abc"))] == [
        "a",
        "a and b",
        "a, b and c",
    ]
