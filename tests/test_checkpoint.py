"""Weights survive a round trip, and no bad file changes the network or runs code."""

import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from art_snn import LIF, SpikingNetwork, TimeDistributed as Timed
from art_snn.checkpoint import CheckpointError, load, notes, save
from art_snn.checks import ArgumentError
from tests.architectures import same, weights
from tests.classifiers import FORMS, layers
from tests.damage import flipped, flips
from tests.interop import adapted

BIAS = "layers.2.module.2.bias"
NUMPY = {"accuracy": np.float64(0.5), "history": np.arange(3), "of": {"a": (1, 2)}}
PLAIN = {"accuracy": 0.5, "history": [0, 1, 2], "of": {"a": [1, 2]}}


def small_network() -> SpikingNetwork:
    return SpikingNetwork(layers(), FORMS["grey"].encode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.safetensors"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file of torch.save."""
    return tmp_path / "weights.pt"


@contextmanager
def refused(match: str, *, network: SpikingNetwork | None = None) -> Iterator[SpikingNetwork]:
    """A CheckpointError in the block, which leaves the network as it was."""
    network = network or small_network()
    before = weights(network)
    with pytest.raises(CheckpointError, match=match):
        yield network
    assert same(before, weights(network))


@pytest.mark.parametrize(("noted", "read"), [({}, {}), (NUMPY, PLAIN)])
@pytest.mark.parametrize("kind", [Path, str])
def test_weights_buffers_and_notes_survive_a_round_trip_as_plain_values(noted, read, kind, path):
    def with_batch_norm() -> SpikingNetwork:
        body = [Timed(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), LIF(), Timed(nn.Flatten())]
        return SpikingNetwork(body, FORMS["grey"].encode)

    source, target = with_batch_norm(), with_batch_norm()
    source(torch.rand(8, 1, 8, 8))
    assert not same(weights(source), weights(target))
    save(source, kind(path), **noted)
    assert load(target, kind(path)) == notes(kind(path)) == read
    assert same(weights(source), weights(target))
    assert target.state_dict()["layers.0.module.1.num_batches_tracked"] == 1
    assert type(notes(path).get("accuracy", 0.0)) is float
    content = path.read_bytes()
    save(target, path, **noted)
    assert (path.read_bytes(), list(path.parent.iterdir())) == (content, [path])


def test_a_tilde_is_the_home_folder_of_saving_and_of_reading(path, monkeypatch):
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(path.parent))
    source, target = small_network(), small_network()
    save(source, f"~/{path.name}", accuracy=0.5)
    assert load(target, f"~/{path.name}") == notes(f"~/{path.name}") == notes(path)
    assert same(weights(source), weights(target))


def test_weights_that_others_saved_are_read_from_both_kinds_of_files(path, foreign):
    source = small_network()
    save_file(source.state_dict(), path)
    torch.save(weights(source), foreign)
    for file in (path, foreign):
        target = small_network()
        assert load(target, file) == notes(file) == {}
        assert same(weights(source), weights(target))


LIGHTNING = {"pytorch-lightning_version": "2.5", "epoch": 3, "hyper_parameters": {"beta": 0.9}}
WRAPPED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Lightning": lambda w: LIGHTNING | {"state_dict": {f"model.{n}": w[n] for n in w}},
    "without a prefix": lambda w: LIGHTNING | {"state_dict": w},
    "SpikingJelly's scripts": lambda w: {"net": w, "optimizer": {"state": {}}, "epoch": 3},
    "compiled": lambda w: {f"_orig_mod.{n}": w[n] for n in w},
    "its model in it": lambda w: {"state_dict": {f"net.{n[7:]}": w[n] for n in w}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_lie_in_a_checkpoint_of_lightning_and_under_a_prefix(kind, tmp_path):
    source, target = adapted.network(), adapted.network()
    torch.save(WRAPPED[kind](weights(source)), tmp_path / "last.ckpt")
    for weight in target.parameters():
        weight.data.zero_()
    assert load(target, tmp_path / "last.ckpt") == notes(tmp_path / "last.ckpt") == {}
    assert same(weights(source), weights(target))


def test_a_prefix_that_some_names_lack_and_objects_are_refused(foreign):
    content = weights(small_network())
    some = {n if "0" in n else f"model.{n}": content[n] for n in content}
    torch.save({"state_dict": some}, foreign)
    with refused(r"differs in .*\(missing\).* Build the network") as network:
        load(network, foreign)
    torch.save(LIGHTNING | {"state_dict": content, "callbacks": Path("x")}, foreign)
    with refused(r"cannot be read .* Save the weights alone: torch\.save") as network:
        load(network, foreign)


class _Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def code(path: Path) -> dict[str, _Code]:
    return {"network": _Code(path.parent / "was_run")}


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("no checkpoint, just words\n" * 20),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "pickle of code": lambda path: path.write_bytes(pickle.dumps(code(path), protocol=2)),
    "torch file of code": lambda path: torch.save(code(path), path),
    "whole module": lambda path: torch.save(small_network(), path),
    "tensor": lambda path: torch.save(torch.zeros(3), path),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("name", ["network.safetensors", "weights.pt"])
def test_what_is_no_checkpoint_is_refused_and_changes_nothing(kind, name, tmp_path):
    path = tmp_path / name
    UNREADABLE[kind](path)
    with refused(rf"path: expected a checkpoint .*{name}, which .*[Ss]ave ") as network:
        load(network, path)
    with pytest.raises(CheckpointError, match=rf"path: expected a checkpoint .*{name}") as error:
        notes(path)
    assert isinstance(error.value, ArgumentError)
    assert not (path.parent / "was_run").exists(), "code in the file was executed"


ODD: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    rf"{BIAS} \(shape \[3\]\).*Build the net": lambda c: c.update({BIAS: torch.zeros(3)}),
    rf"{BIAS} \(missing": lambda content: content.pop(BIAS),
    r"layers\.0\.module\.0\.weight \(missing\)": lambda content: content.clear(),
    r"extra \(unknown": lambda content: content.update(extra=torch.zeros(1)),
    rf"{BIAS} \(str": lambda content: content.update({BIAS: "text"}),
    rf"{BIAS} \(no tensor of plain": lambda c: c.update({BIAS: c[BIAS].to_sparse()}),
    rf"{BIAS} \(no tensor of plain values": lambda c: c.update({BIAS: c[BIAS].to("meta")}),
    rf"{BIAS} \(NaN": lambda content: content[BIAS].__setitem__(1, float("nan")),
    rf"{BIAS} \(NaN or infinity": lambda content: content[BIAS].__setitem__(1, float("inf")),
    rf"{BIAS} \(torch\.complex64": lambda c: c.update({BIAS: c[BIAS].to(torch.complex64)}),
    BIAS: lambda c: c.update({BIAS: torch.quantize_per_tensor(c[BIAS], 0.1, 0, torch.qint8)}),
}


