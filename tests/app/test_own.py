"""Networks of the user's own: results belong to their code, and what cannot work is refused."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from art_snn.app.evaluate.store import Store
from art_snn.files import write_arrays
from art_snn.measuring import process
from art_snn.team import Team
from tests.app.test_resumed import measured
from tests.command import call, forbidden, interrupted
from tests.faults.results import differences, results

NETWORK = """
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed
from scale import SCALE


class Scaled(nn.Module):
    def forward(self, x):
        return x * SCALE


def build():
    layers = [TimeDistributed(nn.Flatten(), nn.Linear(16, 8)), LIF()]
    layers += [TimeDistributed(nn.Linear(8, 2)), Scaled()]
    return SpikingNetwork(layers, Direct(2), input_shape=(1, 4, 4))
"""
SAME = ("--device", "cpu", "--threads", "1", "--output", "out", "--data", "tiny.npz")
ATTACK = ("--eps", "0.1", "--iterations", "1", "--batch-size", "4", "--samples", "4")
COMMANDS = {
    "train": ("--epochs", "1", "--batch-size", "4"),
    "harden": ("--epochs", "1", "--batch-size", "4", "--iterations", "1"),
    "compare": (*ATTACK, "--rules", "stbp", "--repeats", "1"),
    "sweep": (*ATTACK, "--rule", "rga", "--field", "beta", "--values", "1"),
    "curves": ("--epochs", "1", "--pairs", "20", "--layer", "0"),
    "evaluate": (
        *("--attack", "AutoPGD", "--attack-options", "max_iter=1", "--eps", "0.1"),
        *("--samples", "8", "--block", "2", "--batch-size", "2", "--examined", "0"),
    ),
}


def run(name: str, *more: str):
    """The command on the network as it lies in the folder; its modules are read anew."""
    sys.modules.pop("scale", None)
    return call(name, "--model", "mine.py:build", *COMMANDS[name], *SAME, *more)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    x, y = np.random.default_rng(0).random((24, 1, 4, 4), np.float32), np.arange(24) % 2
    write_arrays(Path("tiny.npz"), x_train=x[:16], y_train=y[:16], x_test=x[16:], y_test=y[16:])
    Path("mine.py").write_text(NETWORK)
    Path("scale.py").write_text("SCALE = 1.0\n")


@pytest.mark.parametrize("name", ["compare", "sweep", "curves", "evaluate"])
def test_a_network_has_the_weights_that_its_function_gives_unless_epochs_are_asked_for(
    name, monkeypatch
):
    untrained = COMMANDS[name][2 * (name == "curves") :]  # It is the only one that has epochs.
    monkeypatch.setitem(COMMANDS, name, untrained)
    assert run(name, "--epochs", "1", "--output", "trained").status == 0
    (weights,) = Path("trained").rglob("network.safetensors")
    monkeypatch.setattr(torch.optim.Adam, "step", forbidden)
    done = run(name)
    assert done.status == 0, done.stderr
    assert "mine.py:build, T = 2, direct encoding on tiny" in done.stdout
    assert not list(Path("out").rglob("network*"))
    assert run(name, "--checkpoint", str(weights), "--output", "loaded").status == 0
    expected = results(Path("trained"))
    wanted = {
        file: content
        for file, content in expected.items()
        if not file.endswith((".pt", ".safetensors"))
    }
    assert differences(results(Path("loaded")), wanted) == ""


@pytest.mark.parametrize(
    "words",
    [
        ("cost", "--batch-size", "2", "--repeats", "1", "--model"),
        ("inspect", "--rules", "stbp", "--model"),
        ("scaling", "--steps", "2,4", "--samples", "2", "--batch-size", "2", "--models"),
    ],
)
def test_random_samples_are_of_the_shape_that_the_network_takes(words, monkeypatch):
    monkeypatch.setattr(process, "in_fresh_process", measured)
    done = call(*words, "mine.py:build", "--output", "out")
    assert done.status == 0, done.stderr
    assert "mine.py:build" in done.stdout
    assert "1x4x4" in done.stdout


def edited(file: str) -> None:
    """Another text of one of the two files."""
    text = {"mine.py": NETWORK.replace("x * SCALE", "x * -SCALE"), "scale.py": "SCALE = -1.0\n"}
    Path(file).write_text(text[file])


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_another_code_is_refused_and_the_same_code_goes_on(name):
    assert run(name).status == 0
    before = contents()
    edited("mine.py")
    done = run(name)
    assert (done.status, done.stdout) == (2, "")
    assert re.search(r"--output: expected .* (other settings,|neurons( or|,)) code", done.stderr)
    assert contents() == before
    Path("mine.py").write_text(NETWORK)
    assert run(name).status == 0


@pytest.mark.parametrize("name", ["compare", "sweep", "evaluate"])
def test_a_network_that_was_trained_first_is_not_taken_up_by_another_code(name):
    assert run(name, "--epochs", "1").status == 0
    edited("mine.py")
    done = run(name, "--epochs", "1")
    assert (done.status, done.stdout) == (2, "")
    assert "network.safetensors, which has other layers, neurons or code" in done.stderr


def test_what_the_file_imports_from_its_folder_is_code_of_it():
    assert run("evaluate").status == 0
    edited("scale.py")
    done = run("evaluate")
    assert (done.status, done.stdout) == (2, "")
    assert "evaluation.json of other settings, code, weights or samples" in done.stderr


def test_an_evaluation_that_was_stopped_does_not_go_on_with_another_code(monkeypatch):
    put, written = Store.put, []

    def stopping(self, *given):
        put(self, *given)
        written.append(given[0])
        if len(written) == 2:
            interrupted()

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", stopping)
        assert run("evaluate").status == 130
    edited("mine.py")
    done = run("evaluate")
    assert (done.status, done.stdout) == (2, "")
    assert "with blocks of other settings, code, weights or samples" in done.stderr
    Path("mine.py").write_text(NETWORK)
    assert run("evaluate").status == 0


def test_processes_that_have_different_code_do_not_work_on_one_evaluation(monkeypatch):
    monkeypatch.setattr(Team, "gather", lambda self, thing: [thing, "that of another"])
    done = run("evaluate")
    assert (done.status, done.stdout) == (2, "")
    assert "--model: expected the same code in every process, got several." in done.stderr


ODD = """
import torch

