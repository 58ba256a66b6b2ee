"""An evaluation says how long it takes, where it is, and what each stage did."""

import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
from art.attacks.evasion import SquareAttack

from art_snn.app.evaluate import Settings
from art_snn.app.evaluate.estimate import Pace, Speed, announce, rough
from art_snn.app.evaluate.progress import Course, stage_line, step_words
from art_snn.app.evaluate.run import compute
from art_snn.app.evaluate.store import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import Unit, attack_units, bounds_units, stage_works
from art_snn.attacks import AutoPGD, Outcome, Stage, planned
from art_snn.attacks.work import Work, work_of
from art_snn.gradients import EOT, RGA
from art_snn.team import Team
from tests import small
from tests.evaluations import STAGES, trial
from tests.terminal import Terminal

LEFT, WRONG, UNASKED = Outcome.STANDING, Outcome.WRONG, Outcome.UNANSWERED


def outcome(*stage, stages=STAGES):
    return trial("fast", 0.1, stage, stages).outcome


def test_a_line_counts_what_was_tried_and_broken_and_what_is_left():
    state = outcome(WRONG, 0, 2, 2, LEFT, LEFT, LEFT)
    line = stage_line(STAGES[2], 5, 2, state)
    assert line == "StableAdaptivePGD ASSG 4.21: 5 tried, 2 broken, 3 of 7 left"


def unit(name="a", samples=7, step="fast, eps 0.1"):
    works = {STAGES[0]: Work(1, 2), STAGES[1]: Work(5), STAGES[2]: Work(0, 5)}
    return Unit(name, samples, step, works, lambda _: ({}, {}), 1, "fast")


def block(**content):
    return {"outcome": {"stage": [WRONG, 0, LEFT]}, "took": 41.0} | content


def test_the_stages_of_a_block_are_counted_one_after_the_other(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    course = Course([unit()], (), Store(tmp_path, "key"), Team())
    places = []
    with caplog.at_level(logging.DEBUG, "art_snn"), course.bar:
        course.begin(unit())
        # Four samples come first, then the other three.
        for stage, *state in (
            (0, WRONG, 0, LEFT, LEFT, UNASKED, UNASKED, UNASKED),
            (1, WRONG, 0, 1, LEFT, UNASKED, UNASKED, UNASKED),
            (0, WRONG, 0, 1, LEFT, 0, 0, LEFT),
            (2, WRONG, 0, 1, LEFT, 0, 0, 2),
        ):
            course.stage(STAGES[stage], 2, outcome(*state))
            places.append(course.position)
        course.end()
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "2 tried, 1 broken, 2 of 7 left",
        "2 tried, 1 broken, 1 of 7 left",
        "2 tried, 2 broken, 2 of 7 left",
        "2 tried, 1 broken, 1 of 7 left",
    ]
    # 5, 5 and 10 passes for each of four samples, then for the other three.
    assert places == [20, 40, 95, 140]
    assert "140/140" in sys.stderr.getvalue()


def test_a_step_is_said_once_when_its_last_block_is_there(tmp_path, caplog):
    store, units = Store(tmp_path, "key"), [unit("a"), unit("b"), unit("c", 2, "PGD-7, eps 0.1")]
    store.put("c", block(), {})
    course = Course(units, {"c"}, store, Team())
    with caplog.at_level(logging.INFO, "art_snn"):
        for name in "ab":
            store.put(name, block(), {})
            course.say_steps()
            course.say_steps()
    (record,) = caplog.records
    words = "[1/2] fast, eps 0.1: 4 of 6 correct, 2 left after the attack, 1 min 22 s"
    assert record.getMessage() == words
    assert course.bar.done == 40  # Those of the block that was done before.


def test_processes_that_do_not_lead_say_nothing(tmp_path, caplog):
    store = Store(tmp_path, "key")
    course = Course([unit()], (), store, Team(rank=1, size=2))
    store.put("a", block(), {})
    with caplog.at_level(logging.INFO, "art_snn"):
        course.say_steps()
    assert not caplog.records


def test_findings_and_certificates_are_steps():
    assert step_words([{"findings": [1, 2], "took": 3}, {"findings": [], "took": 4}]) == "2, 7 s"
    assert step_words([{"certificate": {}, "took": 3}]) == "3 s"
    blocks = [{"bounds": {"margin": [-1.0, 2.0]}, "took": 3}, {"bounds": {"margin": [1.0]}}]
    assert step_words(blocks) == "2 of 3 certified, 3 s"


def target(**settings):
    x = np.random.default_rng(0).random((6, *small.SHAPE), dtype=np.float32)
    return Target(Settings(**settings), small.classifier(), x, np.zeros(6, int))


