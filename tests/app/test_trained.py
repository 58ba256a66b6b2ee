"""The network under attack: built from a seed, trained once, loaded from then on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from art_snn import checkpoint
from art_snn.app import trained as module
from art_snn.app.trained import Trained, decay_label, folder_of
from art_snn.checkpoint import CheckpointError
from art_snn.data import Dataset
from art_snn.models import DEFAULTS, Architecture
from tests.command import forbidden
from tests.faults.damage import flipped
from tests.own import own
from tests.tiny import frames, images, same, weights

SMALL = Trained(architecture=Architecture(steps=2), epochs=2)
FILE, MINE = Path("network.safetensors"), Architecture(model="mine.py:build")


def small(*, epochs: int | None = 2, **options: Any) -> Trained:
    """SMALL with other settings."""
    return Trained(architecture=Architecture(**{"steps": 2} | options), epochs=epochs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, for reading only."""
    folder = tmp_path_factory.mktemp("trained") / "new"
    SMALL.obtain(SMALL.build(images()), images(), folder)
    return folder


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained in this test."""
    monkeypatch.setattr(module, "train", forbidden)


def test_training_leaves_the_network_and_its_notes_and_nothing_else(trained):
    assert [file.name for file in trained.iterdir()] == ["network.safetensors"]
    wanted = dict(DEFAULTS) | {"steps": 2, "epochs": 2, "seed": 0, "train_dtype": None}
    notes = checkpoint.notes(trained / "network.safetensors")
    assert {"subject": wanted, "data": "tiny", "recipe": None}.items() <= notes.items()
    assert set(notes) == {"subject", "data", "recipe", "samples", "layers"}


@pytest.mark.usefixtures("untrained")
def test_a_network_of_other_training_samples_or_layers_is_not_taken_up(trained, tmp_path):
    data, network = images(), SMALL.build(images())
    more = replace(data, x_train=np.concatenate([data.x_train[1:], data.x_test[:1]]))
    with pytest.raises(CheckpointError, match=r"'samples': .* got one of "):
        SMALL.obtain(network, more, trained)
    other = SMALL.build(data)
    other.layers[1].dynamics = replace(other.layers[1].dynamics, decay=0.75)
    with pytest.raises(CheckpointError, match=r"'layers': .* got one of "):
        SMALL.obtain(other, data, trained)
    notes = checkpoint.notes(trained / "network.safetensors")
    # A recipe that is noted is not the plain one.
    checkpoint.save(
        network, tmp_path / "network.safetensors", **notes | {"recipe": "Recipe(epochs=2)"}
    )
    with pytest.raises(CheckpointError, match=r"'recipe': None.* got one of .*Recipe\(epochs=2\)"):
        SMALL.obtain(network, data, tmp_path)


@pytest.mark.parametrize(("epochs", "passes"), [(7, 7), (None, 10)])
def test_training_uses_the_training_samples_the_epochs_and_the_seed(
    epochs, passes, tmp_path, monkeypatch
):
    calls = []

    def keep(*given, resume, verbose):
        calls.append((*given, resume, verbose))
        resume.touch()

    monkeypatch.setattr(module, "train", keep)
    wanted, data = small(epochs=epochs), images()
    network = wanted.build(data, seed=5)
    wanted.obtain(network, data, tmp_path, seed=5, verbose=False)
    ((given, x, y, recipe, state, verbose),) = calls
    assert not verbose
    assert given is network
    assert x is data.x_train
    assert y is data.y_train
    assert (recipe.epochs, recipe.seed, recipe.optimizer) == (passes, 5, "adam")
    assert state == tmp_path / "training.pt"
    assert checkpoint.notes(tmp_path / "network.safetensors")["subject"]["epochs"] == passes


@pytest.mark.usefixtures("untrained")
def test_a_network_that_was_kept_is_loaded_and_not_trained_again(trained):
    network = SMALL.build(images())
    initial = weights(network)
    SMALL.obtain(network, images(), trained)
    assert not same(initial, weights(network))
    kept = SMALL.build(images())
    checkpoint.load(kept, trained / "network.safetensors")
    assert same(weights(kept), weights(network))


def test_trained_and_loaded_networks_are_both_ready_for_evaluation(trained, tmp_path):
    for folder in (trained, tmp_path):
        network = SMALL.build(images()).train()
        SMALL.obtain(network, images(), folder)
        assert not network.training


def test_an_interrupted_training_goes_on_after_its_last_epoch(trained, tmp_path):
    network, passes = SMALL.build(images()), iter(range(1, 100))

    def stop(module: Any, _: Any) -> None:
        # The look at one sample before the training is in evaluation mode.
        if module.training and next(passes) == 2:
            raise KeyboardInterrupt

    hook = network.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        SMALL.obtain(network, images(), tmp_path)
    hook.remove()
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    resumed = SMALL.build(images())
    epochs = []
    resumed.register_forward_pre_hook(lambda module, _: epochs.extend([1] * module.training))
    SMALL.obtain(resumed, images(), tmp_path)
    assert epochs == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["network.safetensors"]
    whole = SMALL.build(images())
    checkpoint.load(whole, trained / "network.safetensors")
    assert same(weights(whole), weights(resumed))


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("change", "seed", "data"),
    [
        *(({"epochs": 3}, 0, "tiny"), ({}, 1, "tiny"), ({"decay": 0.9}, 0, "tiny")),
        *(({"threshold": 0.5}, 0, "tiny"), ({"reset": "soft"}, 0, "tiny"), ({}, 0, "others")),
        *(({"steps": 3}, 0, "tiny"), ({"encoder": "poisson"}, 0, "tiny")),
        ({"width": 0.5}, 0, "tiny"),
    ],
)
def test_a_folder_with_a_network_of_other_settings_is_refused(change, seed, data, trained):
    wanted = small(**change)
    network = wanted.build(images(), seed)
    before = weights(network)
    message = (
        r"^output: expected a network of \{'subject': .*, got one of \{'subject': .*"
        r"in .*network\.safetensors\. Choose another folder, or delete that file to train anew"
    )
    with pytest.raises(CheckpointError, match=message):
        wanted.obtain(network, images(data), trained, seed)
    assert same(before, weights(network))


def test_the_precision_of_a_training_is_noted_told_and_refused_where_another_is_asked(
    trained, tmp_path
):
    mixed, data = replace(SMALL, train_dtype="bfloat16"), images()
    network, exact = mixed.build(data), SMALL.build(data)
    mixed.obtain(network, data, tmp_path)
    SMALL.obtain(exact, data, trained)
    assert not same(weights(network), weights(exact))
    subject = checkpoint.notes(tmp_path / "network.safetensors")["subject"]
    assert (subject["epochs"], subject["train_dtype"]) == (2, "bfloat16")
    loaded = Trained(checkpoint=tmp_path / "network.safetensors")
    assert loaded.as_dict(0)["train_dtype"] == "bfloat16"
    for one in (mixed, loaded):
        assert one.words(data).endswith("on tiny, trained in bfloat16")
    with pytest.raises(CheckpointError, match=r"^output: .*got one of .*'train_dtype': 'bfloat16'"):
        SMALL.obtain(exact, data, tmp_path)
    with pytest.raises(CheckpointError, match=r"^output: .*'train_dtype': 'bfloat16'.*got one of "):
        mixed.obtain(network, data, trained)


def test_a_folder_with_weights_of_unknown_origin_is_refused(tmp_path):
    network = SMALL.build(images())
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    with pytest.raises(CheckpointError, match=r"got one of \{'subject': None, 'data': None, "):
        SMALL.obtain(network, images(), tmp_path)


@pytest.mark.usefixtures("untrained")
def test_weights_of_a_file_are_loaded_for_evaluation_and_nothing_is_written(trained, tmp_path):
    network = SMALL.build(images()).train()
    Trained(checkpoint=trained / "network.safetensors").obtain(network, images(), tmp_path / "new")
    kept = SMALL.build(images())
    checkpoint.load(kept, trained / "network.safetensors")
    assert same(weights(kept), weights(network))
    assert not network.training
    assert list(tmp_path.iterdir()) == []


def test_a_kept_network_that_is_damaged_is_told_as_one_of_the_folder_and_left(trained, tmp_path):
    content = flipped((trained / "network.safetensors").read_bytes(), 3000, 2)
    (tmp_path / "network.safetensors").write_bytes(content)
    message = r"^output: .*network\.safetensors, which is damaged.*Without it the network is tr"
    with pytest.raises(CheckpointError, match=message):
        SMALL.obtain(SMALL.build(images()), images(), tmp_path)
    assert (tmp_path / "network.safetensors").read_bytes() == content


def test_weights_that_do_not_fit_are_refused(trained, tmp_path):
    network = SMALL.build(images(classes=4))
    before = weights(network)
    message = r"^path: expected weights of this network, got a file that differs in .*shape \[3"
    with pytest.raises(CheckpointError, match=message):
        Trained(checkpoint=trained / "network.safetensors").obtain(
            network, images(classes=4), tmp_path
        )
    assert same(before, weights(network))


def test_without_a_checkpoint_the_options_decide():
    assert Trained().on(images()).architecture == Architecture(**DEFAULTS)
    given = Trained(architecture=Architecture(steps=3, decay=1.0)).on(images()).architecture
    assert given == Architecture(**dict(DEFAULTS) | {"steps": 3, "decay": 1.0})


def test_a_checkpoint_says_which_network_it_holds_and_options_overrule_it(trained):
    path = trained / "network.safetensors"
    loaded = Trained(checkpoint=path)
    assert loaded.on(images()).architecture == SMALL.on(images()).architecture
    other = replace(loaded, architecture=Architecture(decay=0.9))
    changed = small(decay=0.9, encoder="direct").on(images())
    assert other.on(images()).architecture == changed.architecture
    assert loaded.words(images()) == "vgg5, T = 2, decay 0.5, direct encoding on tiny"
    assert other.words(images()) == (
        "vgg5, T = 2, decay 0.9, direct encoding on tiny; its weights were trained with decay 0.5"
    )


@pytest.mark.parametrize("noted", [None, "a string", {"colour": "red"}], ids=repr)
def test_notes_that_name_no_subject_leave_the_defaults(noted, tmp_path):
    notes = {} if noted is None else {"subject": noted}
    checkpoint.save(SMALL.build(images()), tmp_path / "network.safetensors", **notes)
    loaded = Trained(
        architecture=Architecture(steps=4), checkpoint=tmp_path / "network.safetensors"
    )
    wanted = Architecture(**dict(DEFAULTS) | {"steps": 4})
    assert loaded.on(images()).architecture == wanted


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        *(("width", 1e9), ("width", "wide"), ("width", -1), ("steps", "8"), ("steps", 10**30)),
        *(("decay", [0.5]), ("decay", 1e-300), ("reset", "none"), ("encoder", 3)),
        *(("model", "vgg6"), ("model", 5), ("model", ["vgg5"]), ("threshold", {"a": 1})),
    ],
    ids=repr,
)
def test_notes_of_a_network_that_there_cannot_be_are_refused_with_the_reason(name, noted, tmp_path):
    path = tmp_path / "network.safetensors"
    checkpoint.save(SMALL.build(images()), path, subject={name: noted})
    message = r"^path: expected a checkpoint that notes a network which can be built, got .*network"
    with pytest.raises(CheckpointError, match=rf"{message}\.safetensors \(.*{name}"):
        Trained(checkpoint=path).on(images())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"^epochs: expected a whole number >= 1, got 0"),
        ({"epochs": 3, "checkpoint": FILE}, r"^epochs: expected None next to a checkpoint, .*3\."),
        ({"train_dtype": "float16"}, r"^train_dtype: expected 'auto', 'bfloat16' or None, got 'fl"),
        ({"train_dtype": "auto", "checkpoint": FILE}, r"^train_dtype: .*not trained here.*'auto'"),
        ({"train_dtype": "bfloat16", "architecture": MINE}, r"^train_dtype: .*not trained here"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Trained(**options)


def test_a_network_on_event_frames_is_trained_noted_and_loaded(tmp_path, monkeypatch):
    wanted = Trained(epochs=1)
    network = wanted.build(frames())
    wanted.obtain(network, frames(), tmp_path)
    loaded = Trained(checkpoint=tmp_path / "network.safetensors").on(frames()).architecture
    assert loaded == Architecture(**dict(DEFAULTS) | {"steps": 3, "encoder": "frames"})
    monkeypatch.setattr(module, "train", forbidden)
    again = wanted.build(frames())
    wanted.obtain(again, frames(), tmp_path)
    assert same(weights(network), weights(again))


def test_a_classifier_has_the_range_of_the_data_and_needs_one():
    wrapped = SMALL.classifier(images(), "cpu", seed=1)
    assert wrapped.input_shape == (1, 4, 4)
    assert wrapped.nb_classes == 3
    assert [float(np.max(value)) for value in wrapped.clip_values] == [0, 1]
    assert same(weights(wrapped.model), weights(SMALL.build(images(), seed=1)))
    message = r"^value_range: expected the range that an attack may use, got None, for tiny events"
    with pytest.raises(ValueError, match=message):
        Trained().classifier(frames(), "cpu")


@pytest.fixture
def mine(tmp_path: Path) -> Architecture:
    """A function of one's own for the tiny images."""
    return Architecture(model=own(tmp_path, classes=3))


