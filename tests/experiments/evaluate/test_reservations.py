"""What the attacks of an evaluation themselves say against its number."""

import numpy as np
import pytest
import torch

from art_snn.attacks import Outcome, planned
from art_snn.experiments.evaluate import Settings
from art_snn.experiments.evaluate.reservations import find_searches, of_trials
from art_snn.experiments.evaluate.subject import Target
from art_snn.experiments.evaluate.units import examinations
from art_snn.gradients import RGA, STBP, Native
from tests import adapted
from tests.attacks.test_suited import around
from tests.evaluations import trial

APGD, SEARCH = "AutoPGD(max_iter=20) by RGA()", "SquareAttack(max_iter=2500)"
LOCAL = "SquareSearch(max_iter=200, share=0.01), warm, within 0.08"
STANDS, UNANSWERED = Outcome.STANDING, Outcome.UNANSWERED


def told(*trials):
    return [(one.about, one.name, one.evidence) for one in of_trials(trials, {SEARCH, LOCAL})]


def found(stage, stages=(APGD, SEARCH), eps=0.1, name="standard"):
    return trial(name, eps, stage, stages)


def test_what_gradients_broke_and_what_stands_speaks_against_nothing():
    assert told(found([0, 0, 1 - 1, STANDS, Outcome.WRONG])) == []


@pytest.mark.parametrize("search", [SEARCH, LOCAL])
def test_a_search_that_broke_what_gradients_left_speaks_against_them(search):
    once = [1] + [0] * 199 + [STANDS] * 200
    evidence = {"samples": 1, "of": 400, "eps": 0.1}
    expected = ("standard", "a search found more than the gradients", evidence)
    assert told(found(once, (APGD, search))) == [expected]
    # At the limit of .002 there is none.
    assert told(found([*once, *[STANDS] * 100], (APGD, search))) == []


def test_a_search_alone_found_no_more_than_anything():
    assert told(found([0, 0, STANDS], (SEARCH,))) == []
    assert told(found([0, 1, STANDS], (LOCAL, SEARCH))) == []


def test_samples_without_an_answer_are_counted_attack_by_attack():
    trials = found([UNANSWERED, 0]), found([STANDS, 0], name="fast")
    evidence = {"samples": 1, "of": 2, "eps": 0.1}
    assert told(*trials) == [("standard", "samples without an answer", evidence)]


def test_stages_that_were_skipped_are_told_once_for_all_budgets():
    known = {"gradients": (APGD, "b", "c"), "skipped": {"b": "no", "c": "no"}}
    trials = [trial("standard", eps, [0, STANDS], (APGD, SEARCH), **known) for eps in (0.1, 0.2)]
    few = {"stages with a gradient": 1, "that were planned": 3}
    assert told(*trials) == [
        ("standard", "few stages with a gradient", few),
        ("standard", "stages skipped", {"stages skipped": 2, "of": 3}),
    ]


def test_a_larger_budget_that_breaks_less_was_attacked_too_weakly():
    small, large = found([0, 0, STANDS], eps=0.1), found([0, STANDS, STANDS], eps=0.2)
    evidence = {"eps": 0.1, "flipped": 2, "larger eps": 0.2, "flipped then": 1}
    expected = [("standard", "a larger budget breaks less", evidence)]
    # In whichever order they were run.
    assert told(small, large) == told(large, small) == expected
    assert told(small, found([STANDS, 0, 0], eps=0.2)) == []
    assert told(small, found([0, STANDS, STANDS], eps=0.2, name="fast")) == []


def test_the_stages_that_search_are_those_whose_attack_asks_for_no_gradient():
    assert find_searches([planned("standard", np.inf)]) >= {SEARCH, LOCAL}
    assert all(words.startswith("Square") for words in find_searches([planned("standard", 2.0)]))


@pytest.mark.parametrize("attack", ["SquareSearch", "SquareAttack"])
def test_no_gradient_is_examined_of_an_attack_that_takes_none(attack):
    classifier = around(adapted.network(), adapted.SHAPE, 3)
    rules = {"stbp": STBP(), "rga": RGA()}
    x = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32)
    subject = Target(Settings(attack=attack, rules=rules), classifier, x, np.zeros(4, int))
    assert [plan.name for _, plan in subject.plans] == [attack]
    assert about(subject) == ["network", attack]


def about(subject):
    return [unit.words.removeprefix("Findings about ") for unit in examinations(subject)]


def test_the_native_gradient_is_examined_where_the_plan_begins_with_it():
    torch.manual_seed(0)
    classifier = around(adapted.network("inline"), adapted.SHAPE, 3)
    x = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32)
    subject = Target(Settings(plan="fast"), classifier, x, np.zeros(4, int)).ruled()
    assert subject.settings.rules == {"native": Native()}
    assert about(subject) == ["network", "gradients by native", "PGD-7 by native"]
