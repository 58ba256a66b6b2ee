"""An evaluation comes to the same however often it is stopped, and says what it found."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest

from art_snn.app.cli import run_command
from art_snn.app.evaluate import EvaluationResult, Settings
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.report.verdict import verdicts
from art_snn.app.resume import as_json, read_result
from art_snn.attacks import Outcome, SpikingAutoAttack
from art_snn.files import write_json
from art_snn.metrics import l1_radius
from tests.command import call, forbidden, interrupted
from tests.evaluations import RISES, VANISHED, comparable, complaints, evaluation, trial
from tests.jobs import Job, started
from tests.terminal import pseudo_terminal

NETWORK = ("--width", "0.0625", "--steps", "2", "--epochs", "2", "--device", "cpu")
EVALUATE = (
    *("evaluate", *NETWORK, "--threads", "1", "--attack", "AutoPGD"),
    *("--attack-options", "max_iter=3", "--rules", "stbp,rga", "--eps", "0.05,0.1"),
    *("--samples", "20", "--block", "8", "--batch-size", "8", "--examined", "0"),
    *("--output", "out"),
)
EPS = (0.05, 0.1)
ATTACKS = 12
"""Two rules, two budgets, three blocks."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing stopped: its folder, all files, and what was printed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["art-snn", *EVALUATE])
        done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    check_lines(done.stderr)
    return folder / "out", comparable(folder / "out"), done.stdout


def check_lines(shown):
    """Without a terminal there is one line for each epoch, and for each attack and budget."""
    assert "\r" not in shown
    *epochs, a, b, c, d = shown.splitlines()
    assert [line[:24] for line in epochs] == [f"Training: epoch {n} of 2, " for n in (1, 2)]
    steps = [f"AutoPGD(max_iter=3) by {rule}, eps {eps}" for eps in EPS for rule in ("stbp", "rga")]
    for number, (line, step) in enumerate(zip((a, b, c, d), steps, strict=True), 1):
        words = rf"[{number}/4] {step}: "
        assert line.startswith(words)
        assert re.fullmatch(
            r"\d+ of 20 correct, \d+ left after the attack, \d s", line[len(words) :]
        )


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    """The working folder of a test, with the trained network in its place."""
    (tmp_path / "out").mkdir()
    shutil.copy(whole[0] / "network.safetensors", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["art-snn", *EVALUATE])
    return tmp_path


@pytest.fixture
def finished(whole, folder):
    """The working folder of a test, with all files of such a run."""
    shutil.copytree(whole[0], folder / "out", dirs_exist_ok=True)
    return folder / "out"


def evaluation_in(folder):
    return read_result(folder / "evaluation.json", Evaluation)


