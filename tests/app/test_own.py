"""Networks that a function of the user gives: results belong to their code, errors to the user."""

import sys
from pathlib import Path

import numpy as np
import pytest

from art_snn.app.results import read_result
from art_snn.distributed import ProcessGroup
from art_snn.files import write_arrays
from tests.command import call, complain, succeed
from tests.datasets import counts
from tests.interop import adapted
from tests.records import evaluation_in

NETWORK = """
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed

class Scaled(nn.Module):
    def forward(self, x):
        return x * 1.0

def build():
    torch.manual_seed(0)
    layers = [TimeDistributed(nn.Flatten(), nn.Linear(16, 8)), LIF()]
    layers += [TimeDistributed(nn.Linear(8, 2)), Scaled()]
    return SpikingNetwork(layers, Direct(2), input_shape=(1, 4, 4))
"""
EDITED = NETWORK.replace("x * 1.0", "x * -1.0")
SAME = ("--device", "cpu", "--threads", "1", "--output", "out", "--data", "tiny.npz")
COMMANDS = {
    "train": ("--epochs", "1", "--batch-size", "4"),
    "compare": (
        *("--attack", "pgd(max_iter=1)", "--eps", "0.1", "--batch-size", "4", "--samples", "4"),
        *("--rules", "stbp", "--repeats", "1"),
    ),
    "evaluate": (
        *("--attack", "AutoPGD(max_iter=1)", "--eps", "0.1,0.2"),
        *("--samples", "8", "--batch-size", "2"),
    ),
}


def words(name: str) -> tuple[str, ...]:
    """The command on the network as it lies in the folder."""
    return (name, "--model", "mine.py:build", *COMMANDS[name], *SAME)


@pytest.fixture(autouse=True)
def _folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    x, y = np.random.default_rng(0).random((24, 1, 4, 4), np.float32), np.arange(24) % 2
    write_arrays(Path("tiny.npz"), x_train=x[:16], y_train=y[:16], x_test=x[16:], y_test=y[16:])
    Path("mine.py").write_text(NETWORK)


@pytest.mark.parametrize("name", COMMANDS)
def test_results_of_an_edited_file_are_refused_and_kept_and_the_same_file_goes_on(name):
    succeed(*words(name))
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    Path("mine.py").write_text(EDITED)
    assert "--output: expected a" in complain(*words(name))
    assert {path: path.read_bytes() for path in before} == before
    Path("mine.py").write_text(NETWORK)
    succeed(*words(name))


def test_processes_that_have_different_code_do_not_work_on_one_evaluation(monkeypatch):
    monkeypatch.setattr(ProcessGroup, "gather", lambda self, thing: [thing, "that of another"])
    expected = "--model: expected the same in every process, got several."
    assert expected in complain(*words("evaluate"))


def test_a_network_that_cuts_gradients_is_a_complaint_about_the_model():
    Path("mine.py").write_text(NETWORK.replace("x * 1.0", "x.detach()"))
    expected = "--model: expected a network through which gradients pass, got one that cuts them ("
    assert f"error: {expected}element 0 of" in complain(*words("evaluate"))


def test_a_network_in_bfloat16_is_evaluated_and_known_again():
    Path("mine.py").write_text(NETWORK.replace("4, 4))", "4, 4)).to(torch.bfloat16)"))
    for _ in range(2):
        succeed(*words("evaluate"))


@pytest.mark.parametrize(
    ("old", "line", "told"),
    [
        ("return x * 1.0", 'raise IndexError("my own bug")', "got mine.py:build (my own bug)"),
        ("torch.manual_seed(0)", 'open("weights.pt")', "No such file or directory: 'weights.pt'"),
        ("torch.manual_seed(0)", "LIF(decay=7)", "decay: expected a number"),
    ],
)
def test_a_complaint_about_code_of_the_user_names_its_line(old, line, told):
    source = NETWORK.replace(old, line)
    Path("mine.py").write_text(source)
    complaint = complain(*words("evaluate"))
    number = source[: source.index(line)].count("\n") + 1
    assert told in complaint
    assert f"({Path('mine.py').resolve()}, line {number}: {line})" in complaint


