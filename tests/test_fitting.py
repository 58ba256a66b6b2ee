"""Training from data to checkpoint: what is written, what is resumed, what the test set is for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn import checkpoint, fitting
from art_snn.checkpoint import CheckpointError
from art_snn.data import Dataset
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.hardening import AdversarialTraining
from art_snn.evaluation.metrics import Share
from art_snn.evaluation.subject import Subject, of_checkpoint
from art_snn.fitting import Fitting, report, run
from art_snn.training import Epoch, Recipe
from tests.conftest import varied

RECIPE = Recipe(epochs=2, batch_size=8, crop_padding=1, cutout=1, learning_rate=0.02)
SMALL = Fitting(subject=Subject(steps=2), recipe=RECIPE, validation=0.25)


def images(**change: Any) -> Dataset:
    """Sixteen training and six test images of two classes, bright at the left or at the right."""
    draw = np.random.default_rng(varied())
    y = np.arange(22) % 2
    x = draw.uniform(0, 0.3, (22, 1, 4, 4)).astype(np.float32)
    x[y == 0, ..., :2] += 0.6
    x[y == 1, ..., 2:] += 0.6
    whole = Dataset("halves", x[:16], y[:16], x[16:], y[16:])
    return replace(whole, **change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for reading only."""
    place = tmp_path_factory.mktemp("fitting") / "new"
    run(SMALL, images(), place, "cpu")
    return place


def test_it_writes_network_history_and_picture(folder):
    names = {"network.pt", "training.json", "training.png", "training.pt"}
    assert {file.name for file in folder.iterdir()} == names
    content = json.loads((folder / "training.json").read_text())
    assert [epoch["number"] for epoch in content["history"]] == [1, 2]
    assert content["recipe"]["learning_rate"] == 0.02
    assert content["test_accuracy"]["total"] == 6


def test_the_checkpoint_tells_its_network_to_whoever_loads_it(folder):
    subject = of_checkpoint(folder / "network.pt")
    assert subject == Subject(steps=2, encoder="direct", epochs=2)
    network = subject.build(images())
    subject.load(network, folder / "network.pt")
    notes = checkpoint.notes(folder / "network.pt")
    data = images()
    with torch.no_grad():
        correct = (network(torch.as_tensor(data.x_test)).argmax(1).numpy() == data.y_test).mean()
    assert notes["test_accuracy"] == pytest.approx(correct)
    assert notes["data"] == "halves"


def test_training_and_validation_never_see_a_test_sample(folder, tmp_path):
    data = images()
    spoiled = images(x_test=1 - data.x_test, y_test=1 - data.y_test)
    run(SMALL, spoiled, tmp_path, "cpu")
    one, other = (
        torch.load(place / "training.pt", weights_only=True) for place in (folder, tmp_path)
    )
    assert one["history"] == other["history"]
    for name, tensor in one["best"].items():
        assert torch.equal(tensor, other["best"][name]), name


def test_validation_samples_are_not_trained_on(monkeypatch, tmp_path):
    seen: dict[str, Any] = {}

    def noted(network: Any, x: np.ndarray, y: np.ndarray, *_: Any, **options: Any) -> list[Any]:
        seen.update(x=x, held=options["validation"].x)
        return []

    monkeypatch.setattr(fitting, "train", noted)
    with pytest.raises(ValueError, match="at least one epoch"):
        run(SMALL, images(), tmp_path, "cpu")
    rows = {sample.tobytes() for sample in seen["x"]}
    held = {sample.tobytes() for sample in seen["held"]}
    assert (len(rows), len(held)) == (12, 4)
    assert not rows & held
    assert rows | held == {sample.tobytes() for sample in images().x_train}


