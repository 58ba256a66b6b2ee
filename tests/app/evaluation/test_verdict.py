"""The verdict in numbers and in plain words, and findings as cards."""

from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.evaluation.verdict import describe_verdicts, format_eps, make_cards, verdicts
from art_snn.certified_regions import EventChanges
from art_snn.findings import Finding, Remedy
from art_snn.metrics import Certificate
from tests.evaluations import EXACT, RISES, VANISHED, evaluation, proven, provenance, small, trial

EPS = 8 / 255
AVERAGE = (Remedy("Average."),)
RANDOM = Finding("random-network", "random network", {"most": 3}, "if draws differ", AVERAGE)
ERROR = replace(VANISHED, severity="error")
WEAK = replace(RISES, about="PGD-7 by stbp")
GAP = (proven(-1, -1, -1, -1),)
SURE, AT_MOST = "25.0 % [4.6, 69.9]", "at most 25.0 % [4.6, 69.9]"
EXACTLY = f"exactly {SURE}"
NONE, ONE = "No warning casts doubt", "A warning suggests"
AGREE = "is exact: certified and attacked agree."


def test_a_budget_is_a_fraction_only_where_it_is_exactly_that():
    words = {("inf", 8 / 255): "8/255", ("inf", 0.0313): "0.0313", ("inf", 0.2): "0.2"}
    words |= {("2", 8 / 255): "0.03137", ("0", 12345.0): "12345"}
    assert {given: format_eps(*given) for given in words} == words


def test_a_summary_has_the_verdict_of_each_budget_in_numbers():
    trials = trial("a", 0.1, (0, -1, -1, -2)), trial("a", 0.2, (-1, 0, -1, -2))
    result = evaluation(*trials, findings=(VANISHED, replace(RISES, eps=0.2)))
    first, second = (verdict.as_dict() for verdict in verdicts(result))
    assert (first["eps"], first["norm"], first["clean"], first["robust"]) == (0.1, "inf", 0.75, 0.5)
    assert (first["upper_bound"], first["findings"]) == (True, [VANISHED.id])
    # The Wilson interval of two in four.
    assert (first["low"], first["high"]) == (pytest.approx(0.15003899), pytest.approx(0.84996101))
    assert (second["robust"], second["findings"]) == (0.25, [VANISHED.id, RISES.id])


START = (
    "Of 4 images, 3 are classified correctly, and 1 still is after an attack that changes "
    "no pixel by more than 8/255. "
)
DOUBTED = [{"findings": (RISES, VANISHED)}, {"provenance": provenance(examined=0)}, {"plan": ""}]


# One of four survives: one was wrong, each of the two attacks broke another one.
@pytest.mark.parametrize(
    ("changes", "share", "words"),
    [
        ({}, SURE, NONE),
        ({"findings": (RISES,)}, AT_MOST, ONE),
        (DOUBTED[0], AT_MOST, "Warnings suggest"),
        (DOUBTED[1], AT_MOST, "Nothing was examined"),
        (DOUBTED[2], AT_MOST, "A single attack cannot show"),
        ({"findings": (RISES, ERROR)}, AT_MOST, "An error must be fixed"),
        # A plan handles random networks, and does not depend on other attacks.
        ({"findings": (RANDOM,)}, SURE, NONE),
        ({"findings": (RANDOM,), "plan": ""}, AT_MOST, ONE),
        ({"findings": (WEAK,)}, SURE, NONE),
        ({"findings": (WEAK,), "plan": ""}, AT_MOST, ONE),
        # What concerns another budget says nothing about this one.
        ({"findings": (replace(RISES, eps=4 / 255),)}, SURE, NONE),
        ({"findings": (replace(RISES, eps=EPS),)}, AT_MOST, ONE),
        # What is certified is all that stands: no better attack can break more of it.
        *(
            ({"bounds": EXACT} | one, EXACTLY, f"The number at eps 8/255 {AGREE}")
            for one in ({}, *DOUBTED)
        ),
        # Whoever feeds the network wrongly certifies wrongly, too.
        ({"bounds": EXACT, "findings": (ERROR,)}, AT_MOST, "An error must be fixed before any"),
        ({"bounds": GAP}, SURE, f"ibp). {NONE}"),
        ({"bounds": GAP, "findings": (RISES,)}, AT_MOST, f"ibp). {ONE}"),
    ],
)
def test_doubt_makes_the_number_an_upper_bound_unless_bounds_meet_it(changes, share, words):
    (verdict,) = verdicts(small(**changes))
    assert verdict.share == share
    text = describe_verdicts([verdict])
    assert text.startswith(START if "bounds" in changes else START + words)
    assert words in text
    content = verdict.as_dict()
    assert (content["clean"], content["robust"], content["eps"]) == (0.75, 0.25, EPS)
    assert content["upper_bound"] == (share == AT_MOST)
    assert content["exact"] == verdict.exact == (AGREE in words)
    certified = 0.25 if changes.get("bounds") is EXACT else 0
    assert content["certified"] == (certified if "bounds" in changes else None)


