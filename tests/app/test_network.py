"""The network that a command line names: its weights, its notes, its words, and what is refused."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn import checkpoint
from art_snn.app.architecture import Architecture
from art_snn.app.network import ResolvedNetwork, random_samples, resolve_network
from art_snn.app.settings import Compare
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError
from art_snn.data import Source
from tests.command import python
from tests.datasets import halves
from tests.interop import adapted
from tests.own import own
from tests.zoo.server import serving

COMMIT = 40 * "a"
NOTED = {"model": "vgg5", "width": 0.05, "steps": 2, "decay": 0.9, "epochs": 3, "seed": 0}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a small network with the notes that art-snn train writes."""
    form = {k: NOTED[k] for k in ("model", "width", "steps", "decay")}
    network = Architecture(**form).build_for(halves(), seed=5)
    path = tmp_path / "network.safetensors"
    checkpoint.save(network, path, subject=NOTED, training="3 epochs")
    return path


def resolve(**options: Any) -> ResolvedNetwork:
    return resolve_network(Compare(**options))


def test_a_checkpoint_says_which_network_it_holds_and_options_overrule_it(weights):
    data = halves()
    subject = resolve(checkpoint=weights)
    settled = subject.settle(data)
    form = {"width": 0.05, "steps": 2, "decay": 0.9, "encoder": "direct"}
    assert form.items() <= settled.given.items()
    words = "vgg5 of width 0.05, T = 2, decay 0.9, direct encoding on halves"
    assert subject.describe(data) == words
    assert subject.training == "3 epochs"
    longer = resolve(checkpoint=weights, steps=5, encoder="poisson")
    given = longer.settle(data).given
    assert (given["steps"], given["encoder"]) == (5, "poisson")
    assert longer.describe(data).endswith("on halves; its weights were trained with steps 2")


def test_a_classifier_has_the_weights_the_value_range_and_evaluation_mode(weights):
    data, subject = halves(), resolve(checkpoint=weights)
    classifier = subject.classifier(data, "cpu")
    expected = subject.settle(data).build_for(data, seed=5).state_dict()
    found = classifier.model.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert tuple(map(float, classifier.clip_values)) == (0.0, 1.0)
    assert not classifier.model.training
    other = replace(subject, checkpoint=weights.with_name("other.pt"))
    with pytest.raises(FileNotFoundError):
        other.classifier(data, "cpu")


def test_weights_of_a_pinned_revision_come_from_a_repository_and_no_other_file(weights, tmp_path):
    head = {"X-Repo-Commit": COMMIT, "ETag": '"1"'}
    files = {"deep.safetensors": weights.read_bytes(), "deep.py": b"raise SystemExit"}
    words = f"inspect --model hf:owner/nets/deep@{COMMIT} --data digits --rules stbp --batch-size 2"
    with serving(files, head) as server:
        place = {"HF_ENDPOINT": server.address.removesuffix("/zoo"), "HF_HOME": str(tmp_path)}
        place |= {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        output = ("--output", str(tmp_path / "out"))
        other = python("-m", "art_snn", *words.replace("deep", "none").split(), *output, **place)
        assert other.status == 2
        expected = "--model: expected none.safetensors in owner/nets at that commit, got none ("
        assert expected in other.complaint
        done = python("-m", "art_snn", *words.split(), *output, **place)
    assert done.status == 2
    assert "differs in" in done.complaint
    assert server.asked["deep.safetensors"] == 2
    assert "deep.py" not in server.asked
    # A commit never changes: what was fetched needs no connection.
    again = python("-m", "art_snn", *words.split(), *output, **place)
    assert again.complaint == done.complaint


def test_the_package_of_the_repositories_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ArgumentError, match=r"^model: expected the package .* pip install hugg"):
        resolve(model=f"hf:owner/nets/deep@{COMMIT}")