def test_the_time_and_a_cheaper_plan_are_told_before(tmp_path, caplog, monkeypatch):
    speed = Speed(4, Pace(0.1, 0.01), Pace(0.3, 0.02))
    monkeypatch.setattr(Speed, "measured", lambda _: speed)
    subject = target(plan="standard", eps=(0.1, 0.2))
    units = [one for one in attack_units(subject, Store(tmp_path, "key")) if one.plan == "standard"]
    with caplog.at_level(logging.INFO, "art_snn"):
        announce(subject, units, 1, resumed=False)
        announce(subject, units[:1], 2, resumed=True)
        monkeypatch.setattr(Speed, "measured", lambda _: Speed(4, Pace(0, 1e-6), Pace(0, 1e-6)))
        announce(subject, units, 1, resumed=False)  # It is over in no time.
    whole, rest = (record.getMessage() for record in caplog.records)
    seconds = 2 * speed.of(stage_works(subject, planned("standard", np.inf)).values(), 6)
    assert whole.startswith(f"This takes about {rough(seconds)} on this machine; --plan fast takes")
    assert rest.startswith(f"The rest takes about {rough(seconds / 4)} on this machine;")


def test_bounds_are_told_before_and_what_they_certify_takes_no_time(caplog, monkeypatch):
    speed = Speed(4, Pace(100, 1), Pace(300, 2))
    monkeypatch.setattr(Speed, "measured", lambda _: speed)
    (early,) = bounds_units(target(plan="fast", bounds=True))
    late = [replace(unit(name), left=lambda: 3) for name in "ab"]
    with caplog.at_level(logging.INFO, "art_snn"):
        announce(target(plan="fast", bounds=True), [early], 1, resumed=False)
        announce(target(plan="fast"), late, 1, resumed=True)
        announce(target(plan="fast"), [replace(late[0], left=lambda: 0)], 1, resumed=True)
    bounds, rest = (record.getMessage() for record in caplog.records)
    assert bounds == f"The bounds take about {rough(4 * (2 * 100 + 6))} on this machine."
    seconds = 2 * speed.of(late[0].works.values(), 3)
    assert rest == f"The rest takes about {rough(seconds)} on this machine."


def test_a_damaged_block_is_not_read_before_it_is_computed_again(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Speed, "measured", lambda _: Speed(4, Pace(0, 0), Pace(0, 0)))
    store = Store(tmp_path, "key")
    store.put("a", block(), {})
    store.file("a").write_text("{", "utf-8")
    units = [replace(unit(name), compute=lambda _: (block(), {})) for name in "ba"]
    with caplog.at_level(logging.INFO, "art_snn"):
        compute(units, store, Team(), target(plan="fast"))
    (record,) = caplog.records
    assert (
        record.getMessage() == "[1/1] fast, eps 0.1: 4 of 6 correct, 2 left after the attack, 0 s"
    )


def test_samples_are_expected_to_leave_and_batches_to_be_filled():
    speed = Speed(4, Pace(1.0, 0.5), Pace(3.0, 2.0))
    assert speed.of([Work(1, 0, 0.5)], 6) == 1 + 3 * 0.5
    assert speed.of([Work(2, 0), Work(0, 1, 0.1)], 6) == 2 * (2 + 6 * 0.5) + (3 + 2)


def test_the_speed_is_that_of_the_first_batch():
    subject = target(plan="fast")
    speed = Speed.measured(subject)
    assert speed.batch == 64
    assert 0 < speed.prediction.of(6, 64) < speed.gradient.of(6, 64)


@pytest.mark.parametrize(
    ("stage", "options", "work"),
    [
        (Stage(AutoPGD, RGA(), {"max_iter": 20}), {}, Work(1, 20, 0.5)),
        (Stage(AutoPGD, RGA(), {"max_iter": 20}), {"random": True}, Work(10, 200, 0.5)),
        (
            Stage(AutoPGD, EOT(RGA(), samples=3), {"max_iter": 2}),
            {"random": True},
            Work(10, 6, 0.5),
        ),
        (Stage(AutoPGD, None, {"max_iter": 5, "num_random_init": 3}), {}, Work(3, 15, 0.5)),
        (Stage(SquareAttack, None, {"max_iter": 2500}, within=0.1), {}, Work(2500, 0, 0.1)),
        (Stage(AutoPGD, None, {"max_iter": 5}, transfer=True), {"sources": 2}, Work(2, 10, 0.5)),
    ],
)
def test_the_work_of_a_stage_follows_from_its_settings(stage, options, work):
    assert work_of(stage, RGA(), **options) == work


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(62, "62 s"), (600, "10 min"), (5400, "1.5 h"), (36_000, "10 h"), (400_000, "5 days")],
)
def test_times_are_as_precise_as_they_are_known(seconds, words):
    assert rough(seconds) == words
