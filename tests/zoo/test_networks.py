"""Networks of the zoo by their names: what they are, their classifiers and their samples."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch

from art_snn import zoo
from art_snn.checks import ArgumentError, MissingFile
from art_snn.data import Source
from art_snn.zoo import networks as places
from art_snn.zoo.entry import MANIFEST
from tests.zoo.shelf import SMALL, added, training

NAME = "small-plain"


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A zoo of one network in the folder that ART_SNN_ZOO names."""
    added(tmp_path)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def test_a_network_has_its_weights_and_is_ready_to_classify(shelf, tmp_path):
    assert zoo.names() == [NAME]
    network, x = zoo.load_network(NAME), torch.rand(5, 1, 4, 6)
    assert not network.training
    same = SMALL.build_for(Source(data=str(tmp_path / "pictures.npz")).load()).eval()
    with torch.no_grad():
        assert torch.equal(network(x), same(x))
    entry = zoo.entry(NAME)
    with pytest.raises(FrozenInstanceError):
        entry.name = "other"  # type: ignore[misc]


def test_the_classifier_knows_the_values_of_its_data_and_the_samples_are_its_input(shelf):
    classifier, (x, y) = zoo.classifier(NAME, device="cpu"), zoo.samples("pictures")
    assert (x.shape, x.dtype, y.dtype) == ((24, 1, 4, 6), np.float32, np.int64)
    assert tuple(map(float, classifier.clip_values)) == (0.0, 1.0)
    assert (classifier.input_shape, classifier.nb_classes) == ((1, 4, 6), 3)
    right = int((classifier.predict(x).argmax(1) == y).sum())
    assert right == zoo.entry(NAME).clean_first.count


@pytest.mark.parametrize("call", [zoo.entry, zoo.load_network, zoo.classifier, zoo.samples])
def test_an_unknown_name_is_refused_with_those_that_there_are(call, shelf):
    with pytest.raises(ArgumentError, match=r"^name: expected one of .*got 'xyz'\. art-snn zoo "):
        call("xyz")


def test_data_that_the_zoo_does_not_hold_are_to_be_fetched(tmp_path, monkeypatch):
    added(tmp_path, hold=False)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "zoo"))
    assert len(zoo.samples("pictures")[0]) == 24
    file = tmp_path / "zoo" / MANIFEST
    content = json.loads(file.read_text("utf-8"))
    content["data"][0]["options"] = {"data": "cifar10", "root": str(tmp_path / "none")}
    file.write_text(json.dumps(content), encoding="utf-8")
    wanted = r"^data: expected cifar10 in .*download=True"
    with pytest.raises(MissingFile, match=wanted):
        zoo.samples("pictures")


def test_frames_of_events_keep_their_counts_and_their_range(tmp_path, monkeypatch):
    rng, path = np.random.default_rng(0), tmp_path / "frames.npz"
    x, y = rng.integers(0, 4, (6, 3, 2, 8, 8)).astype(np.uint8), np.arange(6) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    source = Source(data=str(path), value_range=(0.0, 3.0))
    options = json.dumps({"data": str(path), "value_range": [0, 3]})
    added(tmp_path, "events", folder=training(tmp_path / "t", source), data="nm", options=options)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "zoo"))
    assert np.array_equal(zoo.samples("nm")[0], x.astype(np.float32))
    classifier = zoo.classifier("events", device="cpu")
    assert tuple(map(float, classifier.clip_values)) == (0.0, 3.0)
    assert (classifier.input_shape, classifier.model.body.steps) == ((3, 2, 8, 8), 3)


def test_a_file_of_other_bytes_is_refused_where_it_lies(shelf):
    file = shelf / f"{NAME}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ArgumentError, match=r"^zoo: expected the file .* with other bytes\. Take"):
        zoo.load_network(NAME)


def test_a_folder_that_is_no_zoo_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    with pytest.raises(MissingFile, match=r"^ART_SNN_ZOO: expected the manifest of a zoo"):
        zoo.names()


def test_the_folder_that_is_named_comes_before_the_checkout(shelf, monkeypatch):
    monkeypatch.delenv(places.VARIABLE)
    assert "digits-at" in zoo.names()
