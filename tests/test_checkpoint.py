"""Weights survive a round trip, and no bad file changes the network or runs code."""

from __future__ import annotations

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
from art_snn.checkpoint import FORMAT, CheckpointError, load, notes, save
from art_snn.checks import ArgumentError
from tests.faults.damage import flipped
from tests.networks import FORMS, layers
from tests.tiny import same, weights

BIAS = "layers.2.module.2.bias"
NOTES = {"accuracy": 0.97, "epochs": 3, "options": {"steps": 4, "names": ["a", "b"]}}


def small_network() -> SpikingNetwork:
    return SpikingNetwork(layers(), FORMS["grey"].encode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.pt"


@contextmanager
def refused(match: str, *, network: SpikingNetwork | None = None) -> Iterator[SpikingNetwork]:
    """A CheckpointError in the block, which leaves the network as it was."""
    network = network or small_network()
    before = weights(network)
    with pytest.raises(CheckpointError, match=match):
        yield network
    assert same(before, weights(network))


NUMPY = {"accuracy": np.float64(0.5), "history": np.arange(3), "of": {"a": (1, 2)}}
PLAIN = {"accuracy": 0.5, "history": [0, 1, 2], "of": {"a": [1, 2]}}


@pytest.mark.parametrize(("noted", "read"), [(NOTES, NOTES), ({}, {}), (NUMPY, PLAIN)])
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


def test_a_save_replaces_the_earlier_file(path):
    for version in (1, 2):
        save(small_network(), path, version=version)
        assert list(path.parent.iterdir()) == [path]
        assert load(small_network(), path) == {"version": version}


@pytest.mark.parametrize("content", [{}, {"notes": {"a": 1}}, {"format": FORMAT}], ids=repr)
def test_what_has_no_notes_gives_none(content, path):
    source, target = small_network(), small_network()
    torch.save(weights(source) | content, path)
    assert notes(path) == {}
    if not content:
        assert load(target, path) == {}
        assert same(weights(source), weights(target))


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
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_checkpoint_is_refused_and_changes_nothing(kind, path):
    UNREADABLE[kind](path)
    with refused(r"path: expected a checkpoint .*network\.pt.*save") as network:
        load(network, path)
    with pytest.raises(CheckpointError, match=r"path: expected a checkpoint .*\.pt") as error:
        notes(path)
    assert isinstance(error.value, ArgumentError)
    assert str(error.value) == f"{error.value.argument}: {error.value.complaint}"
    assert not (path.parent / "was_run").exists(), "code in the file was executed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), r"holds a Tensor\. Save the network's weights"),
        ([1, 2], r"holds a list"),
        ({}, r"differs in layers\.0\.module\.0\.weight \(missing\)"),
        ({"accuracy": 1.0}, r"accuracy \(unknown\)"),
        ({"format": FORMAT, "notes": {}}, "holds no weights"),
        ({"format": FORMAT, "notes": {}, "network": [1, 2]}, "holds no weights"),
    ],
)
def test_a_file_of_other_values_is_refused(content, message, path):
    torch.save(content, path)
    with refused(message) as network:
        load(network, path)


ODD: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    rf"{BIAS} \(shape \[3\]\).*Build the net": lambda c: c.update({BIAS: torch.zeros(3)}),
    rf"{BIAS} \(missing": lambda content: content.pop(BIAS),
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
def test_weights_that_are_missing_unknown_misshapen_or_no_plain_finite_values_are_named(
    message, path
):
    content = weights(small_network())
    ODD[message](content)
    torch.save(content, path)
    with refused(message) as network:
        load(network, path)