def test_without_a_connection_and_without_the_file_the_complaint_says_so(tmp_path):
    place = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    words = f"inspect --model hf:owner/nets/deep@{COMMIT}"
    done = python("-m", "art_snn", *words.split(), "--output", str(tmp_path / "out"), **place)
    assert done.status == 2
    assert "deep.safetensors in owner/nets at that commit, got none (" in done.complaint


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        *((name, True) for name in ("EntryNotFoundError", "HFValidationError")),
        *((kind, False) for kind in (OSError, TypeError, KeyError)),
    ],
)
def test_only_what_is_not_there_is_a_complaint_about_the_model(error, refused, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    if refused:
        failure = getattr(import_module("huggingface_hub.errors"), error)("on purpose")
    else:
        failure = error("on purpose")

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(ArgumentError if refused else error) as caught:
        resolve(model=f"hf:owner/nets/deep@{COMMIT}")
    assert refused or caught.value is failure


@pytest.mark.parametrize("kind", ["steps", "step"])
def test_the_state_dict_of_a_bare_model_is_a_checkpoint(kind, tmp_path):
    model, data = adapted.own(tmp_path, kind, classes=2), halves()
    network = resolve(model=model).build(data)
    inner = {k.removeprefix("layers."): v + 1 for k, v in network.state_dict().items()}
    torch.save(inner, tmp_path / "bare.pt")
    loaded = resolve(model=model, checkpoint=tmp_path / "bare.pt").build(data).state_dict()
    assert all(torch.equal(loaded[f"layers.{name}"], tensor) for name, tensor in inner.items())


def test_recordings_are_cut_into_as_many_frames_as_there_are_steps(tmp_path):
    for data, frames in (("nmnist", 16), ("cifar10", None), ("counts.npz", None)):
        subject = resolve(model="vgg5", checkpoint=tmp_path, data=data, steps=16)
        assert subject.source.frames == frames


@pytest.mark.parametrize("noted", [None, "a string", {"colour": "red"}], ids=repr)
def test_notes_that_name_no_subject_leave_the_defaults(noted, tmp_path):
    checkpoint.save(Architecture().build_for(halves()), tmp_path / "n.safetensors", subject=noted)
    assert resolve(checkpoint=tmp_path / "n.safetensors").settle(halves()).model == "vgg5"


@pytest.mark.parametrize(
    ("noted", "reason"),
    [
        ({"model": "nope"}, "expected one of vgg5"),
        ({"decay": 7}, "decay: expected"),
        ({"model": "mine.py:build"}, "the function that builds the network, since no checkpoint"),
    ],
)
def test_notes_of_a_network_that_there_cannot_be_are_refused(noted, reason, tmp_path):
    checkpoint.save(Architecture().build_for(halves()), tmp_path / "n.safetensors", subject=noted)
    with pytest.raises(ArgumentError, match=reason):
        resolve(checkpoint=tmp_path / "n.safetensors").build(halves())


NONE = ("a/b/c", "a/b/c@main", f"a/b@{COMMIT}", f"a/b/../c@{COMMIT}", "a/b/c@1a2b3c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "^model: expected a network with weights, got none. Take --model zoo:digits-plain"),
        ({"model": "vgg5"}, "^checkpoint: expected the weights of the network, got vgg5 without"),
        ({"model": "nope", "checkpoint": Path("n.safetensors")}, "^model: expected one of vgg5"),
        ({"model": f"hf:a/b/c@{COMMIT}", "checkpoint": Path("n.pt")}, "^checkpoint: expected None"),
        *(({"model": f"hf:{name}"}, "^model: expected hf:OWNER/REPO/NAME@COMMIT") for name in NONE),
        ({"model": "vgg5", "checkpoint": Path("n.pt"), "readout": "sum"}, "^readout: .*None"),
    ],
)
def test_a_network_without_weights_or_with_options_that_it_lacks_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        resolve(**options)


def test_weights_that_do_not_fit_and_data_of_one_class_are_refused(weights):
    with pytest.raises(CheckpointError, match=r"^path: expected weights of this network"):
        ResolvedNetwork(Architecture(width=1), weights, Source()).build(halves())
    alike = halves(y_train=0 * halves().y_train, y_test=0 * halves().y_test)
    with pytest.raises(ArgumentError, match=r"^data: expected samples of two classes or more"):
        resolve(checkpoint=weights).classifier(alike)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_of_a_function_that_are_not_finite_are_refused(value, tmp_path):
    model, end = own(tmp_path), "    return SpikingNetwork("
    file = Path(model.rpartition(":")[0])
    line = f"    layers[0].module[1].bias.data.fill_(float('{value}'))\n"
    file.write_text(file.read_text().replace(end, line + end, 1))
    with pytest.raises(ArgumentError, match=r"^model: expected"):
        resolve(model=model).build(halves())


def test_random_samples_have_the_form_of_the_network(tmp_path):
    x, y = random_samples(Architecture(width=0.05), 4, channels=2, image_size=8)
    assert (x.shape, y.shape, y.sum()) == ((4, 2, 8, 8), (4, 10), 4)
    own_model = Architecture(model=own(tmp_path, (2, 5, 5), 7))
    x, y = random_samples(own_model, 3)
    assert (x.shape, y.shape) == ((3, 2, 5, 5), (3, 7))
    with pytest.raises(ArgumentError, match=r"^channels: expected 2, which .* takes, got 3"):
        random_samples(own_model, 3, channels=3)


IMAGES = """
from torch import nn
from art_snn import LIF, Direct, Frames, SpikingNetwork, TimeDistributed

def images(channels=1, encoder=None):
    stem = TimeDistributed(nn.Conv2d(channels, 2, 3, padding=1), nn.AvgPool2d(2))
    head = TimeDistributed(nn.Flatten(), nn.Linear(2 * 10**2, 5))
    return SpikingNetwork([stem, LIF(), head], encoder or Direct(2))

def events():
    return images(2, Frames())
"""


def test_a_network_without_input_shape_is_refused_by_the_flags_that_give_it(tmp_path):
    (tmp_path / "mine.py").write_text(IMAGES)
    mine = str(tmp_path / "mine.py")
    frames, model = (Architecture(model=f"{mine}:{name}") for name in ("events", "images"))
    remedy = r"Give --channels \(3\) and --image-size"
    for sizes, got in (({}, "None"), ({"image_size": 21}, r"3x21x21 \(.*\)")):
        with pytest.raises(ArgumentError, match=rf"^image_size: .* got {got}\. {remedy}"):
            random_samples(model, 2, **sizes)
    x, y = random_samples(model, 2, channels=1, image_size=21)
    assert (x.shape, y.shape) == ((2, 1, 21, 21), (2, 5))
    assert random_samples(frames, 2, channels=2, image_size=20)[0].shape == (2, 8, 2, 20, 20)
