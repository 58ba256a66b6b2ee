"""An evaluation comes to the same however often it is stopped, and says what it found."""

import io
import json
import os
import re
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from art_snn.attacks import Outcome, SpikingAutoAttack
from art_snn.experiments.evaluate import Settings, progress
from art_snn.experiments.evaluation import Evaluation, verdicts
from art_snn.experiments.resume import structured
from art_snn.files import read_json
from art_snn.metrics import l1_radius
from art_snn.team import Team
from tests.command import call, forbidden, interrupted
from tests.evaluations import VANISHED, evaluation, trial
from tests.jobs import started

NETWORK = ("--width", "0.0625", "--steps", "2", "--epochs", "2", "--device", "cpu")
EVALUATE = (
    *("evaluate", *NETWORK, "--threads", "1", "--attack", "AutoPGD"),
    *("--attack-options", "max_iter=3", "--rules", "stbp,rga", "--eps", "0.05,0.1"),
    *("--samples", "20", "--block", "8", "--batch-size", "8", "--examined", "0"),
    *("--output", "out"),
)
ATTACKS = 12
"""Two rules, two budgets, three blocks."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a network in it, and no more."""
    folder = tmp_path_factory.mktemp("trained")
    done = call(*EVALUATE[:-1], str(folder / "out"))
    assert done.status == 0, done.stderr
    for file in (folder / "out").iterdir():
        if file.name != "network.pt":
            file.unlink()
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """The working folder of a test, with the network in its place."""
    shutil.copytree(trained / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["art-snn", *EVALUATE])
    return tmp_path


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """Of a run that nothing stopped: evaluation.json, what was printed, and all files."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(trained / "out", folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["art-snn", *EVALUATE])
        done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    files = contents(folder / "out")
    return files["evaluation.json"], done.stdout, files


def contents(folder):
    """Of every file by its name, but of times, which never are the same."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "times.json"}


def test_it_tells_the_verdict_and_writes_all_that_is_needed_to_do_it_again(whole):
    content, printed, _ = whole
    found = structured({k: v for k, v in json.loads(content).items() if k != "sha256"}, Evaluation)
    assert [(trial.name, trial.eps) for trial in found.trials] == [
        (f"AutoPGD(max_iter=3) by {rule}", eps) for eps in (0.05, 0.1) for rule in ("stbp", "rga")
    ]
    assert len(found.samples) == len(set(found.samples)) == len(found.labels) == 20
    assert found.plan == ""
    assert found.provenance.command == " ".join(["art-snn", *EVALUATE])
    assert (found.provenance.block, found.provenance.batch_size) == (8, 8)
    assert found.provenance.rules.keys() == {"stbp", "rga"}
    for one in found.trials:
        stage, distance = np.array(one.stage), np.array(one.distance)
        wrong = stage == Outcome.WRONG
        np.testing.assert_array_equal(wrong, np.array(found.clean) != np.array(found.labels))
        assert (distance[stage >= 0] <= one.eps + 1e-6).all()
        assert (distance[stage < 0] == 0).all()
        assert (np.array(one.backwards)[wrong] == 0).all()
    assert "Robust accuracy at most" in printed
    assert "no findings were looked for" in printed


def test_a_finished_evaluation_is_not_done_again(folder, whole, monkeypatch):
    assert call(*EVALUATE).status == 0
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    assert (folder / "out" / "evaluation.json").read_bytes() == whole[0]


def test_adversarials_that_are_asked_for_afterwards_are_made_and_told_by_the_same_figures(
    folder, whole
):
    assert call(*EVALUATE).status == 0
    done = call(*EVALUATE, "--save-adversarials")
    assert done.status == 0, done.stderr
    assert (folder / "out" / "evaluation.json").read_bytes() == whole[0]
    names = sorted(path.name for path in (folder / "out").glob("adversarials-*.npz"))
    rules = ("rga", "stbp")
    parts = [f"adversarials-AutoPGD-max_iter=3-by-{r}-{e}.npz" for r in rules for e in (0.05, 0.1)]
    assert [name.replace("max-iter", "max_iter") for name in names] == parts


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_examples_that_were_lost_or_damaged_since_are_made_again(how, folder):
    assert call(*EVALUATE).status == 0
    path = folder / "out" / "examples.npz"
    content, page = path.read_bytes(), (folder / "out" / "report.html").read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(content[:100])
    assert call(*EVALUATE).status == 0
    assert path.read_bytes() == content
    assert (folder / "out" / "report.html").read_bytes() == page