def contents(folder):
    """Of each file by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_prints_the_verdict_and_writes_all_that_is_needed_to_reproduce_it(whole):
    folder, _, printed = whole
    result = evaluation_in(folder)
    assert [(trial.name, trial.eps) for trial in result.trials] == [
        (f"AutoPGD(max_iter=3) by {rule}", eps) for eps in (0.05, 0.1) for rule in ("stbp", "rga")
    ]
    assert len(result.samples) == len(set(result.samples)) == len(result.labels) == 20
    assert result.plan == ""
    assert result.provenance.command == " ".join(["art-snn", *EVALUATE])
    assert (result.provenance.block, result.provenance.batch_size) == (8, 8)
    assert result.provenance.rules.keys() == {"stbp", "rga"}
    for one in result.trials:
        stage, distance = one.outcome.stage, one.outcome.distance
        wrong = stage == Outcome.WRONG
        np.testing.assert_array_equal(wrong, np.array(result.clean) != np.array(result.labels))
        assert (distance[stage >= 0] <= one.eps + 1e-6).all()
        assert (distance[stage < 0] == 0).all()
        assert (one.outcome.backwards[wrong] == 0).all()
    words = " ".join(printed.split())
    assert "are classified correctly, and" in words
    assert "not examined" in words
    assert max(map(len, printed.partition("Reproduce:")[0].splitlines())) <= 80
    files = printed.splitlines()[-1].removeprefix("Written to out: ").split(", ")
    assert sorted(files) == sorted(path.name for path in folder.iterdir())


def test_what_it_writes_is_of_the_published_schema(whole):
    content = json.loads((whole[0] / "evaluation.json").read_text("utf-8"))
    assert not complaints(content)
    assert list(content)[:5] == ["schema", "name", "title", "date", "summary"]
    assert content["name"] == "out"
    assert [one["eps"] for one in content["summary"]] == list(EPS)
    assert datetime.now(timezone.utc) >= datetime.fromisoformat(content["date"])


def test_a_finished_evaluation_is_not_done_again(finished, whole, monkeypatch):
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    assert contents(finished) == contents(whole[0])
    # Another name changes nothing but itself.
    assert call(*EVALUATE, "--name", "renamed").status == 0
    result, first = evaluation_in(finished), evaluation_in(whole[0])
    assert (result.name, first.name) == ("renamed", "out")
    assert as_json(replace(result, name="out")) == as_json(first)
    title = "<title>Robustness: renamed</title>"
    assert title in (finished / "report.html").read_text("utf-8")


def test_a_summary_that_does_not_follow_from_the_samples_is_refused(finished):
    content = json.loads((finished / "evaluation.json").read_text("utf-8"))
    content["summary"][0]["robust"] += 0.05
    content.pop("sha256")
    write_json(finished / "evaluation.json", content)
    done = call(*EVALUATE)
    assert done.status == 2
    assert "evaluation.json, which cannot be read (expected a summary that follows" in done.stderr


def test_adversarials_that_are_asked_for_afterwards_are_made(finished, whole):
    done = call(*EVALUATE, "--save-adversarials")
    assert done.status == 0, done.stderr
    files = comparable(finished)
    names = {
        f"adversarials-AutoPGD-max-iter=3-by-{r}-{e}.npz" for r in ("rga", "stbp") for e in EPS
    }
    assert files.keys() - whole[1].keys() == names
    assert {name: files[name] for name in whole[1]} == whole[1]
    assert all(name in done.stdout.splitlines()[-1] for name in names)


@pytest.mark.parametrize("kept", [None, 100])
def test_examples_that_were_lost_or_damaged_since_are_made_again(kept, finished, whole):
    path = finished / "examples.npz"
    path.unlink()
    if kept:
        path.write_bytes(whole[1][path.name][:kept])
    assert call(*EVALUATE).status == 0
    assert comparable(finished) == whole[1]


def test_where_nothing_is_broken_no_examples_of_an_earlier_evaluation_stay(folder):
    (folder / "out" / "examples.npz").write_bytes(b"earlier")
    done = call(*EVALUATE, "--eps", "1e-9")
    assert done.status == 0, done.stderr
    assert not (folder / "out" / "examples.npz").exists()


@pytest.mark.parametrize("stop", [5, ATTACKS])
def test_an_interrupted_evaluation_goes_on_after_its_last_block(folder, whole, stop, monkeypatch):
    kept, count = SpikingAutoAttack.generate, iter(range(1, 100))

    def generate(*arguments):
        if next(count) == stop:
            raise KeyboardInterrupt
        return kept(*arguments)

    monkeypatch.setattr(SpikingAutoAttack, "generate", generate)
    assert call(*EVALUATE).status == 130
    assert not (folder / "out" / "evaluation.json").exists()
    done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    assert next(count) == ATTACKS + 2
    assert not (folder / "out" / "blocks").exists()
    assert comparable(folder / "out") == whole[1]


def test_blocks_of_another_evaluation_are_refused_and_kept(folder, monkeypatch):
    monkeypatch.setattr(sys.modules["art_snn.app.evaluate.run"], "assemble", interrupted)
    assert call(*EVALUATE).status == 130
    there = sorted(path.name for path in (folder / "out" / "blocks").iterdir())
    done = call(*EVALUATE, "--seed", "1")
    assert done.status == 2
    assert "--output: expected" in done.complaint
    assert sorted(path.name for path in (folder / "out" / "blocks").iterdir()) == there


def test_several_processes_have_the_same_result(folder, whole):
    job = started("-m", "art_snn", *EVALUATE, processes=3, cwd=folder)
    printed, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors
    assert comparable(folder / "out") == whole[1]
    assert printed.count("Written to") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_job_of_which_a_process_was_killed_ends_and_leaves_its_blocks(folder):
    job = started("-m", "art_snn", *EVALUATE, cwd=folder)
    blocks, until = folder / "out" / "blocks", time.monotonic() + 200
    while not list(blocks.glob("*.json")):
        assert job.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    pid = int((folder / "out" / ".running").read_text().split()[1])
    os.kill(pid, signal.SIGKILL)
    job.communicate(timeout=200)
    assert job.returncode != 0
    assert list(blocks.glob("*.json"))
    assert not (folder / "out" / "evaluation.json").exists()


def test_a_job_that_was_killed_is_taken_up_by_two_processes_with_the_same_result(folder, whole):
    code = "import sys; from art_snn.app.cli import run_command\n"
    code += f"sys.argv = ['art-snn', *{EVALUATE}]\nraise SystemExit(run_command({EVALUATE}))"
    job, blocks = Job(code, folder), folder / "out" / "blocks"
    while not list(blocks.glob("*.json")):
        assert job.running(), job.ended()
        time.sleep(0.01)
    job.kill()
    assert not (folder / "out" / "evaluation.json").exists()
    well, printed, errors = Job(code, folder).ended()
    assert well, errors
    assert comparable(folder / "out") == whole[1]
    assert printed.count("Written to") == 1


def with_plan(*options):
    """The words of the command with a plan in the place of the attack."""
    start = EVALUATE.index("--attack")
    plan = ("--plan", "fast", "--rules", "stbp")
    return *EVALUATE[:start], *EVALUATE[start + 4 :], *plan, *options


def test_a_plan_decides_and_findings_are_looked_for(folder):
    words = with_plan("--eps", "0.1", "--examined", "12", "--strict", "--save-adversarials")
    done = call(*words)
    result = evaluation_in(folder / "out")
    assert [trial.name for trial in result.trials] == ["PGD-7 by stbp", "fast"]
    assert result.plan == "fast"
    assert result.provenance.examined == 12
    assert done.status == (4 if verdicts(result)[0].findings else 0)
    with np.load(folder / "out" / "adversarials-fast-0.1.npz") as file:
        assert np.abs(file["adversarial"] - file["x"]).max() <= 0.1 + 1e-6
        np.testing.assert_array_equal(file["stage"], result.trials[1].outcome.stage)
        changed = (file["adversarial"] != file["x"]).reshape(20, -1).any(1)
        np.testing.assert_array_equal(changed, file["stage"] >= 0)


# Half of twenty samples survive, or one less.
HALF, LESS = [0] * 10 + [-1] * 10, [0] * 10 + [-1] * 9 + [-2]
BELOW = "{1}.0 % ({0} of 20) at eps 0.1 is below {2} (--fail-under)"
OPEN = "findings are open at eps 0.1 (--strict): vanished gradients and success still rises "
OPEN += "with steps"


@pytest.mark.parametrize(
    ("options", "stages", "findings", "status", "failure"),
    [
        ({}, {0.1: HALF}, (VANISHED,), 0, []),
        ({"fail_under": 0.5}, {0.1: HALF, 0.05: [-1] * 20}, (), 0, []),
        (
            {"fail_under": 0.5},
            {0.1: LESS, 0.05: [-1] * 19 + [-2]},
            (),
            3,
            [BELOW.format(9, 45, 0.5)],
        ),
        ({"strict": True}, {0.1: HALF}, (), 0, []),
        ({"strict": True}, {0.1: HALF}, (VANISHED, RISES), 4, [OPEN]),
        ({"strict": True}, {0.1: [0] * 20}, (VANISHED, RISES), 4, [OPEN]),
        (
            {"strict": True, "fail_under": 0.9},
            {0.1: HALF},
            (VANISHED, replace(RISES, about="PGD")),
            3,
            [BELOW.format(10, 50, 0.9), OPEN],
        ),
    ],
)
def test_less_robustness_than_asked_for_and_open_findings_have_a_status_and_words(
    options, stages, findings, status, failure, tmp_path, monkeypatch
):
    trials = [trial("PGD", eps, stage) for eps, stage in stages.items()]
    result = EvaluationResult(evaluation(*trials, plan="PGD", findings=findings))
    assert Settings(output=tmp_path, **options).status(result) == status
    monkeypatch.setattr("art_snn.app.evaluate.run", lambda settings: result)
    words = [f"--{name.replace('_', '-')}" for name in options]
    words += [str(options["fail_under"])] if "fail_under" in options else []
    done = call("evaluate", "--output", str(tmp_path), *words)
    assert done.status == status
    assert done.stderr.splitlines() == [f"art-snn evaluate: {line}" for line in failure]


FRAMES = ("evaluate", "--width", "0.0625", "--epochs", "1", "--device", "cpu", "--threads", "1")
FRAMES += ("--samples", "6", "--block", "6", "--examined", "3", "--plan", "fast")


# What is examined in the last norm is what is examined of images, and takes seconds.
@pytest.mark.parametrize(
    ("norm", "eps", "examined"), [("0", "4", "3"), ("shift", "1", "3"), ("inf", "0.1", "0")]
)
def test_event_frames_are_attacked_in_every_norm(norm, eps, examined, tmp_path):
    draw = np.random.default_rng(0)
    content = {}
    for part, count in (("train", 24), ("test", 6)):
        content[f"y_{part}"] = np.arange(count) % 2
        frames = draw.random((count, 3, 2, 8, 8)) < 0.1
        frames[content[f"y_{part}"] == 1, ..., :4] |= True
        content[f"x_{part}"] = frames.astype(np.float32)
    np.savez(tmp_path / "frames.npz", **content)
    data = ("--data", str(tmp_path / "frames.npz"), "--value-range", "0,1")
    output = tmp_path / "out"
    words = ("--norm", norm, "--eps", eps, "--examined", examined, "--output", str(output))
    done = call(*FRAMES, *data, *words)
    assert done.status == 0, done.stderr
    result = evaluation_in(output)
    assert result.norm == norm
    assert {trial.eps for trial in result.trials} == {float(eps)}
    assert max(trial.outcome.distance.max() for trial in result.trials) <= float(eps) + 1e-6


def test_a_random_network_is_judged_by_most_of_its_draws(tmp_path):
    network = ("--encoder", "poisson", "--steps", "4", "--width", "0.125")
    options = ("--eps", "0.2", "--certify", "--draws", "20", "--output", str(tmp_path / "out"))
    done = call(*FRAMES, *network, *options)
    assert done.status == 0, done.stderr
    result = evaluation_in(tmp_path / "out")
    assert {trial.outcome.draws for trial in result.trials} == {11}
    assert "random-network" in {one.id for one in result.findings}
    certificate = result.certificate
    assert certificate.draws == 20
    assert len(certificate.radius) == 6
    assert (certificate.radius < l1_radius(0.001 ** (1 / 20), 8) + 1e-9).all()


def test_networks_to_transfer_from_are_stages_of_the_plan(folder):
    source = folder / "source.safetensors"
    shutil.copy(folder / "out" / "network.safetensors", source)
    done = call(*with_plan("--sources", str(source), "--sources", str(source)))
    assert done.status == 0, done.stderr
    stages = evaluation_in(folder / "out").trials[-1].outcome.stages
    labels = [stage.label[-8:] for stage in stages if "source" in stage.id]
    assert labels == ["source 0", "source 1"]


NO_OPTIONS = ("--attack-options", "")
RETIMING = ("--attack", "SpikeRetiming", *NO_OPTIONS)


def test_an_attack_of_art_that_takes_no_norm_runs_and_one_that_fails_is_named(folder):
    few = ("--eps", "0.1", "--samples", "8", "--rules", "stbp")
    done = call(*EVALUATE, "--attack", "BasicIterativeMethod", *few)
    assert done.status == 0, done.stderr
    (folder / "out" / "evaluation.json").unlink()
    options = ("--attack-options", "patch_shape=(1,4,4),max_iter=1")
    patch = ("--attack", "AdversarialPatchPyTorch", *options)
    done = call(*EVALUATE, *patch, *few)
    assert done.status == 2
    assert "--attack: expected an attack that runs" in done.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rules", "native"), "--rules: expected one that suits"),
        (("--attack-options", "max_iter=-3"), "--attack-options: expected settings"),
        (("--attack", "DPatch", *NO_OPTIONS), "--attack: expected an attack that runs"),
        (("--attack", "AdversarialPatchNumpy", *NO_OPTIONS), "--attack: expected an attack"),
        (("--attack", "SparseDynamicAttack"), "--attack: expected an attack in the norm inf"),
        (("--norm", "0", "--eps", "1"), "--attack: expected an attack in the norm 0"),
        (("--norm", "shift", "--eps", "1", *RETIMING, "--examined", "4"), "--data: expected event"),
        (("--sources", "none.pt"), "--sources"),
        (("--strict", "--examined", "4"), "--strict: expected a plan"),
        (("--strict", "--plan", "fast"), "--strict: expected findings"),
        (("--certify",), "--certify: expected a network with Poisson"),
        (("--eps", "8/0"), "--eps: expected a number"),
        (("--norm", "1"), "--norm: expected one of"),
    ],
)
def test_what_does_not_suit_the_network_is_refused_before_anything_is_computed(
    options, complaint, folder, monkeypatch
):
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE, *options)
    assert done.status == 2
    assert complaint in done.complaint
    assert {file.name for file in (folder / "out").iterdir()} == {"network.safetensors"}


def test_on_a_terminal_of_80_columns_no_line_is_wrapped_and_the_bar_moves(folder):
    stdout = io.StringIO()
    words = with_plan("--eps", "0.1", "--samples", "6", "--examined", "3")
    with pseudo_terminal(80) as pieces, contextlib.redirect_stdout(stdout):
        assert run_command(words) == 0
    assert max(map(len, pieces)) <= 80
    bars = [piece for piece in pieces if "%|" in piece]
    shares = [int(re.search(r"(\d+)%", bar)[1]) for bar in bars]
    assert (shares[0], shares[-1], sorted(shares)) == (0, 100, shares)
    assert set(shares) - {0, 100}
    assert bars[-1].startswith("[3/3] PGD-7 by stbp, eps 0.1: 100%|█████")
    assert any(re.search(r"\d left\]", bar) for bar in bars)
    assert any(re.match(r"\[1/3\] findings: \d, ", piece) for piece in pieces)


def test_a_quiet_command_prints_its_result_and_nothing_else(folder):
    done = call(*EVALUATE, "--quiet", "--eps", "0.1", "--samples", "4", "--rules", "stbp")
    assert (done.status, done.stderr) == (0, "")
    assert "Of 4 images" in done.stdout