def test_a_finished_run_is_loaded_and_gives_the_same(folder, tmp_path, monkeypatch):
    (tmp_path / "training.pt").write_bytes((folder / "training.pt").read_bytes())

    def forbidden(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    run(SMALL, images(), tmp_path, "cpu")
    first, again = (json.loads((p / "training.json").read_text()) for p in (folder, tmp_path))
    assert first == again


def test_the_folder_of_another_run_is_refused(folder, tmp_path):
    (tmp_path / "training.pt").write_bytes((folder / "training.pt").read_bytes())
    other = replace(SMALL, recipe=replace(RECIPE, momentum=0.5))
    with pytest.raises(
        CheckpointError, match=r"^resume: expected a run of Recipe\(.*momentum=0\.5"
    ):
        run(other, images(), tmp_path, "cpu")


def test_the_report_tells_the_best_epoch_and_the_test_accuracy(tmp_path):
    attack = Attack(name="fgsm", eps=0.1)
    hardened = replace(SMALL, adversary=AdversarialTraining(attack=attack))
    fitted = run(hardened, images(), tmp_path, "cpu")
    text = report(hardened, fitted)
    best = fitted.best
    assert f"Best epoch {best.number} of 2: {100 * best.validation:.1f} % of the validation" in text
    assert "under FGSM, eps 0.1 by RGA(beta=2.0, gamma=0.2)" in text
    assert f"Test accuracy: {fitted.test} of 6 samples." in text
    notes = checkpoint.notes(tmp_path / "network.pt")
    assert "attack=Attack(name='fgsm'" in notes["adversary"]


def test_the_title_of_the_picture_fits_into_it():
    subject = Subject(model="resnet17", width=0.125, reset="soft", threshold=1.5, steps=2)
    attack = Attack(eps=8 / 255, eps_step=2 / 255)
    settings = Fitting(subject=subject, adversary=AdversarialTraining(attack=attack))
    fitted = fitting.Fitted((Epoch(1, 1.0, 0.5),), Share(1, 2))
    figure = fitting.draw(settings, images(name="fashion-mnist"), fitted)
    figure.canvas.draw()
    box = figure.texts[0].get_window_extent()
    assert box.width < figure.bbox.width
    first, second = figure.get_suptitle().split("\n")
    assert first.endswith("direct encoding on fashion-mnist")
    assert second.startswith("against PGD, eps 0.03137, 10 steps of 0.007843 by RGA(")


@pytest.mark.parametrize("share", [0, 1, -0.1, "some"])
def test_a_validation_share_outside_its_range_is_refused(share):
    with pytest.raises(
        ValueError, match=r"^validation: expected a number above 0 and at most 0\.9"
    ):
        Fitting(validation=share)


def test_a_recipe_that_does_not_fit_the_images_is_refused_and_leaves_no_file(tmp_path):
    large = replace(SMALL, recipe=replace(RECIPE, cutout=4))
    with pytest.raises(
        ValueError, match=r"^cutout: expected a hole smaller than the images of 4x4"
    ):
        run(large, images(), tmp_path / "new", "cpu")
    assert not (tmp_path / "new").exists()


def frames(value_range: tuple[float, float] | None) -> Dataset:
    """The images as event frames of three steps and two polarities, with counts from 0 to 5."""
    data = images()
    x = [np.rint(5 * np.repeat(a[:, None], 3, 1).repeat(2, 2)) for a in (data.x_train, data.x_test)]
    return Dataset("counts", x[0], data.y_train, x[1], data.y_test, value_range)


def against(value_range: tuple[float, float]) -> Fitting:
    attack = Attack(name="fgsm", eps=10)
    return replace(
        SMALL,
        subject=Subject(),
        adversary=AdversarialTraining(attack=attack, value_range=value_range),
    )


@pytest.mark.parametrize("value_range", [None, (0.0, 5.0)])
def test_event_frames_are_trained_on_with_and_without_a_value_range(value_range, tmp_path):
    settings = replace(SMALL, subject=Subject())
    run(settings, frames(value_range), tmp_path, "cpu")
    subject = of_checkpoint(tmp_path / "network.pt")
    assert (subject.steps, subject.encoder) == (3, "frames")


def test_event_frames_are_attacked_within_their_range(tmp_path, monkeypatch):
    crafted = []
    craft = Attack.craft

    def kept(self: Attack, *given: Any) -> np.ndarray:
        crafted.append(craft(self, *given))
        return crafted[-1]

    monkeypatch.setattr(Attack, "craft", kept)
    run(against((0.0, 6.0)), frames((0.0, 6.0)), tmp_path, "cpu")
    assert {adversarial.shape[1:] for adversarial in crafted} == {(3, 2, 4, 4)}
    assert min(a.min() for a in crafted) == 0
    assert max(a.max() for a in crafted) == 6


def test_adversarial_training_without_a_range_or_in_another_one_leaves_no_file(tmp_path):
    message = r"^value_range: expected the range that adversarial training may use, got None, for"
    with pytest.raises(ValueError, match=message):
        run(against((0.0, 5.0)), frames(None), tmp_path / "new", "cpu")
    message = (
        r"^value_range: expected \(0\.0, 5\.0\), which is that of counts, got \(0\.0, 1\.0\) for "
        r"the adversary\. Give AdversarialTraining the value_range of the data\."
    )
    with pytest.raises(ValueError, match=message):
        run(against((0.0, 1.0)), frames((0.0, 5.0)), tmp_path / "new", "cpu")
    assert not (tmp_path / "new").exists()


def test_what_does_not_suit_network_or_split_leaves_no_file(tmp_path):
    cba = replace(SMALL, adversary=AdversarialTraining(rule="cba"))
    with pytest.raises(
        ValueError, match=r"^gradient: expected a rule that applies to every neuron"
    ):
        run(cba, images(), tmp_path / "new", "cpu")
    few = replace(SMALL, validation=0.05)
    with pytest.raises(ValueError, match=r"^validation: expected a share that leaves each part"):
        run(few, images(), tmp_path / "new", "cpu")
    with pytest.raises(ValueError, match=r"^encoder: expected direct or poisson, since halves"):
        run(replace(SMALL, subject=Subject(encoder="frames")), images(), tmp_path / "new", "cpu")
    with pytest.raises(ValueError, match=r"^device_type: expected 'gpu' or 'cpu', got 'tpu'"):
        run(SMALL, images(), tmp_path / "new", "tpu")
    assert not (tmp_path / "new").exists()


def test_numbers_from_numpy_are_written_as_plain_ones(folder, tmp_path):
    recipe = replace(RECIPE, flip=np.bool_(True), epochs=np.int64(2), momentum=np.float64(0.9))
    subject = Subject(steps=np.int64(2), width=np.float32(1), decay=np.float64(0.5))
    settings = Fitting(subject=subject, recipe=recipe, validation=np.float32(0.25))
    (tmp_path / "training.pt").write_bytes((folder / "training.pt").read_bytes())
    run(settings, images(), tmp_path, "cpu")
    first, again = (json.loads((p / "training.json").read_text()) for p in (folder, tmp_path))
    assert first == again


@pytest.mark.parametrize("change", [{"decay": 0.9}, {"steps": 3}, {"reset": "soft"}])
def test_the_folder_of_a_network_that_has_the_same_weights_otherwise_is_refused(
    change, folder, tmp_path
):
    (tmp_path / "training.pt").write_bytes((folder / "training.pt").read_bytes())
    other = replace(SMALL, subject=replace(SMALL.subject, **change))
    with pytest.raises(CheckpointError, match=r"^resume: expected a run of this network"):
        run(other, images(), tmp_path, "cpu")


def test_a_network_of_another_kind_of_run_is_not_written_over(folder, tmp_path):
    (tmp_path / "network.pt").write_bytes((folder / "network.pt").read_bytes())
    message = (
        r"^output: expected a folder without a network, or with the whole of this run, got .* with "
        r"a network\.pt and no training\.pt\. Choose another folder, or delete network\.pt\."
    )
    with pytest.raises(ValueError, match=message):
        run(SMALL, images(), tmp_path, "cpu")
    assert (tmp_path / "network.pt").read_bytes() == (folder / "network.pt").read_bytes()


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_that_is_interrupted_goes_on_and_gives_the_same(epoch, folder, tmp_path, monkeypatch):
    done = []
    step = torch.optim.SGD.step

    def killed(self: torch.optim.SGD, *given: Any) -> Any:
        done.append(1)
        if len(done) == 2 * epoch:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run(SMALL, images(), tmp_path, "cpu")
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"] * (epoch - 1)
    run(SMALL, images(), tmp_path, "cpu")
    first, again = (json.loads((p / "training.json").read_text()) for p in (folder, tmp_path))
    assert first == again


@pytest.mark.parametrize(
    ("name", "flip"),
    [
        *(("digits", False), ("mnist 32x32", False), ("nmnist 16x16", False)),
        *(("svhn (100 + 50 samples, seed 0)", False), ("dvs128-gesture 64x64", False)),
        *(("cifar10", True), ("fashion-mnist", True), ("cifar10-dvs 48x48", True)),
    ],
)
def test_numerals_and_gestures_of_an_arm_are_not_mirrored_whatever_their_size(name, flip):
    assert fitting.mirrored(images(name=name)) is flip


def test_the_seed_of_the_recipe_draws_weights_and_validation_samples(monkeypatch, tmp_path):
    seen: list[tuple[bytes, bytes]] = []

    def noted(network: Any, *_: Any, validation: Any, **__: Any) -> list[Epoch]:
        weights = next(network.parameters()).detach().numpy()
        seen.append((weights.tobytes(), validation.x.tobytes()))
        return [Epoch(1, 1.0, 0.5)]

    monkeypatch.setattr(fitting, "train", noted)
    for seed, own in ((0, 7), (0, 8), (1, 7)):
        subject = replace(SMALL.subject, seed=own)
        settings = replace(SMALL, subject=subject, recipe=replace(RECIPE, seed=seed))
        run(settings, images(), tmp_path / f"{seed}-{own}", "cpu")
    first, same, other = seen
    assert first == same
    assert all(a != b for a, b in zip(first, other, strict=True))
