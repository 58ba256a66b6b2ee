"""Weights survive a round trip, and no bad file changes the network or runs code."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, SpikingNetwork, TimeDistributed as Timed
from art_snn.checkpoint import FORMAT, CheckpointError, load, notes, save
from art_snn.checks import ArgumentError
from tests.faults.flips import flipped, flips
from tests.networks import CLASSES, FORMS, layers


def small_network(hidden: int = 12) -> SpikingNetwork:
    if hidden == 12:
        return SpikingNetwork(layers(), FORMS["grey"].encode)
    narrow = nn.Sequential(
        Timed(nn.Conv2d(1, hidden, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(hidden * 16, CLASSES)),
    )
    return SpikingNetwork(narrow, FORMS["grey"].encode)


def weights(network: SpikingNetwork) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_weights_and_notes_survive_a_round_trip(tmp_path: Path) -> None:
    source, target = small_network(), small_network()
    assert not same(weights(source), weights(target))
    noted = {"accuracy": 0.97, "epochs": 3, "options": {"steps": 4, "names": ["a", "b"]}}
    save(source, tmp_path / "network.pt", **noted)
    assert load(target, tmp_path / "network.pt") == noted
    assert same(weights(source), weights(target))


def deeper(neurons: int) -> SpikingNetwork:
    """With so many layers of neurons in front of the last layer."""
    first, neuron, last = layers()
    return SpikingNetwork([first, neuron, *(LIF() for _ in range(neurons - 1)), last], lambda x: x)


@pytest.mark.parametrize(
    ("neurons", "remedy"),
    [
        (2, "It was saved from a network with one layer without weights more"),
        (3, "Build the network with the options it was saved with"),
    ],
)
def test_weights_of_a_network_with_one_layer_more_are_told_from_others(
    neurons: int, remedy: str, tmp_path: Path
) -> None:
    save(deeper(neurons), tmp_path / "network.pt")
    message = rf"layers\.2\.module\.2\.weight \(missing\); .*network\.pt\. {remedy}"
    with pytest.raises(CheckpointError, match=message):
        load(deeper(1), tmp_path / "network.pt")


def test_a_path_may_be_a_string_and_notes_may_be_absent(tmp_path: Path) -> None:
    source, target = small_network(), small_network()
    save(source, str(tmp_path / "network.pt"))
    assert load(target, str(tmp_path / "network.pt")) == {}
    assert same(weights(source), weights(target))


def test_buffers_are_saved_too(tmp_path: Path) -> None:
    def with_batch_norm() -> SpikingNetwork:
        body = [Timed(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), LIF(), Timed(nn.Flatten())]
        return SpikingNetwork(body, FORMS["grey"].encode)

    source, target = with_batch_norm(), with_batch_norm()
    source(torch.rand(8, 1, 8, 8))
    save(source, tmp_path / "network.pt")
    load(target, tmp_path / "network.pt")
    assert same(weights(source), weights(target))
    assert target.state_dict()["layers.0.module.1.num_batches_tracked"] == 1


def test_saving_leaves_no_other_file_and_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    save(small_network(), path, version=1)
    save(small_network(), path, version=2)
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]
    assert load(small_network(), path) == {"version": 2}


def test_an_interrupted_save_leaves_the_earlier_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network.pt"
    save(small_network(), path, version=1)

    def interrupted(content: Any, stream: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(small_network(), path, version=2)
    assert load(small_network(), path) == {"version": 1}


def test_a_plain_state_dict_is_accepted(tmp_path: Path) -> None:
    source, target = small_network(), small_network()
    torch.save(source.state_dict(), tmp_path / "network.pt")
    assert load(target, tmp_path / "network.pt") == {}
    assert same(weights(source), weights(target))


class _Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def truncated(path: Path) -> None:
    save(small_network(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pickle_of_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"network": _Code(path.parent / "was_run")}, protocol=2))


def torch_file_of_code(path: Path) -> None:
    torch.save({"network": _Code(path.parent / "was_run")}, path)


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "text": lambda path: path.write_text("no checkpoint, just words\n" * 20),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "pickle of code": pickle_of_code,
    "torch file of code": torch_file_of_code,
    "whole module": lambda path: torch.save(small_network(), path),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_checkpoint_is_refused_and_changes_nothing(kind: str, tmp_path: Path) -> None:
    path, network = tmp_path / "file.pt", small_network()
    before = weights(network)
    UNREADABLE[kind](path)
    with pytest.raises(CheckpointError, match=r"path: expected a checkpoint .*file\.pt.*save"):
        load(network, path)
    assert same(before, weights(network))
    assert not (tmp_path / "was_run").exists(), "code in the file was executed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), r"holds a Tensor\. Save the network's weights"),
        ([1, 2], r"holds a list"),
        ({}, r"differs in layers\.0\.module\.0\.weight \(missing\)"),
        ({"accuracy": 1.0}, r"accuracy \(unknown\)"),
    ],
)
def test_a_file_of_other_values_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    network = small_network()
    before = weights(network)
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=message):
        load(network, tmp_path / "file.pt")
    assert same(before, weights(network))


def test_weights_of_another_architecture_are_refused_and_named(tmp_path: Path) -> None:
    network = small_network()
    before = weights(network)
    save(small_network(hidden=6), tmp_path / "narrow.pt")
    message = r"differs in layers\.0\.module\.0\.weight \(shape \[6, 1, 3, 3\]\).*Build the network"
    with pytest.raises(CheckpointError, match=message):
        load(network, tmp_path / "narrow.pt")
    assert same(before, weights(network))


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_one_weight_too_few_or_too_many_is_named(change: str, tmp_path: Path) -> None:
    network = small_network()
    before = weights(network)
    content = weights(network)
    if change == "missing":
        del content["layers.2.module.2.bias"]
    else:
        content["extra"] = torch.zeros(1)
    torch.save(content, tmp_path / "file.pt")
    name = r"layers\.2\.module\.2\.bias" if change == "missing" else "extra"
    with pytest.raises(CheckpointError, match=rf"{name} \({change}\)"):
        load(network, tmp_path / "file.pt")
    assert same(before, weights(network))


def test_a_weight_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    network = small_network()
    before = weights(network)
    torch.save(before | {"layers.2.module.2.bias": "text"}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"layers\.2\.module\.2\.bias"):
        load(network, tmp_path / "file.pt")
    assert same(before, weights(network))


@pytest.mark.parametrize("content", [{}, {"network": [1, 2]}], ids=["no weights", "a list"])
def test_a_checkpoint_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save({"format": FORMAT, "notes": {}} | content, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="path: expected"):
        load(small_network(), tmp_path / "file.pt")


def test_an_accuracy_computed_by_numpy_survives_as_a_note(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "network.pt", accuracy=np.float64(0.5))
    assert load(small_network(), tmp_path / "network.pt") == {"accuracy": 0.5}


def test_a_missing_file_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"path: expected a checkpoint file, but .*does not"
    ):
        load(small_network(), tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", r"a checkpoint file, got .*, a folder\. Give a file"),
        ("pipe", r"a checkpoint file, got .*, a named pipe\. Give a file"),
        ("a\0b", r"a path that can be looked up, got .*null"),
        ("x" * 300, r"a path that can be looked up, got .*too long"),
    ],
    ids=["folder", "pipe", "null", "long"],
)
def test_what_can_be_no_file_is_refused(name: str, message: str, tmp_path: Path) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    with pytest.raises(ArgumentError, match=rf"^path: expected {message}"):
        load(small_network(), tmp_path / name)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    save(small_network(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    reason = "truncated or no checkpoint" if share < 0.01 else "which is cut off or damaged at its"
    with pytest.raises(CheckpointError, match=reason):
        load(small_network(), path)


def test_an_object_as_a_note_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "noted.pt"
    with pytest.raises(TypeError, match=r"^optimizer: expected a number, a string"):
        save(small_network(), path, optimizer=object())
    assert list(tmp_path.iterdir()) == []


def test_numpy_notes_come_back_as_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "noted.pt"
    save(
        small_network(), path, accuracy=np.float64(0.5), history=np.arange(3), nested={"a": (1, 2)}
    )
    noted = load(small_network(), path)
    assert noted == {"accuracy": 0.5, "history": [0, 1, 2], "nested": {"a": [1, 2]}}
    assert type(noted["accuracy"]) is float


def test_notes_are_read_without_a_network(tmp_path: Path) -> None:
    noted = {"accuracy": 0.97, "subject": {"model": "vgg5", "steps": 4}}
    save(small_network(), tmp_path / "network.pt", **noted)
    assert notes(tmp_path / "network.pt") == notes(str(tmp_path / "network.pt")) == noted


@pytest.mark.parametrize(
    "content",
    [{}, {"notes": {"a": 1}}, {"format": FORMAT}],
    ids=["a state dict", "another format", "no notes"],
)
def test_what_has_no_notes_gives_none(content: Any, tmp_path: Path) -> None:
    torch.save(weights(small_network()) | content, tmp_path / "file.pt")
    assert notes(tmp_path / "file.pt") == {}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_notes_of_what_is_no_checkpoint_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    UNREADABLE[kind](path)
    with pytest.raises(CheckpointError, match=r"path: expected a checkpoint .*file\.pt.*save"):
        notes(path)
    assert not (tmp_path / "was_run").exists(), "code in the file was executed"


def test_notes_of_a_missing_file_are_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"path: expected a checkpoint file, but .*does not"
    ):
        notes(tmp_path / "nowhere.pt")


def test_a_complaint_about_a_checkpoint_is_one_about_an_argument(tmp_path: Path) -> None:
    (tmp_path / "network.pt").write_text("just words")
    with pytest.raises(CheckpointError) as caught:
        notes(tmp_path / "network.pt")
    assert isinstance(caught.value, ArgumentError)
    assert caught.value.argument == "path"
    assert str(caught.value) == f"path: {caught.value.complaint}"


# damage, and content that no network of ours would leave


def test_every_flipped_bit_of_a_checkpoint_is_found_and_the_network_left_alone(
    tmp_path: Path,
) -> None:
    path, network = tmp_path / "network.pt", small_network()
    save(small_network(), path, accuracy=0.5)
    content, before = path.read_bytes(), weights(network)

    def unseen() -> bool:
        try:
            load(network, path)
        except CheckpointError:
            return False
        return True

    assert flips(path, content, unseen) == []
    assert same(before, weights(network))
    for call in (lambda: load(network, path), lambda: notes(path)):
        path.write_bytes(flipped(content, len(content) // 2, 3))
        with pytest.raises(CheckpointError, match=r"network\.pt, which is damaged: its checksum"):
            call()


def test_a_checkpoint_of_an_earlier_version_is_read_by_the_checksums_of_its_archive(
    tmp_path: Path,
) -> None:
    path, source, target = tmp_path / "network.pt", small_network(), small_network()
    torch.save({"format": FORMAT, "network": weights(source), "notes": {"epochs": 3}}, path)
    assert load(target, path) == {"epochs": 3}
    assert same(weights(source), weights(target))
    content = path.read_bytes()
    stored = next(iter(weights(source).values())).numpy().tobytes()
    path.write_bytes(flipped(content, content.index(stored) + 1, 2))
    with pytest.raises(CheckpointError, match=r"which is damaged in its part .*Take another copy"):
        load(target, path)
    assert same(weights(source), weights(target))


BIAS = "layers.2.module.2.bias"
ODD: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": lambda bias: bias.to_sparse(),
    "meta": lambda bias: bias.to("meta"),
    "NaN": lambda bias: bias.index_fill(0, torch.tensor([1]), float("nan")),
    "infinite": lambda bias: bias.index_fill(0, torch.tensor([1]), float("inf")),
    "complex": lambda bias: bias.to(torch.complex64),
    "quantised": lambda bias: torch.quantize_per_tensor(bias, 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:.*TypedStorage.*")
@pytest.mark.parametrize("kind", ODD)
def test_weights_without_plain_finite_values_are_refused_and_named(
    kind: str, tmp_path: Path
) -> None:
    network = small_network()
    before = weights(network)
    torch.save(before | {BIAS: ODD[kind](before[BIAS])}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        load(network, tmp_path / "file.pt")
    assert same(before, weights(network))


def test_a_buffer_of_minus_infinity_that_the_network_has_itself_is_no_damage(
    tmp_path: Path,
) -> None:
    def masked(value: float) -> SpikingNetwork:
        network = small_network()
        network.register_buffer("mask", torch.tensor([0.0, value]))
        return network

    save(masked(-np.inf), tmp_path / "network.pt")
    load(masked(-np.inf), tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match=r"mask \(NaN or infinity\)"):
        load(masked(1.0), tmp_path / "network.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_of_weights_that_are_not_finite_is_not_saved(
    value: float, tmp_path: Path
) -> None:
    network = small_network()
    with torch.no_grad():
        network.get_parameter(BIAS)[0] = value
    with pytest.raises(ValueError, match=rf"^network: expected .* got NaN or infinity in {BIAS}"):
        save(network, tmp_path / "network.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "noted",
    [[1], torch.zeros(2), {"a": torch.zeros(2)}, {"a": {"b": [torch.float32]}}, None, "words"],
    ids=["list", "tensor", "a tensor inside", "a dtype inside", "none", "text"],
)
def test_notes_that_are_none_are_refused_and_the_network_is_left_alone(
    noted: Any, tmp_path: Path
) -> None:
    path, network = tmp_path / "file.pt", small_network()
    before = weights(network)
    other = weights(small_network())
    torch.save({"format": FORMAT, "network": other, "notes": noted}, path)
    for call in (lambda: notes(path), lambda: load(network, path)):
        with pytest.raises(CheckpointError, match=r"file\.pt, which holds notes that are none \("):
            call()
    assert same(before, weights(network))