@pytest.mark.filterwarnings(
    "ignore:.*quantiz.*", "ignore:.*TypedStorage.*", "ignore:Validating sparse tensor invariants"
)
@pytest.mark.parametrize("message", ODD)
def test_weights_that_do_not_fit_are_named(message, foreign):
    content = weights(small_network())
    ODD[message](content)
    torch.save(content, foreign)
    with refused(rf"differs in .*{message}") as network:
        load(network, foreign)


def test_a_file_cut_anywhere_or_with_a_flipped_bit_is_refused(path, foreign):
    source = small_network()
    save(source, path, decay=0.5)
    torch.save(weights(source), foreign)
    for file in (path, foreign):
        content = file.read_bytes()
        for share in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99):
            file.write_bytes(content[: int(share * len(content))])
            with refused(rf"{file.name}, which (holds no tensors|is damaged|cannot be)") as network:
                load(network, file)
    stored = next(iter(weights(source).values())).numpy().tobytes()
    foreign.write_bytes(flipped(content, content.index(stored) + 1, 2))
    with refused(r"which is damaged in its part .*Take another copy", network=source):
        load(source, foreign)


def test_no_flipped_bit_of_a_checkpoint_changes_weights_or_notes(path):
    network = small_network()
    save(network, path, decay=0.5, model="cnn4")
    content, before = path.read_bytes(), weights(network)

    def unseen() -> bool:
        try:
            return load(network, path) != {"decay": 0.5, "model": "cnn4"}
        except (CheckpointError, OSError):
            return False

    header = int.from_bytes(content[:8], "little")
    places = flips(path, content[: header + 8], unseen, 1) + flips(path, content, unseen)
    assert places == []
    path.write_bytes(content)
    load(network, path)
    assert same(before, weights(network))


def test_a_buffer_of_minus_infinity_that_the_network_has_itself_is_no_damage(path):
    def masked(value: float) -> SpikingNetwork:
        network = small_network()
        network.register_buffer("mask", torch.tensor([0.0, value]))
        return network

    save(masked(-np.inf), path)
    load(masked(-np.inf), path)
    with pytest.raises(CheckpointError, match=r"mask \(NaN or infinity\)"):
        load(masked(1.0), path)


def test_objects_as_notes_weights_that_are_not_finite_and_other_names_are_not_saved(path):
    network = small_network()
    with pytest.raises(TypeError, match=r"^optimizer: "):
        save(network, path, optimizer=object())
    with pytest.raises(ValueError, match=r"^path: .*\.safetensors"):
        save(network, path.with_suffix(".pt"))
    for value in (float("nan"), float("inf")):
        with torch.no_grad():
            network.get_parameter(BIAS)[0] = value
        with pytest.raises(ValueError, match=rf"^network: .*{re.escape(BIAS)}"):
            save(network, path)
    assert list(path.parent.iterdir()) == []
    for call in (lambda: load(network, path), lambda: notes(path)):
        with pytest.raises(FileNotFoundError, match=r"path: .*not"):
            call()