@pytest.mark.usefixtures("untrained")
def test_a_function_of_one_s_own_gives_its_weights_too(mine, tmp_path):
    wanted, folder = Trained(architecture=mine), tmp_path / "new"
    network = wanted.build(images()).train()
    before = weights(network)
    wanted.obtain(network, images(), folder)
    assert same(before, weights(network))
    assert not network.training
    assert not folder.exists()


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_of_a_function_of_one_s_own_that_are_not_finite_are_refused(value, tmp_path):
    model = own(tmp_path)
    (tmp_path / "mine.py").write_text(
        (tmp_path / "mine.py").read_text()
        + f"""

def broken():
    network = build()
    network.layers[0].module[1].bias.data[0] = float("{value}")
    return network
"""
    )
    network = Trained(architecture=Architecture(model=model.replace("build", "broken")))
    built = network.build(images(classes=2))
    message = r"^model: expected a network of finite weights, got NaN or infinity in layers\.0\.mod"
    with pytest.raises(ValueError, match=message):
        network.obtain(built, images(classes=2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_of_one_s_own_is_trained_where_epochs_are_told_noted_and_loaded(
    mine, tmp_path, monkeypatch
):
    wanted, folder = Trained(architecture=mine, epochs=2), tmp_path / "new"
    network = wanted.build(images())
    before = weights(network)
    wanted.obtain(network, images(), folder)
    assert not same(before, weights(network))
    noted = checkpoint.notes(folder / "network.safetensors")["subject"]
    assert (noted["model"], noted["epochs"], noted["width"]) == (mine.model, 2, None)
    monkeypatch.setattr(module, "train", forbidden)
    for again in (wanted, Trained(architecture=mine, checkpoint=folder / "network.safetensors")):
        other = again.build(images())
        again.obtain(other, images(), folder)
        assert same(weights(other), weights(network))
        assert again.words(images()) == f"{mine.model} on tiny"
    with pytest.raises(ValueError, match=r"^model: .* no checkpoint runs code, got None, for"):
        Trained(checkpoint=folder / "network.safetensors").on(images())


@pytest.mark.parametrize(
    ("decay", "words"), [(1, "1"), (1.0, "1"), (0.5, "0.5"), (0.1 + 0.2, "0.30000000000000004")]
)
def test_a_folder_is_named_after_the_whole_decay(decay, words):
    assert decay_label(decay) == words
    assert folder_of(Path("out"), decay) == Path("out") / f"decay-{words}"


def test_data_of_one_class_is_refused():
    x, y = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, np.int64)
    data = Dataset("one", x, y, x, y, value_range=(0.0, 1.0))
    with pytest.raises(ValueError, match="data: expected samples of two classes or more, got one"):
        Trained().classifier(data)
