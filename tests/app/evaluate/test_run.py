"""An evaluation has the same result however often it is stopped, and says what it found."""

import contextlib
import io
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from art_snn import RGA, STBP
from art_snn.app.cli import run_command
from art_snn.app.evaluate import blocks, result as results, target
from art_snn.app.evaluate.blocks import PART, Store
from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation.verdict import verdicts
from art_snn.attacks import AutoPGD, Outcome, Plan, SpikingAutoAttack, SquareSearch, Stage
from art_snn.attacks.iterated import IteratedAttack
from tests.command import forbidden
from tests.evaluations import RISES, VANISHED, comparable, evaluation, trial
from tests.jobs import Job, started
from tests.records import NETWORK, WEAK, evaluate, evaluation_in
from tests.terminal import pseudo_terminal

ATTACK = ("--attack", "AutoPGD(max_iter=3)", "--rules", "stbp,rga", "--eps", "0.05,0.1")
WORDS = (*ATTACK, "--samples", "20", "--batch-size", "8", "--output", "out")
EPS = (0.05, 0.1)


@pytest.fixture(scope="module")
def whole(trained):
    """A run that nothing stopped: its folder, all files, and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        done = evaluate(patch, trained, *WORDS, block=8)
    return trained / "out", comparable(trained / "out"), done


@pytest.fixture
def finished(whole, folder):
    """The folder of such a run that is done, in the working folder of a test."""
    shutil.copytree(whole[0], folder / "out")
    return folder / "out"


@pytest.fixture
def run(folder, monkeypatch):
    """Runs the command in that folder."""
    return lambda *words, **how: evaluate(monkeypatch, folder, *WORDS, *words, **{"block": 8} | how)


def test_it_prints_the_verdict_and_writes_all_that_is_needed_to_reproduce_it(whole):
    folder, _, done = whole
    result = evaluation_in(folder)
    trials = [(f"AutoPGD(max_iter=3) by {rule}", eps) for eps in EPS for rule in ("stbp", "rga")]
    assert [(one.name, one.eps) for one in result.trials] == trials
    assert len(result.samples) == len(set(result.samples)) == len(result.labels) == 20
    assert result.provenance.command.endswith(f"'AutoPGD(max_iter=3)' {' '.join(WORDS[2:])}")
    assert (result.provenance.block, result.provenance.batch_size) == (8, 8)
    assert result.provenance.rules.keys() == {"stbp", "rga"}
    for one in result.trials:
        stage, distance = one.outcome.stage, one.outcome.distance
        wrong = stage == Outcome.WRONG
        np.testing.assert_array_equal(wrong, np.array(result.clean) != np.array(result.labels))
        assert (distance[stage >= 0] <= one.eps + 1e-6).all()
        assert (distance[stage < 0] == 0).all()
        assert (one.outcome.backwards[wrong] == 0).all()
    assert "are classified correctly, and" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.partition("Reproduce:")[0].splitlines())) <= 80
    files = done.stdout.splitlines()[-1].removeprefix("Written to out: ").split(", ")
    assert sorted(files) == sorted(path.name for path in folder.iterdir())


def test_without_a_terminal_there_is_a_line_for_each_part(whole):
    lines = whole[2].stderr.splitlines()
    steps = [f"AutoPGD(max_iter=3) by {rule}, eps {eps}" for eps in EPS for rule in ("stbp", "rga")]
    blocks = [step for step in steps for _ in range(3)]
    steps = [f"[{place}/12] {step}" for place, step in enumerate(blocks, 1)]
    assert [line.rpartition(": ")[0] for line in lines] == steps


def test_a_finished_evaluation_is_not_done_again(finished, whole, run, monkeypatch):
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    run()
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        *("--seed 1", "--attack AutoPGD(max_iter=2)", "--rules stbp", "--eps 0.1", "--norm 2"),
        *("--batch-size 4", "--samples 19", "--bounds", "--plan fast"),
    ],
)
def test_numbers_of_other_settings_are_refused_and_kept(change, finished, run):
    before = (finished / "evaluation.json").read_bytes()
    done = run(*change.split(), status=2)
    assert done.stdout == ""
    assert "evaluation.json of other settings, code, weights or samples" in done.complaint
    assert (finished / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize("kept", [None, 100])
def test_examples_that_were_lost_or_damaged_since_are_made_again(kept, finished, whole, run):
    path = finished / "examples.npz"
    path.unlink()
    if kept:
        path.write_bytes(whole[1][path.name][:kept])
    run()
    assert comparable(finished) == whole[1]


def test_where_nothing_is_broken_no_examples_of_an_earlier_evaluation_stay(folder, run):
    (folder / "out").mkdir()
    (folder / "out" / "examples.npz").write_bytes(b"earlier")
    run("--eps", "2e-6")
    assert not (folder / "out" / "examples.npz").exists()


SCRIPT = f"""
import pytest, sys
from pathlib import Path
from tests.records import evaluate

