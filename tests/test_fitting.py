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
from art_snn.evaluation.subject import Subject, of_checkpoint
from art_snn.fitting import Fitting, report, run
from art_snn.training import Recipe

RECIPE = Recipe(epochs=2, batch_size=8, crop_padding=1, cutout=1, learning_rate=0.02)
SMALL = Fitting(subject=Subject(steps=2), recipe=RECIPE, validation=0.25)


def images(**change: Any) -> Dataset:
    """Sixteen training and six test images of two classes, bright at the left or at the right."""
    draw = np.random.default_rng(0)
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