def test_where_nothing_is_broken_no_examples_of_an_earlier_evaluation_stay(folder):
    options = [word for word in EVALUATE if word not in ("--eps", "0.05,0.1")]
    (folder / "out" / "examples.npz").write_bytes(b"earlier")
    done = call(*options, "--eps", "1e-9")
    assert done.status == 0, done.stderr
    assert not (folder / "out" / "examples.npz").exists()


@pytest.mark.parametrize("stop", [1, 5, ATTACKS])
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
    assert contents(folder / "out") == whole[2]


def test_blocks_of_another_evaluation_are_refused_and_kept(folder, monkeypatch):
    monkeypatch.setattr(sys.modules["art_snn.experiments.evaluate.run"], "join_blocks", interrupted)
    assert call(*EVALUATE).status == 130
    there = sorted(path.name for path in (folder / "out" / "blocks").iterdir())
    done = call(*EVALUATE, "--seed", "1")
    assert done.status == 2
    assert "--output: expected" in done.complaint
    assert sorted(path.name for path in (folder / "out" / "blocks").iterdir()) == there


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_comes_to_the_same(processes, folder, whole):
    job = started("-m", "art_snn", *EVALUATE, processes=processes, cwd=folder)
    printed, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors
    assert contents(folder / "out") == whole[2]
    assert printed.count("Written to") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_job_of_which_a_process_was_killed_comes_to_the_same_when_it_is_started_again(
    folder, whole
):
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
    assert not (folder / "out" / "evaluation.json").exists()
    job = started("-m", "art_snn", *EVALUATE, cwd=folder)
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors
    assert contents(folder / "out") == whole[2]


def test_a_plan_decides_and_findings_are_looked_for(folder):
    chosen = ("--plan", "fast", "--rules", "stbp", "--eps", "0.1", "--examined", "12")
    start = EVALUATE.index("--attack")
    attack = EVALUATE[start : start + 4]
    options = [word for word in EVALUATE if word not in attack]
    done = call(*options, *chosen, "--strict", "--save-adversarials")
    found = structured(read_json(folder / "out" / "evaluation.json"), Evaluation)
    assert [trial.name for trial in found.trials] == ["PGD-7 by stbp", "fast"]
    assert found.plan == "fast"
    assert found.provenance.examined == 12
    assert done.status == (4 if verdict(found).reservations else 0)
    with np.load(folder / "out" / "adversarials-fast-0.1.npz") as file:
        assert np.abs(file["adversarial"] - file["x"]).max() <= 0.1 + 1e-6
        np.testing.assert_array_equal(file["stage"], found.trials[1].stage)
        changed = (file["adversarial"] != file["x"]).reshape(20, -1).any(1)
        np.testing.assert_array_equal(changed, file["stage"] >= 0)


def verdict(found):
    """That of the smallest budget."""
    return verdicts(found)[0]


def evaluated(stages, reservations=0):
    """An evaluation by one plan, with the stage of every sample by budget."""
    trials = [trial("PGD", eps, stage) for eps, stage in stages.items()]
    return evaluation(*trials, plan="PGD", reservations=(VANISHED,) * reservations)


@pytest.mark.parametrize(("accuracy", "status"), [(0.5, 0), (0.49, 3)])
def test_a_network_that_is_less_robust_than_it_should_be_ends_with_status_3(
    accuracy, status, tmp_path
):
    # Twenty samples, half of which stand at the smaller budget.
    settings = Settings(fail_under=0.5, output=tmp_path)
    found = evaluated({0.1: [0] * 10 + [-1] * 10, 0.05: [-1] * 20})
    assert verdict(found).robust == 1
    assert settings.status(found) == 0
    found = evaluated({0.1: [0] * 10 + [-1] * 9 + [-2]})
    assert settings.status(found) == 3