def test_nothing_is_below_a_robust_accuracy_of_zero():
    result = evaluation(trial("a", 0.3, (0, 0, -2)), findings=(VANISHED,))
    (verdict,) = verdicts(result)
    assert verdict.share.startswith("0.0 %")
    end = "none still are after an attack that changes no pixel by more than 0.3."
    assert describe_verdicts([verdict]).endswith(end)
    assert not verdict.as_dict()["upper_bound"]
    fed_wrongly = replace(result, findings=(ERROR, replace(ERROR, about="network")))
    words = describe_verdicts(verdicts(fed_wrongly))
    assert words.endswith("Errors must be fixed before any number counts.")


def test_between_what_is_certified_and_what_was_attacked_lies_the_robust_accuracy():
    trials = [trial("standard", eps, (-2, 0, -1, -1)) for eps in (0.3, 0.4)]
    # What is certified within the larger budget is so within the smaller one.
    several = proven(-1, -1, -1, -1, eps=0.3), proven(-1, -1, -1, 2, eps=0.4)
    result = evaluation(*trials, plan="standard", bounds=several)
    ends = "between 25.0 % (certified) and 50.0 % (attacked)"
    words = f"Bounds prove that the robust accuracy is {ends} at eps 0.3 and {ends} at eps 0.4. "
    assert describe_verdicts(verdicts(result)).endswith(f"{words}{NONE} on these numbers.")


def test_no_attack_leaves_an_upper_bound_that_leaves_no_more_than_is_certified():
    first = small().trials[0]
    others = {"bounds": (proven(-1, -1, 1, 1),), "findings": (replace(RISES, about="standard"),)}
    result = evaluation(first, trial("weak", EPS, (-2, -1, -1, -1)), plan="standard", **others)
    (verdict,) = verdicts(result)
    assert verdict.exact
    shares = [verdict.describe_trial(one) for one in result.trials]
    assert [share.startswith("at most") for share in shares] == [False, True]
    assert make_cards(result)[0] == []


def test_an_attack_leaves_an_upper_bound_where_others_left_less_or_a_finding_is_about_it():
    (first, _), share = small().trials, "50.0 % [15.0, 85.0]"
    at_most, weak = f"at most {share}", replace(first, name=WEAK.about)
    for result, expected in (
        (small(), [at_most, at_most]),
        (evaluation(first, plan="standard"), [share]),
        (evaluation(first, weak, plan="standard", findings=(WEAK,)), [share, at_most]),
    ):
        (verdict,) = verdicts(result)
        assert [verdict.describe_trial(one) for one in result.trials] == expected


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
    assert f"an attack that {change}." in describe_verdicts(verdicts(result))


@pytest.mark.parametrize(
    ("norm", "eps", "size"),
    [
        ("inf", 0.1, "by more than 0.1 (5 % of the range from 0 to 2)."),
        ("2", 0.5, "by more than 0.5 in the Euclidean norm."),
        ("shift", 2, "by more than 2 time steps (60 ms)."),
    ],
)
def test_budgets_are_shares_of_the_range_and_of_the_time_where_these_are_known(norm, eps, size):
    source = provenance(value_range=(0.0, 2.0), milliseconds=30.0)
    result = evaluation(trial("a", eps, (0, -1)), norm=norm, provenance=source)
    assert size in describe_verdicts(verdicts(result))