SEEN = "no equations of neurons can be used: expected neurons that all fire 3 times, got lif2"
TINY = ("--device", "cpu", "--data", "tiny.npz", "--batch-size", "4", "--model")


@pytest.mark.filterwarnings("ignore:no equations of neurons can be used")
def test_a_network_with_learnt_delays_is_inspected_evaluated_and_trained_without_an_option():
    model = adapted.own(Path(), "delayed", classes=2)
    text = succeed("inspect", *TINY, model, "--output", "seen")
    assert text.count("stbp, native, pdsg, assg") == 2  # Of both layers of neurons.
    found = read_result(Path("seen", "inspect.json"))
    assert SEEN in found["settings"]["equations"]
    applies = {name for name, one in found["rules"].items() if one["vanished"] is not None}
    assert applies == {"stbp", "native", "pdsg", "assg"}
    assert SEEN in found["rules"]["rga"]["objection"]

    attack = ("--eps", "0.1", "--samples", "4", "--attack", "pgd(max_iter=1)", "--output", "out")
    succeed("evaluate", *TINY, model, *attack)
    evaluation = evaluation_in(Path("out"))
    (note,) = [one for one in evaluation.findings if one.id == "exchanged-slopes"]
    assert SEEN in note.sentence
    adversarial = ("--epochs", "1", "--attack", "pgd(max_iter=1)", "--eps", "0.1")
    text = succeed("train", *TINY, model, *adversarial, "--output", "trained")
    assert "by STBP" in text


MIXING = """
from tests.interop.neurons import Steps
from tests.interop.test_qkformer import QKFormer

def build():
    return QKFormer(Steps)
"""


@pytest.mark.parametrize("name", ["inspect", "evaluate", "compare"])
def test_a_bare_model_that_mixes_samples_takes_them_one_at_a_time_and_says_so(name):
    Path("mine.py").write_text(MIXING)
    options = {
        "inspect": ("--rules", "stbp,rga"),
        "evaluate": ("--attack", "pgd(max_iter=1)", "--eps", "0.1", "--samples", "2"),
        "compare": (*COMMANDS["compare"][:4], "--rules", "stbp", "--repeats", "1"),
    }
    x, y = np.random.default_rng(0).random((16, 1, 6, 6), np.float32), np.arange(16) % 3
    write_arrays(Path("six.npz"), x_train=x, y_train=y, x_test=x, y_test=y)
    words = (name, "--model", "mine.py:build", "--data", "six.npz", "--device", "cpu")
    words += options[name]
    assert "batch_size=1" in complain(*words, "--batch-size", "4", "--output", "four")
    succeed(*words, "--batch-size", "1", "--output", "one")


def test_a_plan_of_which_one_stage_has_the_only_gradient_is_an_open_finding(tmp_path):
    counts(tmp_path / "counts.npz")
    frames = {k: v > 1 if k[0] == "x" else v for k, v in np.load("counts.npz").items()}
    np.savez(tmp_path / "frames.npz", **frames)
    model = adapted.own(tmp_path, "compiled", shape=(3, 2, 4, 4))
    evaluate = ("evaluate", "--samples", "4", "--batch-size", "4", "--value-range", "0,1")
    evaluate += ("--data", "frames.npz", "--model", model)
    strict = ("--eps", "3", "--norm", "0", "--strict", "--plan", "ensemble-19", "--output", "out")
    done = call(*evaluate, *strict)
    assert done.status == 4, done.stderr
    found = evaluation_in(Path("out"))
    assert ("ensemble-19", "few-gradients") in [(one.about, one.id) for one in found.findings]
    assert found.provenance.rules == {"native": "Native()"}
    complaint = complain(*evaluate, "--plan", "fast", "--rules", "stbp", "--output", "other")
    assert complaint.startswith("art-snn evaluate: error: --rules: expected one that suits")
    assert "Take --rules native: the network has its own gradient." in complaint
