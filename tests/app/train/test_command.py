"""art-snn train: exit codes, output and complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_snn.app import trained as weights
from art_snn.app.resume import read_result
from art_snn.training import Recipe
from tests.command import call, forbidden

TINY = (
    *("train", "--width", "0.0625", "--steps", "2", "--batch-size", "256", "--validation", "0.2"),
    *("--device", "cpu"),
)
TRAIN = (*TINY, "--epochs", "2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of a training on the digits."""
    folder = tmp_path_factory.mktemp("train") / "digits"
    done = call(*TRAIN, "--output", str(folder))
    assert done.status == 0, done.stderr
    return folder, done.stdout


def test_recipe_best_epoch_and_test_accuracy_are_printed_and_five_files_written(trained):
    folder, text = trained
    recipe = Recipe(epochs=2, batch_size=256, crop_padding=1, flip=False, cutout=4)
    assert text.strip().splitlines()[0] == str(recipe)
    content = read_result(folder / "training.json")
    number = content["best_epoch"]
    share = 100 * content["history"][number - 1]["validation"]
    assert f"Best epoch {number} of 2: {share:.1f} % of the validation samples.\n" in text
    accuracy = content["test_accuracy"]
    assert f"Test accuracy: {100 * accuracy['count'] / accuracy['total']:.1f} %" in text
    assert f"of {accuracy['total']} samples.\n" in text
    assert text.endswith(
        f"\nWritten to {folder}: network.safetensors, training.json, training.md, training.png\n"
    )
    assert {file.name for file in folder.iterdir()} == {
        *("network.safetensors", "training.json", "training.md", "training.png", "training.pt")
    }
    assert content["data"] == "digits"
    assert content["subject"]["width"] == 0.0625
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_reads_the_trained_network(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "train", forbidden)
    done = call(
        *("compare", "--checkpoint", str(trained[0] / "network.safetensors"), "--samples", "4"),
        *("--rules", "rga", "--iterations", "1", "--repeats", "1", "--device", "cpu"),
        *("--output", str(tmp_path / "out")),
    )
    assert done.status == 0, done.stderr
    assert "vgg5 of width 0.0625, T = 2, decay 0.5, direct encoding on digits" in done.stdout


def test_the_precision_of_the_training_is_told_and_noted(tmp_path):
    done = call(*TRAIN, "--train-dtype", "bfloat16", "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    assert "train_dtype='bfloat16')" in done.stdout
    assert "direct encoding on digits, trained in bfloat16\n" in done.stdout
    content = read_result(tmp_path / "training.json")
    assert content["recipe"]["train_dtype"] == content["subject"]["train_dtype"] == "bfloat16"
