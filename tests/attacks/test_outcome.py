"""What an outcome says, against values computed by hand."""

import numpy as np
import pytest

from art_snn.attacks import Outcome


def outcome(stage=(0, 2, 2, -1, -2, -3), stages=("a", "b", "c"), **options):
    samples = len(stage)
    parts = {
        "skipped": {},
        "draws": 1,
        "adversarials": np.zeros((samples, 2)),
        "forwards": np.arange(samples) + 1,
        "backwards": np.arange(samples) * 10,
        "distance": np.zeros(samples),
        "votes": np.zeros(samples, dtype=int),
    } | options
    return Outcome(stages=stages, stage=np.array(stage, dtype=int), **parts)


def test_shares_are_those_of_samples_that_were_right_and_of_those_that_still_are():
    found = outcome().robustness
    assert found.correct.tolist() == [True] * 4 + [False] * 2
    assert (found.attack_success.count, found.attack_success.total) == (3, 4)
    assert (found.robust_accuracy.count, found.robust_accuracy.total) == (1, 6)
    assert (found.clean_accuracy.count, found.clean_accuracy.total) == (4, 6)


def test_samples_that_were_not_attacked_stand_without_a_query():
    among = outcome(stage=(0, -1), adversarials=np.ones((2, 1)))
    among = among.among(np.array([False, True, False, True]), np.zeros((4, 1)))
    assert among.stage.tolist() == [-1, 0, -1, -1]
    assert among.forwards.tolist() == [0, 1, 0, 2]
    assert among.backwards.tolist() == [0, 0, 0, 10]
    assert among.adversarials.tolist() == [[0], [1], [0], [1]]
    assert among.robustness.robust_accuracy.count == 3


def test_every_stage_is_told_how_many_samples_it_broke():
    assert outcome().broken_by == {"a": 1, "b": 0, "c": 2}


def test_stages_of_the_same_words_count_together_and_are_told_one_by_one():
    found = outcome(stages=("a", "b", "a"))
    assert found.broken_by == {"a": 3, "b": 0}
    assert [line.split()[0] for line in str(found).splitlines()[1:]] == ["1", "0", "2"]


def test_queries_are_passes_per_sample_that_was_right():
    # Forwards of 1 to 4, and backwards of 0 to 30.
    assert outcome().queries == 17.5
    assert outcome(stage=(-2, -3)).queries == 0


def test_it_is_told_in_lines():
    found = outcome(seconds=[0.25, 1.0, 2.06], skipped={"d": "it does not suit"})
    assert str(found).splitlines() == [
        "attack success 75.0 % [30.1, 95.4], robust accuracy 16.7 % [3.0, 56.4], "
        "18 queries per sample",
        "     1 broken in 0.2 s: a",
        "     0 broken in 1.0 s: b",
        "     2 broken in 2.1 s: c",
        "skipped d: it does not suit",
    ]


@pytest.mark.parametrize("stages", [(), ("a", "b")])
def test_of_no_samples_there_is_nothing_to_count(stages):
    found = outcome(stage=(), stages=stages)
    assert found.broken_by == dict.fromkeys(stages, 0)
    assert found.queries == 0
    assert str(found).startswith("attack success none to count, robust accuracy none to count")
    assert [line[-12:] for line in str(found).splitlines()[1:]] == [
        f"in nan s: {stage}".rjust(12) for stage in stages
    ]
