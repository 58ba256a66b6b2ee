"""Training from data to checkpoint: what is written, what is resumed, what the test set is for."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn import checkpoint
from art_snn.app.resume import read_result
from art_snn.app.train import Settings, fitted
from art_snn.app.trained import Trained
from art_snn.models import Architecture
from art_snn.training import Epoch, Recipe
from tests.datasets import halves, halves_in_frames
from tests.own import own

module = importlib.import_module("art_snn.app.train.run")

RECIPE = Recipe(epochs=2, batch_size=8, crop_padding=1, flip=True, cutout=1, learning_rate=0.02)


def settings(output: Path, **change: Any) -> Settings:
    small = {"architecture": Architecture(steps=2), "recipe": RECIPE, "validation": 0.25}
    return Settings(output=output, device="cpu", **small | change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for reading only."""
    place = tmp_path_factory.mktemp("fitted") / "new"
    fitted(settings(place), halves())
    return place


def test_it_writes_network_history_text_and_picture(folder):
    names = {"network.safetensors", "training.json", "training.md", "training.png", "training.pt"}
    assert {file.name for file in folder.iterdir()} == names
    content = read_result(folder / "training.json")
    assert [epoch["number"] for epoch in content["history"]] == [1, 2]
    assert content["recipe"]["learning_rate"] == 0.02
    assert content["test_accuracy"]["total"] == 6


def test_the_checkpoint_tells_its_network_to_whoever_loads_it(folder):
    data = halves()
    trained = Trained(checkpoint=folder / "network.safetensors")
    told = trained.on(data).architecture
    assert told == Architecture(steps=2).on(data)
    assert (told.model, told.steps, told.encoder) == ("vgg5", 2, "direct")
    network = trained.build(data)
    trained.obtain(network, data, folder / "none")
    assert not (folder / "none").exists()
    notes = checkpoint.notes(folder / "network.safetensors")
    assert (notes["subject"]["epochs"], notes["subject"]["seed"]) == (2, 0)
    with torch.no_grad():
        correct = (network(torch.as_tensor(data.x_test)).argmax(1).numpy() == data.y_test).mean()
    assert notes["test_accuracy"] == pytest.approx(correct)
    assert notes["data"] == "halves"


def test_training_and_validation_never_see_a_test_sample(folder, tmp_path):
    data = halves()
    spoiled = halves(x_test=1 - data.x_test, y_test=1 - data.y_test)
    fitted(settings(tmp_path), spoiled)
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

    monkeypatch.setattr(module, "train", noted)
    with pytest.raises(ValueError, match="at least one epoch"):
        fitted(settings(tmp_path), halves())
    rows = {sample.tobytes() for sample in seen["x"]}
    held = {sample.tobytes() for sample in seen["held"]}
    assert (len(rows), len(held)) == (12, 4)
    assert not rows & held
    assert rows | held == {sample.tobytes() for sample in halves().x_train}


def test_it_tells_the_recipe_the_best_epoch_and_the_test_accuracy(tmp_path):
    result = fitted(settings(tmp_path), halves())
    text, best = result.render(), result.best
    assert text.startswith(str(RECIPE))
    assert "vgg5, T = 2, decay 0.5, direct encoding on halves" in text
    assert f"Best epoch {best.number} of 2: {100 * best.validation:.1f} % of the validation" in text
    assert " under " not in text
    assert f"Test accuracy: {result.test} of 6 samples." in text
    assert checkpoint.notes(tmp_path / "network.safetensors")["adversary"] == ""