def test_a_random_change_is_told_with_the_smallest_budget():
    trials = [trial("standard", eps, (-2, 0, -1, -1)) for eps in (0.3, 0.4)]
    result = evaluation(*trials, plan="standard", noise=(3, 2))
    assert [one.noise.count for one in verdicts(result)] == [3, 2]
    assert "A random change of that size leaves 3. Larger" in describe_verdicts(verdicts(result))
    assert verdicts(evaluation(*trials))[0].noise is None


def test_draws_that_certify_all_that_attacks_leave_say_so():
    certificate = Certificate(
        np.array([2, 2, -1, 3]),
        EventChanges(0.05, np.array([0.9, 0.9, 0.5, 0.99])),
        np.array([False, True, False, True]),
        draws=100,
        alpha=0.001,
    )
    one = trial("standard", 1, (-2, -1, 0, -1), distance=np.array([0, 0, 1.0, 0]))
    result = evaluation(one, plan="standard", norm="0", certificate=certificate)
    assert "robust accuracy is exactly 50.0 % (certified," in describe_verdicts(verdicts(result))


BUDGETS = [level / 255 for level in (1, 2, 4, 8, 16)]


@pytest.mark.parametrize(
    ("lefts", "ends"),
    [
        ((5, 3), ("5 still are after", "Larger changes leave 3 at eps 2/255.")),
        ((5, 3, 0), ("5 still are", "leave 3 at eps 2/255 and none at eps 4/255.")),
        # Of many, the last at which a tenth of the right samples is left.
        ((9, 5, 1, 0, 0), ("9 still are", "leave 1 at eps 4/255 and none at eps 16/255.")),
        ((0, 0, 0, 0, 0), ("none still are after", "leave none at eps 16/255.")),
    ],
)
def test_every_budget_is_told_or_of_many_the_telling_ones(lefts, ends):
    stages = [[0] * (10 - left) + [-1] * left for left in lefts]
    trials = [trial("a", eps, stage) for eps, stage in zip(BUDGETS, stages, strict=False)]
    words = describe_verdicts(verdicts(evaluation(*trials)))
    assert words.startswith("Of 10 images, 10 are classified correctly, and ")
    assert all(end in words for end in ends)


def test_doubt_is_said_of_the_budgets_that_it_concerns():
    trials = [trial("standard", eps, (0, -1, -1)) for eps in BUDGETS[:2]]
    result = evaluation(*trials, plan="standard", findings=(replace(RISES, eps=BUDGETS[1]),))
    words = describe_verdicts(verdicts(result))
    assert words.endswith("A warning suggests that the true number at eps 2/255 may be lower.")


def test_the_headline_counts_what_was_broken_while_findings_were_looked_for():
    made = small(findings=(replace(RISES, broken=(1, 3)),))
    assert [verdict.left for verdict in verdicts(small())] == [1]
    assert [verdict.left for verdict in verdicts(made)] == [0]
    assert "none still are" in describe_verdicts(verdicts(made))
    with pytest.raises(ValueError, match="certified samples that nothing breaks"):
        replace(made, bounds=EXACT)


def test_a_note_is_shown_and_changes_no_verdict():
    made = small(findings=(replace(VANISHED, about="network", severity="note"),))
    assert not any(verdict.open or verdict.findings for verdict in verdicts(made))
    decisive, (card,) = make_cards(made)
    assert (decisive, card["severity"]) == ([], "note")


def test_sentences_that_differ_are_told_by_budget_and_evidence_stands_in_for_none():
    texts = dict(zip((2, 4, 8), ("One.", "Two.", "One."), strict=True))
    findings = tuple(replace(RISES, eps=e / 255, sentence=text) for e, text in texts.items())
    ((card,), _) = make_cards(small(findings=findings))
    assert card["sentences"] == ["At eps 2/255 and 8/255: One.", "At eps 4/255: Two."]
    ((card,), _) = make_cards(small(findings=(VANISHED,)))
    assert card["sentences"] == ["Measured: zero\u00a00.12, not finite\u00a00."]
    assert card["place"] == "stbp gradients, at every budget"