class Extra(nn.Module):
    def forward(self, x):
        return x

    def get_extra_state(self):
        return {"a": 1}


class Cut(Extra):
    get_extra_state = nn.Module.get_extra_state

    def forward(self, x):
        return x.detach()


def odd(layer):
    network = build()
    network.layers.insert(1, layer)
    return network


def extra():
    return odd(Extra())


def cut():
    return odd(Cut())


def lazy():
    return odd(TimeDistributed(nn.LazyLinear(8)))


def sparse():
    network = build()
    weight = next(network.parameters())
    linear = network.layers[0].get_submodule("module.1")
    linear.weight = nn.Parameter(weight.detach().to_sparse())
    return network


def half():
    return build().to(torch.bfloat16)


def failing():
    raise KeyError("a bug of the user's")


def late():
    class Late(nn.Module):
        def forward(self, x):
            raise KeyError("another")

    return odd(Late())
"""


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("extra", "dense tensors, got mine.py:extra, whose layers.1._extra_state"),
        ("lazy", "dense tensors, got mine.py:lazy, whose layers.1.module.0.weight is without a"),
        ("sparse", "whose layers.0.module.1.weight is a sparse, quantized or meta tensor"),
        ("cut", "a network through which gradients pass, got one that cuts them (element 0 of"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "harden"])
def test_a_network_that_no_command_can_work_with_is_a_complaint_about_the_model(
    command, name, complaint
):
    Path("mine.py").write_text(NETWORK + ODD)
    done = run(command, "--model", f"mine.py:{name}")
    assert (done.status, done.stdout) == (2, "")
    assert "error: --model: expected a network" in done.stderr
    assert complaint in done.stderr


def test_a_network_in_bfloat16_is_evaluated_and_known_again():
    Path("mine.py").write_text(NETWORK + ODD)
    for _ in range(2):
        done = run("evaluate", "--model", "mine.py:half")
        assert done.status == 0, done.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before 3.11")
@pytest.mark.parametrize("name", ["failing", "late", "text"])
def test_an_error_of_the_user_keeps_its_traceback_and_says_whose_code_it_is(name):
    Path("mine.py").write_text("def text(:" if name == "text" else NETWORK + ODD)
    with pytest.raises((KeyError, SyntaxError)) as caught:
        run("evaluate", "--model", f"mine.py:{name}")
    note = f"It was raised by the code of mine.py:{name}, which --model names."
    assert caught.value.__notes__ == [note]


def test_an_evaluation_whose_folder_is_removed_meanwhile_says_so(monkeypatch):
    collect = Store.collect

    def removing(self, *given):
        shutil.rmtree("out")
        collect(self, *given)

    monkeypatch.setattr(Store, "collect", removing)
    done = run("evaluate")
    assert (done.status, done.stdout) == (74, "")
    assert "out/blocks/attack-0-0.json is gone: something removed it." in done.stderr
