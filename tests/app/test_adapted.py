"""Every command on bare models of a user's own, whose neurons `register_neuron` makes known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from art_snn import checkpoint
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.resume import fingerprint, read_result, structured
from art_snn.checkpoint import CheckpointError
from art_snn.curves import find_layer, record
from art_snn.measuring import process
from art_snn.measuring.workload import peak_of
from tests import adapted
from tests.classifier.test_adapted import around
from tests.command import call
from tests.datasets import counts, images

ATTACK = ("--samples", "4", "--batch-size", "4", "--iterations", "1")
TRAIN = ("--epochs", "1", "--validation", "0.4", "--batch-size", "4")
IMAGE = ("--channels", "1", "--image-size", "4", "--batch-size", "2", "--repeats", "1")
WORDS = {
    "train": TRAIN,
    "harden": (*TRAIN, "--iterations", "1"),
    "compare": (*ATTACK, "--repeats", "1", "--rules", "stbp,rga,cba,relu,native"),
    "evaluate": (
        *("--samples", "4", "--batch-size", "4"),
        *("--attack", "AutoPGD(max_iter=1)", "--rules", "stbp,rga"),
    ),
    "sweep": (*ATTACK, "--field", "beta", "--values", "1,2"),
    "curves": ("--layer", "0", "--pairs", "20"),
    "cost": IMAGE,
    "demo": ("--epochs", "1", "--test-images", "2", "--eps", "0.1"),
}
DATA = ("train", "harden", "compare", "evaluate", "sweep", "curves")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data in the present folder; peaks are taken in this process."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images.npz")
    monkeypatch.setattr(process, "in_fresh_process", _measured)


def _measured(call, *given):
    return 2**20 if call is peak_of else call(*given)


@pytest.mark.parametrize(
    ("kind", "command"),
    [*(("steps", c) for c in WORDS), *(("step", c) for c in WORDS if c != "demo")],
)
def test_every_command_takes_a_bare_model(kind, command, tmp_path):
    form = {"shape": (1, 8, 8), "classes": 10} if command == "demo" else {}
    words = ("--data", "images.npz") if command in DATA else ()
    model = adapted.own(tmp_path, kind, **form)
    done = call(command, *words, "--model", model, *WORDS[command], "--output", "out")
    assert done.status == 0, done.stderr
    if command == "compare":
        assert "cba does not apply" in done.stdout
        rows = read_result(Path("out", "compare.json"))["rows"]
        # An ANN fires no spikes for a loop over time.
        refused = {"steps": ["cba"], "step": ["cba", "relu"]}[kind]
        assert [name for name, row in rows.items() if row["objection"]] == refused
    if command == "train":
        found = checkpoint.load(adapted.network(kind), "out/network.safetensors")
        assert found["subject"]["model"] == model


EVALUATE = ("evaluate", *WORDS["evaluate"][:4], "--output", "out")


def evaluated(folder):
    return structured(read_result(Path(folder, "evaluation.json")), Evaluation)


def test_a_network_with_its_own_gradient_alone_is_evaluated_by_it(tmp_path):
    words = (*EVALUATE, "--data", "images.npz", "--model", adapted.own(tmp_path, "inline"))
    done = call(*words, "--plan", "fast")
    assert done.status == 0, done.stderr
    assert "fast ran 8 stages with the network's own gradient. The first is" in done.stdout
    found = evaluated("out")
    assert [trial.name for trial in found.trials] == ["PGD-7 by native", "fast"]
    assert found.provenance.rules == {"native": "Native()"}
    assert "attacks skipped" not in done.stdout
    done = call(*words, "--plan", "fast", "--rules", "stbp", "--output", "other")
    assert done.status == 2
    assert done.complaint.startswith("art-snn evaluate: error: --rules: expected one that suits")
    assert "Take --rules native: the network has its own gradient." in done.complaint


def test_a_plan_of_which_one_stage_has_a_gradient_is_an_open_finding(tmp_path):
    counts(tmp_path / "counts.npz")
    frames = {k: v > 1 if k[0] == "x" else v for k, v in np.load("counts.npz").items()}
    np.savez(tmp_path / "frames.npz", **frames)
    model = adapted.own(tmp_path, "inline", shape=(3, 2, 4, 4))
    words = ("--eps", "3", "--norm", "0", "--value-range", "0,1", "--strict")
    data = ("--data", "frames.npz", "--model", model)
    done = call(*EVALUATE, *words, *data, "--plan", "ensemble-19")
    assert done.status == 4, done.stderr
    found = [(one.about, one.title) for one in evaluated("out").findings]
    assert ("ensemble-19", "too few attacks with a gradient") in found


def test_a_network_with_its_own_gradient_alone_is_compared_by_it_unless_rules_are_named(tmp_path):
    words = ("compare", "--data", "images.npz", *WORDS["compare"][:-2], "--output")
    model = ("--model", adapted.own(tmp_path, "inline"))
    done = call(*words, "out", *model)
    assert done.status == 0, done.stderr
    rows = read_result(Path("out", "compare.json"))["rows"]
    assert [name for name, row in rows.items() if not row["objection"]] == ["native"]
    done = call(*words, "other", *model, "--rules", "stbp")
    assert done.status == 0, done.stderr
    assert "have their own gradient: --rules native." in done.stdout
    # Where others apply, native is not among the usual rules.
    done = call(*words, "third", "--model", adapted.own(tmp_path))
    assert done.status == 0, done.stderr
    assert "native" not in read_result(Path("third", "compare.json"))["rows"]


def test_scaling_runs_a_bare_model_over_the_steps_and_refuses_one_of_its_own_time(tmp_path):
    words = ("scaling", *IMAGE, "--samples", "2", "--iterations", "1", "--steps", "2,3")
    done = call(*words, "--models", adapted.own(tmp_path), "--output", "out")
    assert done.status == 0, done.stderr
    cells = read_result(Path("out", "scaling.json"))["cells"]
    assert [(cell["steps"], set(cell["seconds"])) for cell in cells] == [
        (steps, {"inference", "rga", "stbp"}) for steps in (2, 3)
    ]
    # One of a single number of steps is given input of those that are asked for.
    one = (*words[:-1], "3", "--models", adapted.own(tmp_path, "merged"))
    assert call(*one, "--output", "other").status == 0
    done = call(*words, "--models", adapted.own(tmp_path, "step"), "--output", "third")
    assert done.status == 2
    assert "--models: expected a network over any number of time steps, got" in done.complaint


def test_the_steps_of_a_bare_model_are_an_option(tmp_path):
    model = adapted.own(tmp_path, "merged")
    words = ("cost", "--model", model, *IMAGE, "--output")
    done = call(*words, "out")
    assert done.status == 2
    assert "--image-size: expected a size that" in done.complaint
    done = call(*words, "out", "--steps", "3")
    assert done.status == 0, done.stderr
    assert f"{model}, T = 3, direct encoding, batch 2, 1x4x4" in done.stdout


@pytest.mark.parametrize("command", ["inspect", "evaluate", "train"])
def test_a_model_of_one_step_is_refused_until_the_steps_are_told(command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from tests.interop.neurons import Output, Step\n"
        "from tests.interop.stacks import OfOneStep\n\n\n"
        "def build():\n    return OfOneStep(Step(), Output(), 16)\n"
    )
    words = (command, "--model", "mine.py:build", "--data", "images.npz", "--output", "out")
    words += {"inspect": ("--rules", "rga,native")}.get(command, WORDS.get(command, ()))
    done = call(*words, "--readout", "spikes")
    assert done.status == 2
    assert "--steps: expected the number of time steps, since" in done.complaint
    done = call(*words, "--steps", "3", "--readout", "spikes")
    assert done.status == 0, done.stderr
    timing = "T = 3, direct encoding, one step in a call"
    assert timing in done.stdout
    if command != "train":
        file = {"inspect": "inspect.json", "evaluate": "evaluation.json"}[command]
        assert timing in read_result(Path("out", file))["title"]
    if command == "evaluate":
        assert timing in Path("out", "report.html").read_text()


@pytest.mark.parametrize(("command", "flag"), [("compare", "rules"), ("harden", "rule")])
def test_a_rule_that_verification_refuses_is_told(command, flag, tmp_path):
    words = (command, "--data", "images.npz", "--model", adapted.own(tmp_path, "odd"))
    done = call(*words, *WORDS[command], f"--{flag}", "rga", "--output", "out")
    refused = "expected neurons whose outputs are 0 or 1, got 2, which gave 2"
    if command == "compare":
        assert done.status == 0, done.stderr
        assert f"rga does not apply: model: {refused}" in done.stdout
        done = call(*words, *WORDS[command], "--rules", "native", "--output", "other")
        assert done.status == 0, done.stderr
        row = read_result(Path("other", "compare.json"))["rows"]["native"]
        assert (row["cosine"], len(row["outcome"]["robust"])) == (None, 4)
    else:
        assert (done.status, f"--model: {refused}" in done.complaint) == (2, True)


def test_recorded_currents_and_rates_are_those_of_every_step():
    x = np.random.default_rng(0).random((6, *adapted.SHAPE), dtype=np.float32)
    found = []
    for kind in ("steps", "merged", "step"):
        torch.manual_seed(0)
        network = adapted.network(kind)
        found.append(record(network, x, 0, batch_size=4))
        assert find_layer(network, found[-1].layer.removeprefix("layers.")) == found[-1].layer
    assert [pairs.layer for pairs in found] == ["layers.2", "layers.body.2", "layers.lif"]
    assert all(pairs.places == 6 * 8 for pairs in found)
    assert found[0].rate.any()
    for pairs in found[1:]:
        assert np.allclose(pairs.current, found[0].current, atol=1e-6)
        assert np.array_equal(pairs.rate, found[0].rate)


def test_curves_of_neurons_that_fire_otherwise_are_refused(tmp_path):
    words = ("curves", "--data", "images.npz", *WORDS["curves"], "--output", "out", "--model")
    done = call(*words, adapted.own(tmp_path, "odd"))
    assert done.status == 2
    assert "--model: expected neurons whose outputs are 0 or 1, got 2" in done.complaint


@pytest.mark.parametrize("kind", ["steps", "step"])
def test_the_state_dict_of_the_bare_model_is_a_checkpoint(kind, tmp_path):
    torch.manual_seed(1)
    bare = adapted.model(kind)
    torch.save(bare.state_dict(), "bare.pt")
    network = adapted.network(kind)
    assert checkpoint.load(network, "bare.pt") == {}
    for one, other in zip(bare.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)
    checkpoint.save(network, "ours.safetensors", word="kept")
    assert checkpoint.load(adapted.network(kind), "ours.safetensors") == {"word": "kept"}
    torch.save(network.state_dict(), "network.pt")
    assert checkpoint.load(adapted.network(kind), "network.pt") == {}
    words = ("compare", "--data", "images.npz", *WORDS["compare"], "--checkpoint", "bare.pt")
    done = call(*words, "--model", adapted.own(tmp_path, kind), "--output", "out")
    assert done.status == 0, done.stderr
    other = adapted.network(kind, classes=4)
    with pytest.raises(CheckpointError, match=r"differs in layers\..*\(shape \[3"):
        checkpoint.load(other, "bare.pt")


def test_event_frames_are_the_steps_of_a_bare_model(tmp_path):
    counts(tmp_path / "counts.npz")
    model = adapted.own(tmp_path, shape=(2, 4, 4))
    done = call("train", "--data", "counts.npz", "--model", model, *TRAIN, "--output", "out")
    assert done.status == 0, done.stderr


def test_results_of_a_model_whose_neurons_differ_are_not_taken_up(tmp_path):
    one, other = around("steps"), around("steps")
    x, y = np.zeros((2, *adapted.SHAPE), np.float32), np.zeros(2, int)
    assert fingerprint("", one, x, y) == fingerprint("", other, x, y)
    other.model.model[2].threshold = 2.0
    assert fingerprint("", one, x, y) != fingerprint("", other, x, y)
