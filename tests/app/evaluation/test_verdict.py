"""The verdict in plain words, and where a number must be told as an upper bound."""

from dataclasses import replace

import pytest
from art_snn.app.evaluation.cards import doubt_words, make_cards
from art_snn.app.evaluation.verdict import bound, plain_words

from art_snn.app.report.evaluation import summary, verdicts
from art_snn.findings import Finding
from tests.evaluations import (
    EXACT,
    GAP,
    RISES,
    VANISHED,
    WEAK,
    evaluation,
    proven,
    provenance,
    small,
    trial,
)

EPS = 8 / 255
RANDOM = Finding("random network", {"most": 3}, "if draws differ", "EOT.")
ERROR = replace(VANISHED, severity="error")
SURE, AT_MOST = "25.0 % [4.6, 69.9]", "at most 25.0 % [4.6, 69.9]"
NONE, ONE = "No warning casts doubt", "One warning suggests"


# One of four survives: one was wrong, each of the two attacks broke another one.
@pytest.mark.parametrize(
    ("changes", "share", "doubt"),
    [
        ({}, SURE, NONE),
        ({"findings": (RISES,)}, AT_MOST, ONE),
        ({"findings": (RISES, VANISHED)}, AT_MOST, "Two warnings suggest"),
        ({"provenance": provenance(examined=0)}, AT_MOST, "Nothing was examined"),
        ({"plan": ""}, AT_MOST, "A single attack cannot show"),
        ({"findings": (RISES, ERROR)}, AT_MOST, "One error must be mended"),
        # A plan handles random networks, and does not depend on other attacks.
        ({"findings": (RANDOM,)}, SURE, NONE),
        ({"findings": (RANDOM,), "plan": ""}, AT_MOST, ONE),
        ({"findings": (WEAK,)}, SURE, NONE),
        ({"findings": (WEAK,), "plan": ""}, AT_MOST, ONE),
        # What concerns another budget says nothing about this one.
        ({"findings": (replace(RISES, eps=4 / 255),)}, SURE, NONE),
        ({"findings": (replace(RISES, eps=EPS),)}, AT_MOST, ONE),
    ],
)
def test_findings_and_what_was_not_done_make_the_number_an_upper_bound(changes, share, doubt):
    result = small(**changes)
    (verdict,) = verdicts(result)
    assert verdict.share == share
    start = "Of 4 images, 3 are classified correctly, and 1 still is after an attack that changes"
    words = plain_words(result, verdict)
    assert words.startswith(f"{start} no pixel by more than 8/255. {doubt}")
    (content,) = summary(result)
    assert content["upper_bound"] == (share == AT_MOST)
    assert (content["clean"], content["robust"], content["eps"]) == (0.75, 0.25, EPS)


def test_nothing_is_below_a_robust_accuracy_of_zero():
    result = evaluation(trial("a", 0.1, (0, 0, -2)), findings=(VANISHED,))
    (verdict,) = verdicts(result)
    assert verdict.share.startswith("0.0 %")
    end = "none still are after an attack that changes no pixel by more than 0.1."
    assert plain_words(result, verdict).endswith(end)
    assert not summary(result)[0]["upper_bound"]
    fed_wrongly = replace(result, findings=(ERROR, replace(ERROR, about="network")))
    words = plain_words(fed_wrongly, verdicts(fed_wrongly)[0])
    assert words.endswith("Two errors must be mended before this number means anything.")


def test_findings_are_counted_also_where_no_sample_was_examined():
    blind = provenance(examined=0)
    results = small(), small(provenance=blind), small(provenance=blind, findings=(RISES, WEAK))
    assert [verdicts(one)[0].doubts for one in results] == ["0", "not examined", "1"]


