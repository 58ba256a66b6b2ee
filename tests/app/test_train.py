"""Training from data to checkpoint: the files, the validation, the adversary, resumption."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from art_snn import STBP, checkpoint
from art_snn.app import train as module
from art_snn.app.architecture import Architecture
from art_snn.app.network import ResolvedNetwork
from art_snn.app.results import read_result
from art_snn.app.settings import Train
from art_snn.app.train import Training, train_network
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError
from art_snn.data import Source
from art_snn.metrics import Share
from art_snn.training import IBP, TRADES, Epoch, Recipe
from tests.command import call, complain, succeed
from tests.datasets import halves, halves_in_frames, images
from tests.interop import adapted
from tests.own import own

SMALL: dict[str, Any] = {"steps": 2, "epochs": 2, "batch_size": 8, "learning_rate": 0.02}
SMALL |= {"crop_padding": 1, "flip": True, "cutout": 1, "validation": 0.25, "device": "cpu"}
FILES = {"network.safetensors", "training.json", "training.md", "training.png", "training.pt"}
FGSM = {"attack": "fgsm", "eps": 0.1}


def settings(output: Path, **change: Any) -> Train:
    return Train(output=output, **SMALL | change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for reading only."""
    place = tmp_path_factory.mktemp("trained") / "new"
    train_network(settings(place), halves())
    return place


def test_it_writes_network_history_text_and_picture(folder):
    assert {file.name for file in folder.iterdir()} == FILES
    content = read_result(folder / "training.json")
    assert [epoch["number"] for epoch in content["history"]] == [1, 2]
    assert content["recipe"]["learning_rate"] == 0.02
    assert content["test_accuracy"]["total"] == 6
    rows = [line for line in (folder / "training.md").read_text().splitlines() if "|" in line]
    assert len(rows) == 4
    assert rows[1 + content["best_epoch"]].rstrip("| ").endswith("best")


def test_the_checkpoint_says_which_network_it_holds_and_how_it_was_trained(folder):
    data, path = halves(), folder / "network.safetensors"
    subject = ResolvedNetwork(Architecture(), path, Source())
    assert subject.settle(data) == Architecture(steps=2).fit_to(data)
    notes = checkpoint.notes(path)
    assert (notes["subject"]["epochs"], notes["subject"]["seed"]) == (2, 0)
    assert (notes["data"], notes["adversary"], notes["training"]) == ("halves", "", "2 epochs")
    with torch.no_grad():
        logits = subject.build(data)(torch.as_tensor(data.x_test))
    correct = (logits.argmax(1).numpy() == data.y_test).mean()
    assert notes["test_accuracy"] == pytest.approx(correct)


def test_training_and_validation_never_see_a_test_sample(folder, tmp_path):
    data = halves()
    train_network(settings(tmp_path), halves(x_test=1 - data.x_test, y_test=1 - data.y_test))
    one, other = (torch.load(p / "training.pt", weights_only=True) for p in (folder, tmp_path))
    assert one["history"] == other["history"]
    assert all(torch.equal(tensor, other["best"][name]) for name, tensor in one["best"].items())


def test_validation_samples_are_not_trained_on_and_the_seed_draws_them(monkeypatch, tmp_path):
    seen: list[Any] = []

    def noted(network: Any, x: np.ndarray, y: np.ndarray, *_: Any, **options: Any) -> list[Any]:
        weights = next(network.parameters()).detach().numpy().tobytes()
        held = options["validation"][0]
        seen.append(({s.tobytes() for s in x}, {s.tobytes() for s in held}, weights))
        return [Epoch(1, 1.0, 0.5)]

    monkeypatch.setattr(module, "train", noted)
    for number, seed in enumerate((0, 0, 1)):
        train_network(settings(tmp_path / str(number), seed=seed), halves())
    (rows, held, _), same, other = seen
    assert (len(rows), len(held)) == (12, 4)
    assert rows | held == {sample.tobytes() for sample in halves().x_train}
    assert seen[0] == same
    assert all(a != b for a, b in zip(seen[0][1:], other[1:], strict=True))


@pytest.mark.parametrize("value_range", [None, (0.0, 5.0)])
def test_event_frames_are_trained_on_with_and_without_a_value_range(value_range, tmp_path):
    data = halves_in_frames(value_range)
    train_network(settings(tmp_path, steps=None, epochs=1), data)
    subject = ResolvedNetwork(Architecture(), tmp_path / "network.safetensors", Source())
    settled = subject.settle(data).given
    assert (settled["steps"], settled["encoder"]) == (3, "frames")


def test_augmentation_that_is_left_open_fits_the_data_and_is_noted(tmp_path):
    open_ones = dict.fromkeys(("crop_padding", "flip", "cutout", "learning_rate"))
    result = train_network(settings(tmp_path, epochs=1, **open_ones), halves())
    noted = checkpoint.notes(tmp_path / "network.safetensors")["recipe"]
    assert noted.items() >= {"crop_padding": 0, "flip": False, "cutout": 0}.items()
    assert result.recipe == Recipe(**noted)


