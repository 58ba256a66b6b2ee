"""Findings about an evaluation: what is examined, and what the attacks' own results say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from art_snn.app.evaluate.findings import judge_target, judge_trials, list_examinations
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.target import Target
from art_snn.attacks import Outcome, StageRecord
from art_snn.attacks.stages import WIDE
from art_snn.gradients import STBP, Native, short_name
from art_snn.gradients.names import ORDER
from tests.attacks.classifiers import around
from tests.evaluations import record, trial
from tests.findings.conftest import require_plain
from tests.interop import adapted

APGD = StageRecord("auto-pgd", "AutoPGD", "AutoPGD()")
SEARCH, LOCAL = (StageRecord(name, name, name) for name in ("square-search", "local"))
STANDS, WRONG, UNANSWERED = Outcome.STANDING, Outcome.WRONG, Outcome.UNANSWERED
SEARCHED, FALLING = "search-found-more", "larger-budget-breaks-less"


def standard(stage, stages=(APGD, SEARCH), eps=0.1, name="standard", **changes):
    return trial(name, eps, stage, stages, **changes)


THRICE = [0, 1, 1, 1] + [0] * 96 + [STANDS] * 100
MISSING = {
    "stages": (record("auto-pgd"), SEARCH),
    "skipped": tuple(record(name, "skipped", "no") for name in "bc"),
}
SMALL, LARGE = standard([0, 0, STANDS]), standard([0, STANDS, STANDS], eps=0.2)
FEWER = (FALLING, (0.1, 2, 0.2, 1), 0.2)
SILENT = ("unanswered", (1, 2), 0.1)
NOT_RUN = [("few-gradients", (1, 3), None)]
WORDS = {
    SEARCHED: "broke 3 of 200 samples at eps 0.1 that the gradient attacks before it, from AutoPGD "
    "on, had missed. Sample numbers: 1, 2, 3.",
    FALLING: "broke 1 at eps 0.2, but 2 at eps 0.1, which allows",
    SILENT[0]: "The outputs for 1 of 2 samples",
}


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([standard([0, 0, 0, STANDS, WRONG])], []),
        ([standard(THRICE)], [(SEARCHED, (3, 200), 0.1)]),
        ([standard(THRICE, (APGD, LOCAL))], [(SEARCHED, (3, 200), 0.1)]),
        # Two of two hundred, and three of five hundred, may be chance.
        ([standard([0, *THRICE[2:], STANDS])], []),
        ([standard([*THRICE, *[STANDS] * 300])], []),
        # A search alone found no more than anything.
        ([standard([0, 0, STANDS], (SEARCH,))], []),
        ([standard([0, 1, STANDS], (LOCAL, SEARCH))], []),
        ([standard([UNANSWERED, 0]), standard([STANDS, 0], name="fast")], [SILENT]),
        # Once for all budgets.
        ([standard([0, STANDS], eps=eps, **MISSING) for eps in (0.1, 0.2)], NOT_RUN),
        # In whichever order they were run.
        *(([SMALL, LARGE], [FEWER]), ([LARGE, SMALL], [FEWER])),
        ([SMALL, standard([STANDS, 0, 0], eps=0.2)], []),
        ([SMALL, standard([0, STANDS, STANDS], eps=0.2, name="fast")], []),
    ],
)
def test_the_results_of_attacks_are_themselves_reasons_for_doubt(trials, expected):
    found = list(judge_trials(trials, {SEARCH.id, LOCAL.id}))
    assert [(one.id, tuple(one.evidence.values()), one.eps) for one in found] == expected
    for one in found:
        require_plain(one)
        assert WORDS.get(one.id, "") in one.sentence
    assert {one.about for one in found} <= {"standard"}


def target(kind="steps", **settings):
    torch.manual_seed(0)
    classifier = around(adapted.network(kind), adapted.SHAPE, 3)
    x = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32)
    data = SimpleNamespace(name="drawn", x_test=x, y_test=np.zeros(4, int))
    vars(data).update(value_range=(0.0, 1.0), milliseconds=None)
    settings = Evaluate(**{"norm": "inf", "eps": (8 / 255,)} | settings)
    return Target(settings, None, data, classifier)


@pytest.mark.parametrize("attack", ["SquareSearch", "SquareAttack"])
def test_no_gradient_is_examined_of_an_attack_that_takes_none(attack):
    subject = target("steps", rules="stbp,rga", attack=attack)
    assert [plan.name for _, plan in subject.plans] == [attack]
    assert list(list_examinations(subject)) == ["network", attack]


def test_rules_have_the_names_by_which_inspect_and_compare_take_them():
    names = list(list_examinations(target("steps", plan="standard")))
    assert names[:2] == ["network", "hart(surrogate.width=0.5) gradients"]
    assert "hart(surrogate.width=0.5)" in ORDER


def test_the_native_gradient_is_examined_where_the_plan_begins_with_it():
    subject = target("compiled", plan="fast")
    assert subject.rules == {"native": Native()}
    assert list(list_examinations(subject)) == ["network", "native gradients"]


@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_where_slopes_are_exchanged_the_single_attack_runs_by_stbp():
    subject = target("inline", plan="fast")
    assert subject.rules == {"stbp": STBP()}
    # The plan begins with HART, which needs equations.
    first = f"{short_name(WIDE)} gradients"
    assert list(list_examinations(subject)) == ["network", first]


def test_what_is_not_examined_is_a_finding():
    unexamined = target("steps", examined=0)
    assert list_examinations(unexamined) == {}
    (finding,) = judge_target(unexamined, [])
    assert (finding.id, finding.about) == ("not-examined", "gradients")
    require_plain(finding)
    # Values between the two of a bit suit no attack that flips bits.
    parts = list_examinations(target("steps", rules="stbp", norm="0", eps=(3,), plan="fast"))
    (about,) = [about for about in parts if about.endswith("gradients")]
    (finding,) = parts[about]()
    assert finding.id == "not-examined"
    words = "4 samples were examined for gradients that are too weak: expected binary"
    assert words in finding.sentence


def test_every_budget_must_fit_the_range_and_the_finding_names_it():
    subject = target("steps", plan="fast", eps=(0.1, 8, 1e-4), examined=2)
    examine = list_examinations(subject)["network"]
    findings = [one for one in examine() if one.id == "odd-budget"]
    assert [one.eps for one in findings] == [1e-4, 8]
    assert [one.severity for one in findings] == ["error", "error"]
    assert findings[1].sentence.startswith("eps 8 is 8 times the range's width")
    examine = list_examinations(target("steps", eps=(8,), examined=2))["network"]
    (alone,) = examine()[:1]
    assert alone.eps == 8
