"""The network under attack: built from a seed, trained once, loaded from then on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn import LIF, SpikingNetwork, checkpoint
from art_snn.checkpoint import CheckpointError
from art_snn.data import Dataset
from art_snn.encoders import Direct, Frames, Poisson
from art_snn.evaluation import subject as module
from art_snn.evaluation.subject import Subject, of_checkpoint
from art_snn.models import MODELS
from tests.conftest import varied

SMALL = Subject(steps=2, epochs=2)


def images(
    name: str = "tiny", shape: tuple[int, int, int] = (1, 4, 4), classes: int = 3
) -> Dataset:
    draw = np.random.default_rng(varied())
    x = draw.random((6, *shape), dtype=np.float32)
    y = np.arange(6) % classes
    return Dataset(name, x, y, x[:2], y[:2])


def weights(network: SpikingNetwork) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, for reading only."""
    folder = tmp_path_factory.mktemp("subject") / "new"
    SMALL.train(SMALL.build(images()), images(), folder)
    return folder


def no_training(*_: Any, **__: Any) -> None:
    raise AssertionError("trained although a network was kept")


def test_the_weights_follow_from_the_seed_and_torch_s_random_state_is_left():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = weights(SMALL.build(images()))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert same(one, weights(SMALL.build(images())))
    assert not same(one, weights(Subject(steps=2, epochs=2, seed=1).build(images())))


@pytest.mark.parametrize(("name", "kind"), [("direct", Direct), ("poisson", Poisson)])
def test_the_network_is_the_one_that_the_options_and_the_data_describe(name, kind):
    wanted = Subject(model="vgg5", steps=3, decay=0.9, encoder=name)
    network = wanted.build(images(shape=(3, 4, 6), classes=5))
    assert network.encoder == kind(3)
    assert {m.dynamics.decay for m in network.modules() if isinstance(m, LIF)} == {0.9}
    with torch.no_grad():
        assert network(torch.rand(2, 3, 4, 6)).shape == (2, 5)
    assert wanted.words() == f"vgg5, T = 3, decay 0.9, {name} encoding"


@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_the_subject_and_be_narrow(model):
    data = images(shape=(3, 4, 6), classes=5)
    wanted = Subject(model=model, steps=2, width=0.05)
    network = wanted.build(data)
    assert network.input_shape == (3, 4, 6)
    with torch.no_grad():
        assert network(torch.rand(2, 3, 4, 6)).shape == (2, 5)
    (first, *_) = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.out_channels == 3
    assert wanted.words() == f"{model} of width 0.05, T = 2, decay 0.5, direct encoding"


def test_a_network_noted_without_its_width_has_width_1(trained, tmp_path, monkeypatch):
    notes = checkpoint.notes(trained / "network.pt")
    del notes["subject"]["width"]
    network = SMALL.build(images())
    checkpoint.save(network, tmp_path / "network.pt", **notes)
    monkeypatch.setattr(module, "train", no_training)
    other = SMALL.build(images())
    torch.nn.init.zeros_(next(other.parameters()))
    SMALL.train(other, images(), tmp_path)
    assert same(weights(other), weights(network))
    assert of_checkpoint(tmp_path / "network.pt") == SMALL.on(images())
    narrow = Subject(**asdict(SMALL) | {"width": 0.5})
    with pytest.raises(CheckpointError, match=r"'width': 0\.5.* got one of \{.*'width': 1\.0"):
        narrow.train(narrow.build(images()), images(), tmp_path)


def test_training_leaves_the_network_and_its_notes_and_nothing_else(trained):
    assert [file.name for file in trained.iterdir()] == ["network.pt"]
    wanted = asdict(SMALL.on(images()))
    assert checkpoint.notes(trained / "network.pt") == {"subject": wanted, "data": "tiny"}
    assert (wanted["steps"], wanted["encoder"]) == (2, "direct")


def test_training_uses_the_training_samples_the_epochs_and_the_seed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        module, "train", lambda *given, resume: (calls.append((*given, resume)), resume.touch())
    )
    wanted, data = Subject(steps=2, epochs=7, seed=5), images()
    network = wanted.build(data)
    wanted.train(network, data, tmp_path)
    ((given, x, y, settings, state),) = calls
    assert given is network
    assert x is data.x_train
    assert y is data.y_train
    assert (settings.epochs, settings.seed) == (7, 5)
    assert state == tmp_path / "training.pt"