def test_a_network_of_another_kind_of_run_is_not_written_over(folder, tmp_path):
    (tmp_path / "network.safetensors").write_bytes((folder / "network.safetensors").read_bytes())
    message = r"^output: .*without a network.*no training\.pt\. Choose .*, or delete network\.safe"
    with pytest.raises(ArgumentError, match=message):
        train_network(settings(tmp_path), halves())


def test_a_network_of_the_user_is_trained_and_can_be_loaded(tmp_path):
    model, data = own(tmp_path), halves()
    result = train_network(settings(tmp_path / "new", model=model, steps=None), data)
    assert result.title == f"{model}, T = 3, direct encoding on halves"
    path = tmp_path / "new" / "network.safetensors"
    assert checkpoint.notes(path)["subject"]["model"] == model
    network = ResolvedNetwork(Architecture(model=model), path, Source()).build(data)
    with torch.no_grad():
        correct = (network(torch.as_tensor(data.x_test)).argmax(1).numpy() == data.y_test).mean()
    assert result.test.value == pytest.approx(correct)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 5, 5)}, r"^x: expected shape \[N, 1, 5, 5\], got \[1, 1, 4, 4\]\."),
        ({"classes": 5}, r"^model: expected logits of shape \[N, 2\], .*got \[1, 5\]"),
    ],
)
def test_a_network_of_the_user_that_does_not_fit_the_data_leaves_no_file(change, message, tmp_path):
    model = own(tmp_path, **change)
    with pytest.raises(ArgumentError, match=message):
        train_network(settings(tmp_path / "new", model=model, steps=None), halves())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["step", "steps", "compiled"])
def test_a_bare_model_is_trained_and_can_be_loaded(kind, here):
    images(here / "images.npz")
    model = adapted.own(here, kind)
    words = ("--epochs", "1", "--validation", "0.4", "--batch-size", "4", "--attack", "fgsm")
    succeed("train", *words, "--data", "images.npz", "--model", model, "--output", "out")
    found = checkpoint.load(adapted.network(kind), "out/network.safetensors")
    assert found["subject"]["model"] == model


@pytest.mark.parametrize(
    ("given", "settled"), [({}, "potential"), ({"readout": "spikes"}, "spikes")]
)
def test_a_model_that_returns_both_is_trained_on_potentials(given, settled, tmp_path):
    asked = settings(tmp_path / "new", model=adapted.own(tmp_path, "both", classes=2), **given)
    result = train_network(replace(asked, steps=None, epochs=1), halves())
    assert result.notes["subject"]["readout"] == settled


@pytest.mark.parametrize(
    ("mine", "given", "expected"),
    [
        (False, {}, ("sgd", 0.1)),
        (True, {}, ("adam", 0.01)),
        (True, {"optimizer": "sgd"}, ("sgd", 0.1)),
        (False, {"optimizer": "adam", "learning_rate": 0.02}, ("adam", 0.02)),
    ],
)
def test_the_optimizer_follows_from_the_network(mine, given, expected, tmp_path):
    model = {"model": own(tmp_path), "steps": None} if mine else {}
    usual: dict[str, Any] = {"learning_rate": None, "epochs": 1}
    result = train_network(settings(tmp_path / "new", **usual | model | given), halves())
    assert (result.recipe.optimizer, result.recipe.learning_rate) == expected


def test_a_training_starts_from_a_checkpoint_and_notes_it(folder, tmp_path):
    start = folder / "network.safetensors"
    asked = settings(tmp_path, checkpoint=start, steps=None, epochs=1, learning_rate=1e-9, **FGSM)
    result = train_network(asked, halves())
    notes, before = checkpoint.notes(tmp_path / "network.safetensors"), load_file(start)
    assert notes["training"] == "2 epochs, then adversarial training, 1 epoch"
    assert (notes["start"]["file"], notes["subject"]["steps"]) == (str(start), 2)
    words = f"Starts from {start}, weights {notes['start']['weights']}."
    assert words in " ".join(result.render().split())
    names = [name for name in before if name.endswith("weight")]
    after = load_file(tmp_path / "network.safetensors")
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in names)
    assert train_network(asked, halves()).history == result.history
    moved = tmp_path / "moved.safetensors"
    checkpoint.save(ResolvedNetwork(Architecture(), start, Source()).build(halves()), moved)
    assert train_network(replace(asked, checkpoint=moved, steps=2), halves()).test == result.test
    with pytest.raises(CheckpointError, match=r"^resume: .*got one of .* from the"):
        train_network(replace(asked, checkpoint=None, steps=2), halves())


