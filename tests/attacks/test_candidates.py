"""Adversarials that were made elsewhere come before the plan, and count only where they hold."""

import numpy as np
import pytest

from art_snn import STBP
from art_snn.attacks import AutoPGD, Outcome, Plan, SpikingAutoAttack, Stage
from art_snn.attacks.outcome import Candidates
from tests import small

PLAN = Plan("weak", (Stage(AutoPGD, STBP(), {"max_iter": 1}),))


@pytest.fixture(scope="module")
def subject():
    """A classifier, right samples of two classes at least, and of each one of another class."""
    wrapped = small.classifier()
    x = np.random.default_rng(0).random((64, *small.SHAPE))
    y = wrapped.predict(x).argmax(1)
    others = np.array([np.flatnonzero(y != label)[0] for label in y])
    return wrapped, x, y, x[others]


def attacked(subject, candidates, eps=1.0, **changes):
    wrapped, x, y, _ = subject
    attack = SpikingAutoAttack(
        wrapped, eps=eps, plan=PLAN, candidates=candidates, verbose=False, **changes
    )
    attack.generate(x, y)
    return attack.outcome


def test_candidates_come_first_and_leave_the_others_to_the_plan(subject):
    _, x, _, others = subject
    there = np.arange(len(x)) % 2 == 0
    outcome = attacked(subject, [Candidates("Ann", others, there)], eps=1.0)
    assert outcome.stages == ("adversarials Ann", str(PLAN.stages[0]))
    assert (outcome.stage[there] == 0).all()
    assert (outcome.stage[~there] != 0).all()
    np.testing.assert_array_equal(outcome.adversarials[there], others[there])
    # A prediction of the sample and one of the candidate, next to those that look for chance.
    spent = (outcome.forwards - attacked(subject, ()).forwards)[there]
    assert (spent <= 1).all()
    assert not outcome.backwards[there].any()


def test_a_candidate_outside_of_the_ball_or_without_effect_changes_nothing(subject):
    _, x, _, others = subject
    there = np.ones(len(x), dtype=bool)
    alone = attacked(subject, (), eps=0.01)
    for points in (others, x):
        outcome = attacked(subject, [Candidates("Ann", points, there)], eps=0.01)
        np.testing.assert_array_equal(outcome.stage, np.where(alone.stage == 0, 1, alone.stage))


def test_a_sample_that_is_wrong_without_an_attack_is_nobodys(subject):
    wrapped, x, y, others = subject
    there = np.ones(len(x), dtype=bool)
    wrong = (y + 1) % small.CLASSES
    outcome = attacked((wrapped, x, wrong, others), [Candidates("Ann", others, there)])
    assert (outcome.stage == Outcome.WRONG).all()


def test_two_files_are_two_stages_and_the_first_gets_the_sample(subject):
    _, x, _, others = subject
    there = np.arange(len(x)) < 3
    several = [Candidates("Ann", others, there), Candidates("Bob", others, ~there | there)]
    outcome = attacked(subject, several)
    assert outcome.broken_by["adversarials Ann"] == 3
    assert outcome.broken_by["adversarials Bob"] == len(x) - 3


def test_candidates_for_other_samples_are_refused(subject):
    _, x, _, others = subject
    short = Candidates("Ann", others[:5], np.ones(5, dtype=bool))
    with pytest.raises(
        ValueError, match=f"candidates: expected as many points as samples, {len(x)}, got 5"
    ):
        attacked(subject, [short])
    with pytest.raises(ValueError, match="candidates: expected a list of Candidates, got array"):
        attacked(subject, others)