with pytest.MonkeyPatch.context() as patch:
    done = evaluate(patch, Path(), *{WORDS}, status=None, block=8)
print(done.stdout)
sys.stderr.write(done.stderr)
raise SystemExit(done.status)
"""


def kill_after_a_block(job, folder):
    blocks, until = folder / "out" / "blocks", time.monotonic() + 200
    while not list(blocks.glob("*.npz")):
        assert job.running(), job.ended()
        assert time.monotonic() < until
        time.sleep(0.01)
    job.kill()
    assert not (folder / "out" / "evaluation.json").exists()


def test_a_job_that_was_killed_is_taken_up_by_two_processes_with_the_same_result(folder, whole):
    kill_after_a_block(Job(SCRIPT, folder), folder)
    well, printed, errors = Job(SCRIPT, folder).ended()
    assert well, errors
    assert comparable(folder / "out") == whole[1]
    assert printed.count("Written to") == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_processes_that_torchrun_starts_have_the_same_result(processes, folder, whole):
    (folder / "script.py").write_text(SCRIPT, "utf-8")
    job = started("script.py", processes=processes, cwd=folder)
    printed, errors = job.communicate(timeout=200)
    assert job.returncode == 0, errors
    assert printed.count("Written to") == 1
    assert comparable(folder / "out") == whole[1]


STAGES = (
    Stage(AutoPGD, STBP(), {"max_iter": 2}),
    Stage(AutoPGD, RGA(), {"max_iter": 3}, warm=True),
    Stage(SquareSearch, None, {"max_iter": 5}, warm=True),
)


def evaluate_stages(patch, folder, on_written=lambda: None, status=0):
    """Evaluate a plan of several stages next to one attack; call that after each stage."""

    def put_and_call(self, name, *what):
        put(self, name, *what)
        if name.endswith(PART):
            on_written()

    words = ("--eps", "0.02", "--samples", "20", "--batch-size", "8", "--output", "out")
    with patch.context() as inner:
        put = Store.put
        inner.setattr(Store, "put", put_and_call)
        inner.setattr(blocks, "PAUSE", 0)
        inner.setattr(blocks, "_SHARE", np.inf)
        return evaluate(inner, folder, *words, plan=Plan("fast", STAGES), status=status, block=8)


KILLED = """
import os, pytest
from pathlib import Path
from tests.app.evaluate.test_run import evaluate_stages

