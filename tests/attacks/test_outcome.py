"""The outcome of a plan, by hand, and adversarials from elsewhere, which come before it."""

import numpy as np
import pytest

from art_snn import STBP
from art_snn.attacks import AutoPGD, Outcome, SpikingAutoAttack, StageRecord
from art_snn.attacks.stages import Candidates, Plan, Stage
from tests import classifiers as small
from tests.evaluations import record


def outcome(stage=(0, 2, 2, -1, -2, -3), stages="abc", skipped=(), **options):
    samples = len(stage)
    queries = {"forwards": np.arange(samples) + 1, "backwards": np.arange(samples) * 10}
    found = {"adversarials": np.zeros((samples, 2)), "distance": np.zeros(samples)}
    parts = queries | found | {"draws": 1, "votes": np.zeros(samples, dtype=int)} | options
    records = tuple(one if isinstance(one, StageRecord) else record(one) for one in stages)
    return Outcome(records, tuple(skipped), stage=np.array(stage, dtype=int), **parts)


def test_shares_are_those_of_samples_that_were_right_and_of_those_that_still_are():
    found = outcome().robustness
    assert found.correct.tolist() == [True] * 4 + [False] * 2
    assert (found.attack_success.count, found.attack_success.total) == (3, 4)
    assert (found.robust_accuracy.count, found.robust_accuracy.total) == (1, 6)
    assert (found.clean_accuracy.count, found.clean_accuracy.total) == (4, 6)


def test_samples_that_were_not_attacked_stand_without_a_query():
    part = outcome(stage=(0, -1), adversarials=np.ones((2, 1)))
    whole = part.expand(np.array([False, True, False, True]), np.zeros((4, 1)))
    assert whole.stage.tolist() == [-1, 0, -1, -1]
    assert (whole.forwards.tolist(), whole.backwards.tolist()) == ([0, 1, 0, 2], [0, 0, 0, 10])
    assert whole.adversarials.tolist() == [[0], [1], [0], [1]]
    assert whole.robustness.robust_accuracy.count == 3


NATIVE = record("native-c", "native", instead_of="c", reason="no")
SKIPPED_B = record("b", "skipped")
PARTS = [
    # Stages of both parts, in the order of the first that has each.
    (("ab", (0, 1), ()), ("bc", (0, 1, -1), ()), "abc", (0, 1, 1, 2, -1), ""),
    # Equal stages differ by their seeds.
    (("aa", (0, 1), ()), ("a", (0,), ()), "aa", (0, 1, 0), ""),
    # A stage is skipped where no part ran it, also under the network's own gradient.
    (("a", (0,), [SKIPPED_B]), ("b", (0,), [record("c", "skipped")]), "ab", (0, 1), "c"),
    (("a", (0,), [record("c", "skipped")]), ([NATIVE], (0,), ()), ["a", "native-c"], (0, 1), ""),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "stages", "stage", "skipped"), PARTS)
def test_outcomes_of_parts_are_joined_by_ids_of_stages(first, second, stages, stage, skipped):
    parts = [outcome(stage=place, stages=names, skipped=s) for names, place, s in (first, second)]
    whole = Outcome.concatenate(parts)
    assert [one.id for one in whole.stages] == [*stages]
    assert whole.stage.tolist() == [*stage]
    assert [one.id for one in whole.skipped] == [*skipped]
    assert whole.forwards.tolist() == [*parts[0].forwards, *parts[1].forwards]


def test_every_stage_is_told_how_many_samples_it_broke_equal_ones_together():
    assert outcome().broken_by == {"a": 1, "b": 0, "c": 2}
    found = outcome(stages="aba")
    assert found.broken_by == {"a": 3, "b": 0}
    assert [line.split()[0] for line in str(found).splitlines()[1:]] == ["1", "0", "2"]


def test_queries_are_passes_per_sample_that_was_right():
    # Forwards of 1 to 4, and backwards of 0 to 30.
    assert outcome().queries == 17.5
    assert outcome(stage=(-2, -3)).queries == 0


@pytest.mark.parametrize("stages", ["", "ab"])
def test_of_no_samples_there_is_nothing_to_count(stages):
    found = outcome(stage=(), stages=stages)
    assert (found.broken_by, found.queries) == (dict.fromkeys(stages, 0), 0)
    assert str(found).startswith("attack success none to count, robust accuracy none to count")


PLAN = Plan("weak", (Stage(AutoPGD, STBP(), {"max_iter": 1}),))


@pytest.fixture(scope="module")
def subject():
    """A classifier, right samples of two classes at least, and of each one of another class."""
    wrapped = small.classifier()
    x = np.random.default_rng(0).random((24, *small.SHAPE))
    y = wrapped.predict(x).argmax(1)
    others = np.array([np.flatnonzero(y != label)[0] for label in y])
    return wrapped, x, y, x[others]


def attacked(subject, candidates, eps=1.0):
    wrapped, x, y, _ = subject
    how = {"plan": PLAN, "candidates": candidates, "verbose": False}
    attack = SpikingAutoAttack(wrapped, eps=eps, **how)
    attack.generate(x, y)
    return attack.outcome


def test_candidates_come_first_and_leave_the_others_to_the_plan(subject):
    _, x, _, others = subject
    present = np.arange(len(x)) % 2 == 0
    found = attacked(subject, [Candidates("Ann", others, present)])
    ann = StageRecord("adversarials-ann", *["adversarials Ann"] * 2, status="submitted")
    assert found.stages == (ann, PLAN.stages[0].record())
    np.testing.assert_array_equal(found.stage == 0, present)
    np.testing.assert_array_equal(found.adversarials[present], others[present])
    # A prediction of the sample and one of the candidate, next to those that look for chance.
    assert ((found.forwards - attacked(subject, ()).forwards)[present] <= 1).all()
    assert not found.backwards[present].any()


def test_a_candidate_outside_of_the_ball_or_without_effect_changes_nothing(subject):
    _, x, _, others = subject
    alone = attacked(subject, (), eps=0.01)
    for points in (others, x):
        candidates = [Candidates("Ann", points, np.ones(len(x), dtype=bool))]
        found = attacked(subject, candidates, eps=0.01)
        np.testing.assert_array_equal(found.stage, np.where(alone.stage == 0, 1, alone.stage))


def test_a_sample_that_is_wrong_without_an_attack_is_credited_to_none(subject):
    wrapped, x, y, others = subject
    candidates = [Candidates("Ann", others, np.ones(len(x), dtype=bool))]
    found = attacked((wrapped, x, (y + 1) % small.CLASSES, others), candidates)
    assert (found.stage == Outcome.WRONG).all()


def test_two_files_are_two_stages_and_the_first_gets_the_sample(subject):
    _, x, _, others = subject
    present = np.arange(len(x)) < 3
    both = [Candidates("Ann", others, present), Candidates("Bob", others, present | True)]
    broken = attacked(subject, both).broken_by
    assert (broken["adversarials-ann"], broken["adversarials-bob"]) == (3, len(x) - 3)