def test_findings_end_a_strict_evaluation_with_status_4_and_less_robustness_comes_first(tmp_path):
    open_ = evaluated({0.1: [0] * 10 + [-1] * 10}, reservations=1)
    assert Settings(strict=True, output=tmp_path).status(open_) == 4
    assert Settings(output=tmp_path).status(open_) == 0
    assert Settings(strict=True, fail_under=0.9, output=tmp_path).status(open_) == 3
    none = evaluated({0.1: [0] * 10 + [-1] * 10})
    assert Settings(strict=True, output=tmp_path).status(none) == 0


@pytest.mark.parametrize(
    ("option", "found", "status"),
    [
        ((), {"reservations": (VANISHED,)}, 0),
        (("--fail-under", "0.6"), {}, 3),
        (("--fail-under", "0.5"), {}, 0),
        (("--strict",), {}, 0),
        (("--strict",), {"reservations": (VANISHED,)}, 4),
        (("--strict", "--fail-under", "0.6"), {"reservations": (VANISHED,)}, 3),
    ],
)
def test_the_command_ends_with_that_status(option, found, status, tmp_path, monkeypatch):
    done = evaluation(trial("fast", 0.1, [0] * 10 + [-1] * 10), plan="fast", **found)
    monkeypatch.setattr("art_snn.experiments.evaluate.run", lambda settings: done)
    assert call("evaluate", "--output", str(tmp_path), *option).status == status


FRAMES = ("evaluate", "--width", "0.0625", "--epochs", "1", "--device", "cpu", "--threads", "1")
FRAMES += ("--samples", "6", "--block", "3", "--examined", "3", "--plan", "fast")


@pytest.mark.parametrize(("norm", "eps"), [("0", "4"), ("shift", "1"), ("inf", "0.1")])
def test_event_frames_are_attacked_in_every_norm(norm, eps, tmp_path):
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
    done = call(*FRAMES, *data, "--norm", norm, "--eps", eps, "--output", str(output))
    assert done.status == 0, done.stderr
    found = structured(read_json(output / "evaluation.json"), Evaluation)
    assert found.norm == norm
    assert {trial.eps for trial in found.trials} == {float(eps)}
    furthest = [max(trial.distance) for trial in found.trials]
    assert max(furthest) <= float(eps) + 1e-6


def test_a_random_network_is_judged_by_most_of_its_draws(tmp_path):
    network = ("--encoder", "poisson", "--width", "0.25", "--epochs", "4")
    attack = ("--attack", "AutoPGD", "--attack-options", "max_iter=2", "--plan", "fast")
    options = ("--eps", "0.2", "--certify", "--draws", "20", "--output", str(tmp_path / "out"))
    done = call(*FRAMES[:-2], *network, *attack, *options)
    assert done.status == 0, done.stderr
    found = structured(read_json(tmp_path / "out" / "evaluation.json"), Evaluation)
    assert {trial.draws for trial in found.trials} == {11}
    assert "random network" in {one.name for one in found.reservations}
    certificate = found.certified.certificate(found.labels)
    assert found.certified.draws == 20
    assert len(certificate.radius) == 6
    assert (certificate.radius < l1_radius(0.001 ** (1 / 20), 8) + 1e-9).all()


def test_networks_to_transfer_from_are_stages_of_the_plan(folder):
    start = EVALUATE.index("--attack")
    options = [*EVALUATE[:start], *EVALUATE[start + 4 :]]
    source = folder / "source.pt"
    shutil.copy(folder / "out" / "network.pt", source)
    options[options.index("stbp,rga")] = "stbp"
    done = call(*options, "--plan", "fast", "--sources", str(source), "--sources", str(source))
    assert done.status == 0, done.stderr
    found = structured(read_json(folder / "out" / "evaluation.json"), Evaluation)
    stages = [stage for stage in found.trials[-1].stages if "on source" in stage]
    assert [stage[-8:] for stage in stages] == ["source 0", "source 1"]


NO_OPTIONS = ("--attack-options", "")
RETIMING = ("--attack", "SpikeRetiming", *NO_OPTIONS)