def test_a_file_cut_anywhere_or_with_a_flipped_bit_is_refused(path):
    save(small_network(), path, accuracy=0.5)
    content = path.read_bytes()
    size = len(content)
    bad = {content[: int(share * size)]: "cut off or" for share in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99)}
    for damaged, words in (bad | {flipped(content, size // 2, 3): "damaged: its checksum"}).items():
        path.write_bytes(damaged)
        with refused(rf"network\.pt, which is {words}") as network:
            load(network, path)
        with pytest.raises(CheckpointError, match=rf"network\.pt, which is {words}"):
            notes(path)


def test_a_checkpoint_without_a_checksum_is_read_by_those_of_its_archive(path):
    source, target = small_network(), small_network()
    torch.save({"format": FORMAT, "network": weights(source), "notes": {"epochs": 3}}, path)
    assert load(target, path) == {"epochs": 3}
    assert same(weights(source), weights(target))
    content = path.read_bytes()
    stored = next(iter(weights(source).values())).numpy().tobytes()
    path.write_bytes(flipped(content, content.index(stored) + 1, 2))
    with refused(r"which is damaged in its part .*Take another copy", network=target):
        load(target, path)


def test_a_buffer_of_minus_infinity_that_the_network_has_itself_is_no_damage(path):
    def masked(value: float) -> SpikingNetwork:
        network = small_network()
        network.register_buffer("mask", torch.tensor([0.0, value]))
        return network

    save(masked(-np.inf), path)
    load(masked(-np.inf), path)
    with pytest.raises(CheckpointError, match=r"mask \(NaN or infinity\)"):
        load(masked(1.0), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_objects_as_notes_and_weights_that_are_not_finite_are_not_saved(value, path):
    network = small_network()
    with pytest.raises(TypeError, match=r"^optimizer: expected a number, a string"):
        save(network, path, optimizer=object())
    with torch.no_grad():
        network.get_parameter(BIAS)[0] = value
    with pytest.raises(ValueError, match=rf"^network: expected .* got NaN or infinity in {BIAS}"):
        save(network, path)
    assert list(path.parent.iterdir()) == []
    for call in (lambda: load(network, path), lambda: notes(path)):
        with pytest.raises(FileNotFoundError, match=r"path: expected a checkpoint file, but .*not"):
            call()


@pytest.mark.parametrize(
    "noted",
    [[1], torch.zeros(2), {"a": torch.zeros(2)}, {"a": {"b": [torch.float32]}}, None, "words"],
    ids=["list", "tensor", "a tensor inside", "a dtype inside", "none", "text"],
)
def test_notes_that_are_none_are_refused_and_the_network_is_left_alone(noted, path):
    torch.save({"format": FORMAT, "network": weights(small_network()), "notes": noted}, path)
    with refused(r"network\.pt, which holds notes that cannot be read \(") as network:
        load(network, path)
    with pytest.raises(CheckpointError, match="holds notes that cannot be read"):
        notes(path)


def test_a_file_of_safetensors_holds_weights_and_notes_and_is_the_same_each_time(tmp_path):
    path, source, target = tmp_path / "network.safetensors", small_network(), small_network()
    save(source, path, **NUMPY)
    first = path.read_bytes()
    assert load(target, path) == notes(path) == PLAIN
    assert same(weights(source), weights(target))
    save(target, path, **NUMPY)
    assert path.read_bytes() == first


def test_a_file_of_safetensors_by_others_is_a_plain_state_dict(tmp_path):
    path, source, target = tmp_path / "network.safetensors", small_network(), small_network()
    save_file(source.state_dict(), path)
    assert load(target, path) == notes(path) == {}
    assert same(weights(source), weights(target))
    del (state := dict(source.state_dict()))[BIAS]
    save_file(state, path)
    with refused(rf"differs in {re.escape(BIAS)} \(missing\)") as network:
        load(network, path)


@pytest.mark.parametrize("place", [0, 9, -9])
def test_a_damaged_file_of_safetensors_is_refused(place, tmp_path):
    path = tmp_path / "network.safetensors"
    save(small_network(), path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with refused("which (holds no tensors that can be read|is damaged)") as network:
        load(network, path)
    path.write_bytes(content[: len(content) // 2])
    with refused("which holds no tensors that can be read") as network:
        load(network, path)