@pytest.mark.parametrize(
    ("changes", "share", "proof"),
    [
        # What is certified is all that stands: no better attack can break more of it.
        (
            {},
            SURE,
            "no such attack breaks it, so the number is exact: certified and attacked agree.",
        ),
        ({"findings": (RISES, VANISHED)}, SURE, "certified and attacked agree."),
        ({"provenance": provenance(examined=0)}, SURE, "certified and attacked agree."),
        ({"plan": ""}, SURE, "certified and attacked agree."),
        # Whoever feeds the network wrongly certifies wrongly, too.
        ({"findings": (ERROR,)}, AT_MOST, "One error must be mended before this number means"),
        ({"bounds": GAP}, SURE, f"Bounds prove nothing here. {NONE}"),
        ({"bounds": GAP, "findings": (RISES,)}, AT_MOST, f"Bounds prove nothing here. {ONE}"),
    ],
)
def test_a_number_that_bounds_meet_is_exact_whatever_was_found(changes, share, proof):
    result = small(**({"bounds": EXACT} | changes))
    (verdict,) = verdicts(result)
    assert verdict.share == share
    assert proof in plain_words(result, verdict)
    (content,) = summary(result)
    assert content["exact"] == verdict.exact == ("agree" in proof)
    assert content["certified"] == (0 if "bounds" in changes else 0.25)
    assert content["upper_bound"] == (share == AT_MOST)


def test_between_what_is_certified_and_what_was_attacked_lies_the_robust_accuracy():
    trials = [trial("standard", eps, (-2, 0, -1, -1)) for eps in (0.1, 0.2)]
    # What is certified within the larger budget is so within the smaller one.
    several = proven(-1, -1, -1, -1, eps=0.1), proven(-1, -1, -1, 2, eps=0.2)
    result = evaluation(*trials, plan="standard", bounds=several)
    words = "Bounds prove for 1 that no such attack breaks it: the robust accuracy is between "
    words += f"25.0 % (certified) and 50.0 % (attacked). {NONE} on this number."
    for verdict in verdicts(result):
        assert words in plain_words(result, verdict)
        assert f"between {SURE} (certified) and 50.0 % [15.0, 85.0] (attacked)" in str(verdict)
    assert str(verdicts(small(bounds=EXACT))[0]).endswith("exact: certified and attacked agree")


def test_no_attack_leaves_an_upper_bound_that_leaves_no_more_than_is_certified():
    first = small().trials[0]
    others = {"bounds": (proven(-1, -1, 1, 1),), "findings": (replace(RISES, about="standard"),)}
    result = evaluation(first, trial("weak", EPS, (-2, -1, -1, -1)), plan="standard", **others)
    (verdict,) = verdicts(result)
    assert verdict.exact
    shares = [bound(result, one, verdict) for one in result.trials]
    assert [share.startswith("at most") for share in shares] == [False, True]
    assert doubt_words(result, make_cards(result)[0]).startswith("No finding on 100 examined")


def test_what_breaks_at_a_smaller_budget_is_broken_at_a_larger_one():
    trials = trial("a", 1 / 255, (0, -1, -1, -1)), trial("a", 2 / 255, (-1, 0, -1, -1))
    results = verdicts(evaluation(*trials, findings=(VANISHED,)))
    assert [verdict.outcome.robust_accuracy.count for verdict in results] == [3, 2]
    assert [verdict.robust for verdict in results] == [0.75, 0.5]


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
    ("norm", "eps", "change"),
    [
        ("inf", 0.1, "changes no pixel by more than 0.1"),
        ("2", 0.5, "moves no image by more than 0.5 in the Euclidean norm"),
        ("0", 1, "changes at most 1 value of each"),
        ("0", 40, "changes at most 40 values of each"),
        ("shift", 2, "moves no spike by more than 2 time steps"),
    ],
)
def test_budgets_have_the_words_of_their_norm(norm, eps, change):
    result = evaluation(trial("a", eps, (0, -1)), norm=norm)
    assert f"an attack that {change}." in plain_words(result, verdicts(result)[0])