evaluate_stages(pytest.MonkeyPatch(), Path(), lambda: os.kill(os.getpid(), 9))
"""


def test_an_evaluation_stopped_after_each_stage_goes_on_with_the_next(folder, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    attacked, craft = [], IteratedAttack.craft
    monkeypatch.setattr(IteratedAttack, "craft", lambda *a: attacked.append(1) or craft(*a))
    evaluate_stages(monkeypatch, folder)
    stages, whole = len(attacked), comparable(folder / "out")
    shutil.rmtree(folder / "out")
    attacked.clear()
    Job(KILLED, folder).ended()
    assert len(list((folder / "out" / "blocks").glob(f"*{PART}.npz"))) == 2
    while evaluate_stages(monkeypatch, folder, interrupt, status=None).status == 130:
        assert len(attacked) < stages
    # One stage of each process was done when they were killed.
    assert len(attacked) == stages - 2
    assert comparable(folder / "out") == whole
    assert not (folder / "out" / "blocks").exists()


def test_a_plan_decides_and_findings_are_looked_for(folder, monkeypatch):
    words = ("--eps", "0.1", "--samples", "20", "--strict", "--output", "out")
    done = evaluate(monkeypatch, folder, *words, status=None, examined=12)
    result = evaluation_in(folder / "out")
    assert [trial.name for trial in result.trials] == ["PGD-7 by stbp", "fast"]
    assert (result.plan, result.provenance.examined) == ("fast", 12)
    assert done.status == (4 if verdicts(result)[0].findings else 0)
    assert done.stderr.startswith("[1/6] findings: ")


# Half of twenty samples survive, or one less.
HALF, LESS = [0] * 10 + [-1] * 10, [0] * 10 + [-1] * 9 + [-2]
BELOW = "{1}.0 % ({0} of 20) at eps 0.1 is below {2} (--fail-under)"
OPEN = "findings are open at eps 0.1 (--strict): vanished gradients and success still rises "
OPEN += "with steps"
BOTH = (VANISHED, replace(RISES, about="PGD"))


@pytest.mark.parametrize(
    ("fail_under", "strict", "stages", "findings", "status", "failure"),
    [
        (0.0, False, {0.1: HALF}, (VANISHED,), 0, []),
        (0.5, False, {0.1: HALF, 0.05: [-1] * 20}, (), 0, []),
        (0.5, False, {0.1: LESS, 0.05: [-1] * 19 + [-2]}, (), 3, [BELOW.format(9, 45, 0.5)]),
        (0.0, True, {0.1: HALF}, (), 0, []),
        (0.0, True, {0.1: HALF}, (VANISHED, RISES), 4, [OPEN]),
        (0.0, True, {0.1: [0] * 20}, (VANISHED, RISES), 4, [OPEN]),
        (0.9, True, {0.1: HALF}, BOTH, 3, [BELOW.format(10, 50, 0.9), OPEN]),
    ],
)
def test_ends_have_a_status_and_words(fail_under, strict, stages, findings, status, failure):
    trials = [trial("PGD", eps, stage) for eps, stage in stages.items()]
    made = evaluation(*trials, plan="PGD", findings=findings)
    failures = EvaluationResult(made, fail_under=fail_under, strict=strict).failures()
    assert [line for _, line in failures] == failure
    assert min((number for number, _ in failures), default=0) == status


def test_the_command_exits_with_that_status_and_says_why(folder, run):
    quiet = run("--quiet", "--eps", "0.1", "--samples", "4", "--rules", "stbp", "--output", "quiet")
    assert quiet.stderr == ""
    lines = run("--fail-under", "1", status=3).stderr.splitlines()[-2:]
    assert all(line.startswith("art-snn evaluate: ") for line in lines)
    assert all(line.endswith("is below 1 (--fail-under)") for line in lines)


EVENTS = """
from torch import nn
from art_snn import LIF, Frames, SpikingNetwork, TimeDistributed as Timed

def load():
    layers = [Timed(nn.Flatten(), nn.Linear(128, 16)), LIF(), Timed(nn.Linear(16, 2))]
    return SpikingNetwork(layers, Frames(), input_shape=(3, 2, 8, 8))