def test_a_network_that_was_kept_is_loaded_and_not_trained_again(trained, monkeypatch):
    monkeypatch.setattr(module, "train", no_training)
    network = SMALL.build(images())
    initial = weights(network)
    SMALL.train(network, images(), trained)
    assert not same(initial, weights(network))
    kept = SMALL.build(images())
    checkpoint.load(kept, trained / "network.pt")
    assert same(weights(kept), weights(network))


def test_trained_and_loaded_networks_are_both_ready_for_evaluation(trained, tmp_path):
    for folder in (trained, tmp_path):
        network = SMALL.build(images()).train()
        SMALL.train(network, images(), folder)
        assert not network.training


def test_an_interrupted_training_goes_on_after_its_last_epoch(trained, tmp_path):
    network, passes = SMALL.build(images()), iter(range(1, 100))

    def stop(module: Any, _: Any) -> None:
        # The look at one sample before the training is in evaluation mode.
        if module.training and next(passes) == 2:
            raise KeyboardInterrupt

    hook = network.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        SMALL.train(network, images(), tmp_path)
    hook.remove()
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    resumed = SMALL.build(images())
    epochs = []
    resumed.register_forward_pre_hook(lambda module, _: epochs.extend([1] * module.training))
    SMALL.train(resumed, images(), tmp_path)
    assert epochs == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]
    whole = SMALL.build(images())
    checkpoint.load(whole, trained / "network.pt")
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ({"epochs": 3}, "tiny"),
        ({"seed": 1}, "tiny"),
        ({"decay": 0.9}, "tiny"),
        ({"steps": 3}, "tiny"),
        ({"encoder": "poisson"}, "tiny"),
        ({"width": 0.5}, "tiny"),
        ({}, "others"),
    ],
)
def test_a_folder_with_a_network_of_other_settings_is_refused(change, data, trained, monkeypatch):
    monkeypatch.setattr(module, "train", no_training)
    wanted = Subject(**asdict(SMALL) | change)
    network = wanted.build(images())
    before = weights(network)
    message = (
        r"^output: expected a network of \{'subject': .*, got one of \{'subject': .*"
        r"in .*network\.pt\. Choose another folder, or delete that file to train anew"
    )
    with pytest.raises(CheckpointError, match=message):
        wanted.train(network, images(data), trained)
    assert same(before, weights(network))


def test_a_folder_with_weights_of_unknown_origin_is_refused(tmp_path):
    network = SMALL.build(images())
    torch.save(network.state_dict(), tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match=r"got one of \{'subject': None, 'data': None\}"):
        SMALL.train(network, images(), tmp_path)


def test_weights_of_a_file_are_loaded_for_evaluation(trained):
    network = SMALL.build(images()).train()
    SMALL.load(network, trained / "network.pt")
    kept = SMALL.build(images())
    checkpoint.load(kept, trained / "network.pt")
    assert same(weights(kept), weights(network))
    assert not network.training


def test_weights_that_do_not_fit_are_refused(trained):
    network = SMALL.build(images(classes=4))
    before = weights(network)
    message = r"^path: expected weights of this network, got a file that differs in .*shape \[3"
    with pytest.raises(CheckpointError, match=message):
        SMALL.load(network, trained / "network.pt")
    assert same(before, weights(network))


def test_a_missing_file_of_weights_is_reported_as_such(tmp_path):
    message = r"^path: expected a checkpoint file, but .*none\.pt does not exist"
    with pytest.raises(FileNotFoundError, match=message):
        SMALL.load(SMALL.build(images()), tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match=message):
        of_checkpoint(tmp_path / "none.pt")


def test_without_a_checkpoint_the_options_decide():
    assert of_checkpoint(None) == Subject()
    given = of_checkpoint(None, model=None, steps=3, decay=1.0, seed=0)
    assert given == Subject(steps=3, decay=1.0)


