"""The verdict in one sentence, and where a number must be told as an upper bound."""

from dataclasses import replace

import pytest

from art_snn.experiments.evaluation import Evaluation, verdicts
from art_snn.experiments.evaluation.verdict import bound, join_words, sentence, size, unit
from art_snn.findings import Finding
from tests.evaluations import RISES, VANISHED, WEAK, evaluation, provenance, small, trial

EPS = 8 / 255
RANDOM = Finding("random network", {"most": 3}, "if draws differ", "EOT.")
SURE = "Robust accuracy 25.0 % [4.6, 69.9] at eps 8/255 in the maximum norm"
AT_MOST = SURE.replace("accuracy", "accuracy at most")
NONE, ONE = "no finding casts doubt on it", "one finding suggests that it may be lower"


def words(evaluation: Evaluation) -> str:
    (verdict,) = verdicts(evaluation)
    return str(verdict)


# One of four survives: one was wrong, each of the two attacks broke another one.
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, f"{SURE}; {NONE}"),
        ({"findings": (RISES,)}, f"{AT_MOST}; {ONE}"),
        ({"findings": (RISES, VANISHED)}, f"{AT_MOST}; two findings suggest that it may be lower"),
        ({"provenance": provenance(examined=0)}, f"{AT_MOST}; no findings were looked for"),
        ({"plan": ""}, f"{AT_MOST}; {NONE}, but no plan of attacks was run"),
        # A plan handles random networks, and does not depend on other attacks.
        ({"findings": (RANDOM,)}, f"{SURE}; {NONE}"),
        ({"findings": (RANDOM,), "plan": ""}, f"{AT_MOST}; {ONE}"),
        ({"findings": (WEAK,)}, f"{SURE}; {NONE}"),
        ({"findings": (WEAK,), "plan": ""}, f"{AT_MOST}; {ONE}"),
    ],
)
def test_findings_and_what_was_not_done_make_the_number_an_upper_bound(changes, expected):
    assert words(small(**changes)) == expected


def test_what_breaks_at_a_smaller_budget_is_broken_at_a_larger_one_and_both_are_one_sentence():
    trials = trial("a", 1 / 255, (0, -1, -1, -1)), trial("a", 2 / 255, (-1, 0, -1, -1))
    results = verdicts(evaluation(*trials, findings=(VANISHED,)))
    assert [verdict.outcome.robust_accuracy.count for verdict in results] == [3, 2]
    assert [verdict.robust for verdict in results] == [0.75, 0.5]
    assert sentence(results) == (
        "Robust accuracy at most 75.0 % [30.1, 95.4] at eps 1/255 and 50.0 % [15.0, 85.0] at eps "
        "2/255 in the maximum norm; one finding suggests that they may be lower"
    )
    assert words(evaluation(trial("a", 1, (0,)), findings=(VANISHED,))).endswith("sample survives")


def test_an_attack_leaves_an_upper_bound_where_others_left_less_or_a_finding_is_about_it():
    (first, _), share = small().trials, "50.0 % [15.0, 85.0]"
    weak = replace(first, name=WEAK.about)
    for result, expected in (
        (small(), [f"at most {share}", f"at most {share}"]),
        (evaluation(first, plan="standard"), [share]),
        (evaluation(first, weak, plan="standard", findings=(WEAK,)), [share, f"at most {share}"]),
    ):
        (verdict,) = verdicts(result)
        assert [bound(result, one, verdict) for one in result.trials] == expected


@pytest.mark.parametrize(
    ("norm", "eps", "budget"),
    [
        ("inf", 0.1, "at eps 0.1 in the maximum norm"),
        ("2", 0.5, "at eps 0.5 in the Euclidean norm"),
        ("0", 1, "with 1 changed value"),
        ("0", 40, "with 40 changed values"),
        ("shift", 2, "with spikes moved by 2 steps"),
    ],
)
def test_budgets_have_the_words_of_their_norm(norm, eps, budget):
    assert f" {budget};" in words(evaluation(trial("a", eps, (0, -1)), norm=norm))


@pytest.mark.parametrize(
    ("norm", "eps", "number"),
    [
        ("inf", 8 / 255, "8/255"),
        ("inf", 0.0313, "0.0313"),
        ("inf", 0.2, "0.2"),
        ("2", 8 / 255, "0.03137"),
        ("0", 12345.0, "12345"),
    ],
)
def test_a_budget_is_a_fraction_only_where_it_is_exactly_that(norm, eps, number):
    assert size(norm, eps) == number


def test_axes_say_what_budgets_are_counted_in():
    expected = ["eps in the maximum norm", "eps in the Euclidean norm", "changed values"]
    expected.append("spikes moved by steps")
    assert [unit(norm) for norm in ("inf", "2", "0", "shift")] == expected


def test_words_are_listed_with_an_and_before_the_last():
    assert list(map(join_words, (["a"], ["a", "b"], [*"abc"]))) == ["a", "a and b", "a, b and c"]