def test_the_text_is_written_with_a_row_per_epoch_that_marks_the_best(folder):
    history = read_result(folder / "training.json")["history"]
    best = read_result(folder / "training.json")["best_epoch"]
    lines = (folder / "training.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert rows[0] == ["epoch", "training loss", "validation", ""]
    expected = []
    for epoch in history:
        figures = f"{epoch['loss']:.4f}", f"{100 * epoch['validation']:.1f} %"
        mark = "best" if epoch["number"] == best else ""
        expected.append([str(epoch["number"]), *figures, mark])
    assert rows[2:] == expected


@pytest.mark.parametrize("value_range", [None, (0.0, 5.0)])
def test_event_frames_are_trained_on_with_and_without_a_value_range(value_range, tmp_path):
    data = halves_in_frames(value_range)
    fitted(settings(tmp_path, architecture=Architecture()), data)
    told = Trained(checkpoint=tmp_path / "network.safetensors").on(data).architecture
    assert (told.steps, told.encoder) == (3, "frames")


def test_numbers_from_numpy_are_written_as_plain_ones(folder, tmp_path):
    recipe = replace(RECIPE, flip=np.bool_(True), epochs=np.int64(2), momentum=np.float64(0.9))
    architecture = Architecture(steps=np.int64(2), width=np.float32(1), decay=np.float64(0.5))
    numbers = {"architecture": architecture, "recipe": recipe, "validation": np.float32(0.25)}
    (tmp_path / "training.pt").write_bytes((folder / "training.pt").read_bytes())
    fitted(settings(tmp_path, **numbers), halves())
    first, again = (read_result(p / "training.json") for p in (folder, tmp_path))
    assert first == again


def test_a_network_of_another_kind_of_run_is_not_written_over(folder, tmp_path):
    (tmp_path / "network.safetensors").write_bytes((folder / "network.safetensors").read_bytes())
    message = r"^output: .*without a network.*no training\.pt\. Choose .*, or delete network\."
    with pytest.raises(ValueError, match=message):
        fitted(settings(tmp_path), halves())
    assert (tmp_path / "network.safetensors").read_bytes() == (
        folder / "network.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("flip", [None, True, False])
def test_samples_are_mirrored_where_the_data_allow_it_unless_told_otherwise(
    flip, mirrored, tmp_path
):
    small = settings(tmp_path, recipe=replace(RECIPE, epochs=1, flip=flip))
    result = fitted(small, halves(mirrored=mirrored))
    assert result.recipe.flip is (mirrored if flip is None else flip)


def test_padding_and_hole_that_are_left_open_are_noted_as_they_were(tmp_path):
    small = settings(tmp_path, recipe=Recipe(epochs=1, batch_size=8))
    result = fitted(small, halves(mirrored=False))
    noted = checkpoint.notes(tmp_path / "network.safetensors")["recipe"]
    assert noted.items() >= {"crop_padding": 0, "flip": False, "cutout": 2}.items()
    assert result.recipe == Recipe(**noted)


def test_any_recipe_may_be_by_adam(tmp_path):
    small = settings(tmp_path, recipe=Recipe.short(2, batch_size=8, learning_rate=0.01))
    result = fitted(small, halves())
    state = torch.load(tmp_path / "training.pt", weights_only=True)["optimizer"]["state"]
    assert set(state[0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert result.history[1].loss < result.history[0].loss


def test_the_seed_of_the_recipe_draws_weights_and_validation_samples(monkeypatch, tmp_path):
    seen: list[tuple[bytes, bytes]] = []

    def noted(network: Any, *_: Any, validation: Any, **__: Any) -> list[Epoch]:
        weights = next(network.parameters()).detach().numpy()
        seen.append((weights.tobytes(), validation.x.tobytes()))
        return [Epoch(1, 1.0, 0.5)]

    monkeypatch.setattr(module, "train", noted)
    for number, seed in enumerate((0, 0, 1)):
        fitted(settings(tmp_path / str(number), recipe=replace(RECIPE, seed=seed)), halves())
    first, same, other = seen
    assert first == same
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_network_of_the_user_s_own_is_trained_and_can_be_loaded(tmp_path):
    architecture = Architecture(model=own(tmp_path))
    result = fitted(settings(tmp_path / "new", architecture=architecture), halves())
    assert result.title == f"{architecture.model}, T = 3, direct encoding on halves"
    assert checkpoint.notes(tmp_path / "new" / "network.safetensors")["subject"]["model"].endswith(
        ":build"
    )
    data = halves()
    trained = Trained(
        architecture=architecture, checkpoint=tmp_path / "new" / "network.safetensors"
    )
    network = trained.build(data)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained.obtain(network, data, tmp_path)
    assert not torch.equal(next(iter(before.values())), next(iter(network.state_dict().values())))
    with torch.no_grad():
        correct = (network(torch.as_tensor(data.x_test)).argmax(1).numpy() == data.y_test).mean()
    assert result.test.value == pytest.approx(correct)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 5, 5)}, r"^x: expected shape \[N, 1, 5, 5\], got \[1, 1, 4, 4\]\."),
        ({"classes": 1}, r"^model: expected logits of shape \[N, 2\], .*got \[1, 1\]"),
        ({"classes": 5}, r"^model: expected logits of shape \[N, 2\], .*got \[1, 5\]"),
    ],
)
def test_a_network_of_the_user_s_own_that_does_not_fit_the_data_leaves_no_file(
    change, message, tmp_path
):
    architecture = Architecture(model=own(tmp_path, **change))
    with pytest.raises(ValueError, match=message):
        fitted(settings(tmp_path / "new", architecture=architecture), halves())
    assert not (tmp_path / "new").exists()
