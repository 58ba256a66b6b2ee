"""The list of the zoo, and its networks in commands: their weights, data, records and training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from art_snn.app.network import resolve_network
from art_snn.app.settings import Compare
from art_snn.checks import ArgumentError
from art_snn.metrics import Share
from art_snn.zoo import Standard
from art_snn.zoo.entry import MANIFEST, from_text
from art_snn.zoo.networks import VARIABLE
from tests.command import call
from tests.zoo.shelf import added, tool

NAME = "zoo:small-plain"
RECORD = Standard(8 / 255, "inf", "1101", True, Share(1, 4), "1")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one network with a record, in the present folder."""
    added(tmp_path)
    folder = tmp_path / "zoo"
    file = folder / MANIFEST
    zoo = from_text(file.read_text("utf-8"), file)
    records = (RECORD, replace(RECORD, eps=1.5, norm="2", certified=None))
    changed = zoo._replace(networks=(replace(zoo.networks[0], standard=records),))
    file.write_text(tool.as_text(changed), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def settings(tmp_path: Path, **options) -> Compare:
    return Compare(output=tmp_path / "out", **{"model": NAME} | options)


@pytest.mark.usefixtures("shelf")
def test_the_list_has_a_row_per_network_and_budget():
    done = call("zoo")
    assert (done.status, done.stderr) == (0, "")
    head, first, second = done.stdout.strip().splitlines()
    assert head.split()[:4] == ["network", "data", "training", "T"]
    assert first.split()[:2] == ["small-plain", "pictures"]
    assert first.split("  ")[-3:] == ["8/255 (inf)", "at most 75.0 %", "at least 25.0 %"]
    assert "1.5 (2)" in second


def test_a_network_brings_its_architecture_its_weights_its_data_and_its_training(shelf, tmp_path):
    subject = resolve_network(settings(tmp_path))
    data = subject.load_data()
    assert subject.checkpoint == shelf / "small-plain.safetensors"
    assert (data.name, data.input_shape, len(data.x_test)) == ("pictures", (1, 4, 6), 24)
    settled = subject.settle(data)
    assert (settled.model, settled.width, settled.steps) == ("cnn4", 0.1, 8)
    assert subject.entry.standard[0] == RECORD
    assert subject.training == subject.entry.training
    assert subject.classifier(data, "cpu").predict(data.x_test).shape == (24, 3)


def test_data_that_are_named_and_other_steps_come_first(shelf, tmp_path):
    subject = resolve_network(settings(tmp_path, data=str(tmp_path / "pictures.npz"), steps=3))
    assert subject.settle(subject.load_data()).steps == 3
    assert subject.entry is None


def test_complaints_name_the_option(shelf, tmp_path):
    with pytest.raises(ArgumentError, match=r"^checkpoint: expected None next to zoo:small-plain"):
        resolve_network(settings(tmp_path, checkpoint=tmp_path / "weights.safetensors"))
    done = call("inspect", "--model", "zoo:smal-plain")
    assert done.status == 2
    assert (
        "error: --model: expected one of small-plain, got 'smal-plain'. art-snn zoo" in done.stderr
    )
    (shelf / "small-plain.safetensors").write_bytes(b"")
    done = call("inspect", "--model", NAME)
    assert (done.status, "error: --model: expected the file of the" in done.stderr) == (2, True)
    for command in ("train", "cost"):
        done = call(command, "--model", NAME, "--device", "cpu", "--quiet")
        assert (done.status, done.stdout) == (2, "")
        assert f"--model: expected a model to build, got {NAME}" in done.stderr


def test_data_that_the_zoo_does_not_hold_are_to_be_made(tmp_path, monkeypatch):
    added(tmp_path, hold=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "zoo"))
    (tmp_path / "pictures.npz").unlink()
    done = call("compare", "--model", NAME, "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "--data: expected a .npz file, but" in done.stderr