def test_a_run_that_did_not_learn_says_so_and_keeps_everything(here):
    images(here / "images.npz")
    words = ("train", "--data", "images.npz", "--width", ".05", "--steps", "2", "--epochs", "4")
    words += ("--batch-size", "4", "--validation", "0.4", "--learning-rate", "1e-9")
    words += ("--threshold", "8")  # Few neurons fire, so that all classes are about as likely.
    done = call(*words, "--device", "cpu", "--output", "out")
    assert done.status == 5
    assert "so far it did not learn: the loss of epoch 2 is" in done.stderr
    assert "art-snn train: did not learn: the loss of epoch 4 is" in done.stderr
    assert "and guessing gives ln 3 = 1.099. Try another --learning-rate" in done.stderr
    assert {file.name for file in Path("out").iterdir()} == FILES


def test_torchrun_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "job", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    complaint = complain("train", "--output", str(tmp_path / "new" / "out"))
    words = "processes: expected a training in one process, got 4 that torchrun started. Start"
    assert f"{words} art-snn train without torchrun." in complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"attack": "pgd"}, {"attack": "pgd", "eps": 8 / 255}),
        ({"attack_rule": "stbp", **FGSM}, {"rule": STBP(), **FGSM}),
        ({"adversarial_share": 0.5, **FGSM}, {"share": 0.5}),
        ({"defence": "trades(beta=2)"}, {"defence": TRADES(beta=2)}),
        (
            {"defence": "ibp(ramp=0.5)", "eps": 0.1},
            {"defence": IBP(ramp=0.5).with_budget(0.1, (0.0, 6.0))},
        ),
    ],
)
def test_the_adversary_is_that_of_options_and_data(options, expected, tmp_path, monkeypatch):
    taken: list[Any] = []

    def noted(*_: Any, adversary: Any, **__: Any) -> list[Any]:
        taken.append(adversary)
        return [Epoch(1, 1.0, 0.5)]

    monkeypatch.setattr(module, "train", noted)
    data = halves_in_frames((0.0, 6.0))
    train_network(settings(tmp_path / "with", steps=None, **options), data)
    train_network(settings(tmp_path / "without", steps=None), data)
    adversary, none = taken
    assert (adversary.value_range, none) == ((0.0, 6.0), None)
    assert {name: getattr(adversary, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.1}, "^eps: expected None without an attack, got 0.1. Add --attack pgd"),
        ({"attack_rule": "stbp"}, "^attack_rule: expected None without an attack"),
        ({"adversarial_share": 0.5}, "^adversarial_share: expected None without an attack"),
        ({"validation": 1.0}, "^validation: expected a number above 0 and at most 0.9"),
        ({"attack": "cw"}, "^attack: expected the class of an evasion attack, got 'cw'"),
        ({"attack": "pgd", "attack_rule": "sgd"}, "^attack_rule: expected one of 'stbp'"),
        ({"defence": "trades(beta=-1)"}, "^defence: beta: expected a number above 0, got -1"),
        ({"defence": "ibp", "attack": "fgsm"}, "^attack: expected 'pgd' for IBP"),
    ],
)
def test_options_that_do_not_suit_each_other_are_refused(options, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        train_network(settings(tmp_path, **options), halves())


def test_adversarial_training_without_a_range_leaves_no_file(tmp_path):
    message = r"^value_range: expected the range that adversarial training may use, got None, for"
    with pytest.raises(ArgumentError, match=message):
        train_network(settings(tmp_path / "new", steps=None, **FGSM), halves_in_frames(None))
    assert not (tmp_path / "new").exists()


def test_it_tells_attack_rule_and_defence_and_refuses_the_folder_of_another(tmp_path):
    asked = settings(tmp_path, defence="trades(beta=2)", **FGSM)
    result = train_network(asked, halves())
    text, best = result.render(), result.best
    assert f"Best epoch {best.number} of 2: {100 * best.validation:.1f} % of the validation" in text
    assert "under fgsm, eps 0.1 by STBP(surrogate=Triangle(width=1.0)" in " ".join(text.split())
    assert "art-snn evaluate measures robust accuracy on test samples." in " ".join(text.split())
    assert "hardened by TRADES(beta=2.0)" in text
    notes = checkpoint.notes(tmp_path / "network.safetensors")
    assert "attack='fgsm'" in notes["adversary"]
    assert notes["training"] == "TRADES training, 2 epochs"
    with pytest.raises(CheckpointError, match=r"^resume: expected a run of .* against Adversarial"):
        train_network(replace(asked, eps=0.2), halves())


def test_the_picture_has_a_loss_and_a_score_and_its_title_fits():
    architecture = Architecture(model="resnet17", width=0.125, reset="soft", threshold=1.5, steps=2)
    title = f"{architecture.describe()} on fashion-mnist"
    history = (Epoch(1, 2.0, 0.25), Epoch(2, 1.0, 0.5))
    against = "pgd, eps 0.03137 by RGA()"
    figure = Training(history, Share(1, 2), title, against, Recipe(), {}, "").draw()
    figure.canvas.draw()
    assert figure.texts[0].get_window_extent().width < figure.bbox.width
    loss, score = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[2.0, 1.0]]
    assert score.lines[0].get_ydata().tolist() == [25.0, 50.0]
    assert score.get_ylabel() == "accuracy under attack [%]"