def test_a_checkpoint_says_which_network_it_holds_and_options_overrule_it(trained):
    path = trained / "network.pt"
    assert of_checkpoint(path) == SMALL.on(images())
    changed = Subject(steps=2, epochs=2, decay=0.9, encoder="direct")
    assert of_checkpoint(path, decay=0.9, steps=None) == changed


@pytest.mark.parametrize("noted", [None, "a string", {"colour": "red"}], ids=repr)
def test_notes_that_name_no_subject_leave_the_defaults(noted, tmp_path):
    notes = {} if noted is None else {"subject": noted}
    checkpoint.save(SMALL.build(images()), tmp_path / "network.pt", **notes)
    assert of_checkpoint(tmp_path / "network.pt", steps=4) == Subject(steps=4)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "words.pt").write_text("just words\n" * 20)
    with pytest.raises(CheckpointError, match=r"^path: expected a checkpoint written by"):
        of_checkpoint(tmp_path / "words.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "vgg7"},
            r"^model: expected one of vgg5, vgg11, vgg16, resnet17, .*, got 'vgg7'\. Networks",
        ),
        ({"encoder": "ttfs"}, r"^encoder: expected one of direct, poisson, frames, got 'ttfs'"),
    ],
)
def test_an_unknown_model_or_encoder_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Subject(**options)
    with pytest.raises(ValueError, match=message):
        of_checkpoint(None, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"^steps: expected a whole number >= 1, got 0"),
        ({"decay": 0.0}, r"^decay: expected a number above 0 and at most 1, got 0\.0"),
        ({"width": 0}, r"^width: expected a number above 0, got 0\. 1 gives"),
        ({"epochs": 0}, r"^epochs: expected a whole number >= 1, got 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_anything_is_written(
    options, message, tmp_path
):
    wanted = Subject(**options)
    with pytest.raises(ValueError, match=message):
        wanted.train(wanted.build(images()), images(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def frames(steps: int = 3) -> Dataset:
    x = np.random.default_rng(0).integers(0, 5, (6, steps, 2, 4, 6)).astype(np.float32)
    y = np.arange(6) % 3
    return Dataset("tiny events", x, y, x[:2], y[:2], value_range=None)


def test_event_frames_decide_the_steps_and_the_encoder():
    for wanted in (Subject(), Subject(steps=3), Subject(encoder="frames")):
        network = wanted.build(frames())
        assert network.encoder == Frames(3)
        with torch.no_grad():
            assert network(torch.tensor(frames().x_test)).shape == (2, 3)
        assert wanted.on(frames()) == Subject(steps=3, encoder="frames")
    assert Subject().on(frames()).words() == "vgg5, T = 3, decay 0.5, event frames"


def test_images_leave_the_steps_and_take_direct_encoding_unless_told_otherwise():
    assert Subject().on(images()) == Subject(steps=8, encoder="direct")
    chosen = Subject(steps=2, encoder="poisson")
    assert chosen.on(images()) == chosen
    assert Subject().words() == Subject().on(images()).words()


def test_a_network_on_event_frames_is_trained_noted_and_loaded(tmp_path, monkeypatch):
    wanted = Subject(epochs=1)
    network = wanted.build(frames())
    wanted.train(network, frames(), tmp_path)
    assert of_checkpoint(tmp_path / "network.pt") == Subject(epochs=1, steps=3, encoder="frames")
    monkeypatch.setattr(module, "train", no_training)
    again = wanted.build(frames())
    wanted.train(again, frames(), tmp_path)
    assert same(weights(network), weights(again))


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"encoder": "direct"}, frames(), r"^encoder: expected frames, since tiny events holds ev"),
        ({"encoder": "poisson"}, frames(), r"^encoder: .*event frames, got 'poisson'\. Leave it"),
        ({"steps": 8}, frames(), r"^steps: expected 3, the number of frames of tiny events, got 8"),
        (
            {"encoder": "frames"},
            images(),
            r"^encoder: expected direct or poisson, since tiny",
        ),
    ],
)
def test_steps_and_encoders_that_do_not_suit_the_data_are_refused(options, data, message):
    with pytest.raises(ValueError, match=message):
        Subject(**options).build(data)