"""


# What is examined in the last norm is what is examined of images, and takes seconds.
@pytest.mark.parametrize(
    ("norm", "eps", "examined"), [("0", "4", 3), ("shift", "", 3), ("inf", "0.1", 0)]
)
def test_event_frames_are_attacked_in_every_norm(norm, eps, examined, tmp_path, monkeypatch):
    draw, y = np.random.default_rng(0), np.arange(6) % 2
    x = (draw.random((6, 3, 2, 8, 8)) < 0.2).astype(np.float32)
    np.savez(tmp_path / "frames.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    (tmp_path / "model.py").write_text(EVENTS, "utf-8")
    words = ("--model", "model.py:load", "--data", "frames.npz", "--value-range", "0,1")
    words += ("--norm", norm, *(("--eps", eps) if eps else ()), "--plan", "fast", "--output", "out")
    budget = float(eps or 1)  # Without one, a step.
    evaluate(monkeypatch, tmp_path, *words, network=(), plan=None, examined=examined)
    result = evaluation_in(tmp_path / "out")
    assert result.norm == norm
    assert {trial.eps for trial in result.trials} == {budget}
    assert max(trial.outcome.distance.max() for trial in result.trials) <= budget + 1e-6


def test_networks_to_transfer_from_are_stages_of_the_plan(folder, monkeypatch):
    words = ("--sources", "weights.pt", "--sources", "weights.pt", "--eps", "0.1")
    words += ("--samples", "8", "--output", "out")
    evaluate(monkeypatch, folder, *words, plan=None)
    stages = evaluation_in(folder / "out").trials[-1].outcome.stages
    labels = [stage.label[-8:] for stage in stages if "source" in stage.id]
    assert labels == ["source 0", "source 1"]


def test_an_attack_of_art_that_takes_no_norm_runs_and_one_that_fails_is_named(run, folder):
    few = ("--eps", "0.1", "--samples", "8", "--rules", "stbp")
    run("--attack", "BasicIterativeMethod(max_iter=2)", *few)
    shutil.rmtree(folder / "out")
    attack = "AdversarialPatchPyTorch(patch_shape=(1,4,4),max_iter=1)"
    done = run("--attack", attack, *few, status=2)
    assert "--attack: expected an attack that runs" in done.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rules", "native"), "--rules: expected one that suits"),
        (("--rules", "none"), "--rules: expected"),
        (("--attack", "AutoPGD(max_iter=-3)"), "--attack: expected an attack that runs"),
        (("--attack", "AutoPGD(eps=1)"), "--attack: expected options of AutoPGD"),
        (("--attack", "DPatch"), "--attack: expected an attack that runs"),
        (("--attack", "SparseDynamicAttack"), "--attack: expected an attack in the norm inf"),
        (("--norm", "0", "--eps", "1"), "--attack: expected an attack in the norm 0"),
        (("--norm", "shift", "--eps", "1", "--attack", "SpikeRetiming"), "--data: expected event"),
        (("--norm", "0", "--eps", "1.5"), "--eps: expected a whole number"),
        (("--eps", "8/0"), "--eps"),
        (("--eps", "0"), "--eps: expected a number above 0"),
        (("--sources", "model.py"), "--sources: expected"),
        (("--norm", "1"), "--norm"),
    ],
)
def test_what_does_not_suit_is_refused_first(options, complaint, folder, run, monkeypatch):
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    assert complaint in run(*options, status=2).complaint
    assert not (folder / "out").exists()


def test_on_a_terminal_of_80_columns_no_line_is_wrapped_and_the_bar_moves(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(results, "render_page", lambda _: "")
    monkeypatch.setattr(target, "resolve_plan", lambda *_: WEAK)
    words = (*NETWORK, "--plan", "fast", "--eps", "0.1", "--samples", "6")
    with pseudo_terminal(80) as pieces, contextlib.redirect_stdout(io.StringIO()):
        assert run_command(("evaluate", *words)) == 0
    assert max(map(len, pieces)) <= 80
    bars = [piece for piece in pieces if "%|" in piece]
    shares = [int(re.search(r"(\d+)%", bar)[1]) for bar in bars]
    assert (shares[0], shares[-1], sorted(shares)) == (0, 100, shares)
    assert set(shares) - {0, 100}
    assert any(piece.lstrip("\r").startswith("findings") for piece in bars)