def test_an_attack_of_art_that_takes_no_norm_runs_and_one_that_fails_is_named(folder):
    done = call(*EVALUATE, "--attack", "BasicIterativeMethod")
    assert done.status == 0, done.stderr
    (folder / "out" / "evaluation.json").unlink()
    patch = ("--attack", "AdversarialPatchPyTorch", "--attack-options", "patch_shape=(1,4,4)")
    done = call(*EVALUATE, *patch)
    assert done.status == 2
    assert "--attack: expected an attack that runs on this network and its" in done.complaint


@pytest.mark.parametrize(
    ("attack", "rules"), [("SquareSearch", "stbp,rga"), ("SquareAttack", "native")]
)
def test_an_attack_without_gradients_runs_once_and_no_gradient_is_examined(attack, rules, folder):
    done = call(*EVALUATE, "--attack", attack, "--rules", rules, "--examined", "4")
    assert done.status == 0, done.stderr
    found = structured(read_json(folder / "out" / "evaluation.json"), Evaluation)
    assert {trial.name for trial in found.trials} == {f"{attack}(max_iter=3)"}
    assert not [one for one in found.reservations if one.about.startswith("gradients")]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rules", "native"), "--rules: expected one that suits the network and the norm inf"),
        (("--attack-options", "max_iter=-3"), "--attack-options: expected settings that AutoPGD"),
        (("--attack", "DPatch", *NO_OPTIONS), "--attack: expected an attack that runs on this"),
        (("--attack", "AdversarialPatchNumpy", *NO_OPTIONS), "--attack: expected an attack that"),
        (("--attack", "SparseDynamicAttack"), "--attack: expected an attack in the norm inf"),
        (("--norm", "0", "--eps", "1"), "--attack: expected an attack in the norm 0, got AutoPGD"),
        (("--norm", "shift", "--eps", "1", *RETIMING, "--examined", "4"), "--data: expected event"),
        (("--sources", "none.pt"), "--sources"),
        (
            ("--strict", "--examined", "4"),
            "--strict: expected a plan that decides, got AutoPGD alone",
        ),
        (
            ("--strict", "--plan", "fast"),
            "--strict: expected findings that are looked for, got 0 ex",
        ),
        (("--certify",), "--certify: expected a network with Poisson encoding"),
        (("--eps", "8/0"), "--eps: expected a number such as 0.03 or 8/255"),
        (("--norm", "1"), "--norm: expected one of inf, 2, 0, shift, got '1'"),
    ],
)
def test_what_does_not_suit_the_network_is_refused_before_anything_is_computed(
    options, complaint, folder, monkeypatch
):
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE, *options)
    assert done.status == 2
    assert complaint in done.complaint
    assert {file.name for file in (folder / "out").iterdir()} == {"network.pt"}


@pytest.mark.parametrize(
    "options",
    [
        ("--norm", "shift", "--eps", "1", *RETIMING),
        ("--attack-options", "max_iter=-3"),
        ("--attack", "DPatch", *NO_OPTIONS),
    ],
)
def test_what_the_attack_refuses_is_refused_before_a_network_is_trained(
    options, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("art_snn.experiments.trained.train", forbidden)
    assert call(*EVALUATE, *options).status == 2


def test_nothing_is_told_where_there_is_no_terminal_and_a_line_per_stage_where_there_is(
    folder, monkeypatch
):
    (folder / "out" / "network.pt").unlink()
    quiet = call(*EVALUATE)
    assert quiet.status == 0
    assert quiet.stderr == ""
    (folder / "out" / "evaluation.json").unlink()
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    progress_ = progress.Progress.over(10, 2, Team())
    progress_.begins("AutoPGD, eps 0.1, samples 0 to 7")
    progress_.stage("AutoPGD by rga", 8, 3)
    progress_.ends(4)
    progress_.stage("AutoPGD by stbp", 3, 2)
    progress_.ends(4)
    progress_.bar.close()
    told = progress.sys.stderr.getvalue()
    assert "3 of 8 stand after AutoPGD by rga\n" in told
    assert re.search(r"2 of 3 stand after AutoPGD by stbp, \S+ samples/s, \d\d:\d\d left\n", told)
    assert "10/10" in told


class Terminal(io.StringIO):
    """Takes what is written, and says that people look at it."""

    def isatty(self):
        return True
