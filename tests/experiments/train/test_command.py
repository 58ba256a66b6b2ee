"""art-snn train: exit codes, output and complaints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn import checkpoint
from art_snn.experiments import trained as weights
from art_snn.experiments.resume import read_result
from art_snn.training import Recipe
from tests.command import call, forbidden, interrupted
from tests.datasets import counts, images
from tests.own import own

TINY = (
    *("train", "--width", "0.0625", "--steps", "2", "--batch-size", "256", "--validation", "0.2"),
    *("--device", "cpu"),
)
TRAIN = (*TINY, "--epochs", "2")
MINE = ("--validation", "0.25", "--cutout", "1", "--crop-padding", "0", "--batch-size", "8")
ADVERSARIAL = ("--attack", "--rule", "--eps", "--eps-step", "--iterations", "--adversarial-share")


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
        f"\nWritten to {folder}: network.pt, training.json, training.md, training.png\n"
    )
    assert {file.name for file in folder.iterdir()} == {
        *("network.pt", "training.json", "training.md", "training.png", "training.pt")
    }
    assert content["data"] == "digits"
    assert content["subject"]["width"] == 0.0625
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_trains_no_further_and_prints_the_same(trained, monkeypatch):
    folder, text = trained
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    done = call(*TRAIN, "--output", str(folder))
    assert done.status == 0, done.stderr
    assert done.stdout == text


def test_a_run_that_was_killed_goes_on(trained, tmp_path, monkeypatch):
    steps = []
    step = torch.optim.SGD.step

    def killed(self: torch.optim.SGD, *given: Any) -> Any:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", killed)
        assert call(*TRAIN, "--output", str(tmp_path)).status == 130
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    done = call(*TRAIN, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    first, again = (read_result(p / "training.json") for p in (trained[0], tmp_path))
    assert first == again


def test_a_run_that_was_stopped_at_once_leaves_a_folder_that_can_be_used(tmp_path, monkeypatch):
    data = images(tmp_path / "mine.npz")
    arguments = (*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", interrupted)
        assert call(*arguments).status == 130
    assert not (tmp_path / "out").exists()
    done = call(*arguments, "--decay", "0.9")
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--epochs", "3"), "--output: expected a run of Recipe(epochs=3,"),
        (("--momentum", "0.5"), "--output: expected a run of Recipe("),
        (("--optimizer", "adam"), "--output: expected a run of Recipe("),
        (("--validation", "0.3"), "--output: expected a run on these samples, got"),
        (("--decay", "0.9"), "--output: expected a run of this network, got"),
        (("--steps", "3"), "in encoder, layers, neurons, code or training gradient. Delete"),
        (("--width", "0.125"), "--output: expected a run of this network, got"),
    ],
)
def test_the_folder_of_another_run_is_a_usage_error(change, message, trained, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    before = (trained[0] / "network.pt").read_bytes()
    done = call(*TRAIN, *change, "--output", str(trained[0]))
    assert done.status == 2, done.stderr
    assert message in done.complaint
    assert (trained[0] / "network.pt").read_bytes() == before


def test_a_comparison_reads_the_trained_network(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "train", forbidden)
    done = call(
        *("compare", "--checkpoint", str(trained[0] / "network.pt"), "--samples", "4"),
        *("--rules", "rga", "--iterations", "1", "--repeats", "1", "--device", "cpu"),
        *("--output", str(tmp_path / "out")),
    )
    assert done.status == 0, done.stderr
    assert "vgg5 of width 0.0625, T = 2, decay 0.5, direct encoding on digits" in done.stdout


def test_the_network_of_a_comparison_is_not_written_over(trained, tmp_path):
    (tmp_path / "network.pt").write_bytes((trained[0] / "network.pt").read_bytes())
    done = call(*TRAIN, "--output", str(tmp_path))
    assert done.status == 2
    assert "--output: expected a folder without a network, or with the whole" in done.complaint


@pytest.mark.parametrize("option", ADVERSARIAL)
def test_what_belongs_to_adversarial_training_is_an_unknown_option(option, tmp_path):
    done = call(*TRAIN, option, "1", "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert f"Unrecognized options: {option}" in done.complaint
    assert not (tmp_path / "out").exists()


def test_the_data_may_be_mirrored_unless_they_are_numerals(tmp_path):
    data = images(tmp_path / "mine.npz")
    done = call(*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert "flip=True" in done.stdout.strip().splitlines()[0]
    assert checkpoint.notes(tmp_path / "out" / "network.pt")["adversary"] == ""


def test_event_frames_need_no_value_range(tmp_path):
    data = counts(tmp_path / "events.npz")
    done = call(
        *("train", "--width", "0.0625", "--epochs", "2", "--device", "cpu", *MINE),
        *("--data", str(data), "--output", str(tmp_path / "out")),
    )
    assert done.status == 0, done.stderr
    assert read_result(tmp_path / "out" / "training.json")["data"] == "events"


def test_the_precision_of_the_training_is_told_and_noted(tmp_path):
    done = call(*TRAIN, "--train-dtype", "bfloat16", "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    assert "train_dtype='bfloat16')" in done.stdout
    assert "direct encoding on digits, trained in bfloat16\n" in done.stdout
    content = read_result(tmp_path / "training.json")
    assert content["recipe"]["train_dtype"] == content["subject"]["train_dtype"] == "bfloat16"


def test_a_network_of_the_user_s_own_is_trained_and_compared(tmp_path, monkeypatch):
    model = own(tmp_path, (1, 4, 4), 3)
    data = ("--model", model, "--data", str(images(tmp_path / "mine.npz")), "--device", "cpu")
    done = call("train", *data, "--epochs", "2", *MINE, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert f"{model}, T = 3, direct encoding on mine" in done.stdout
    monkeypatch.setattr(weights, "train", forbidden)
    done = call(
        *("compare", *data, "--checkpoint", str(tmp_path / "out" / "network.pt")),
        *("--rules", "rga", "--iterations", "1", "--repeats", "1", "--samples", "2"),
        *("--output", str(tmp_path / "compared")),
    )
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: expected a whole number >= 1, got 0."),
        (("--epochs", "some"), "--epochs: expected a whole number such as 8, got 'some'"),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0."),
        (("--learning-rate", "0"), "--learning-rate: expected a number above 0, got 0.0."),
        (("--momentum", "1"), "--momentum: expected a number of at least 0 and below 1, got 1.0."),
        (("--optimizer", "adam", "--momentum", "0.9"), "--momentum: expected None for adam, which"),
        (("--optimizer", "lion"), "--optimizer: expected one of sgd, adam, got 'lion'."),
        (("--weight-decay", "-1"), "--weight-decay: expected a number of at least 0, got -1.0."),
        (("--crop-padding", "-1"), "--crop-padding: expected a whole number >= 0, got -1."),
        (("--cutout", "8"), "--cutout: expected a hole smaller than the images of 8x8 pixels, got"),
        (("--validation", "0"), "--validation: expected a number above 0 and at most 0.9, got 0.0"),
        (("--validation", "0.001"), "--validation: expected a share that leaves each part one"),
        (("--seed", "-1"), "--seed: expected a whole number >= 0, got -1."),
        (("--train-dtype", "float16"), "--train-dtype: expected 'auto', 'bfloat16' or None, got"),
        (("--threads", "0"), "--threads: expected a whole number >= 1, got 0."),
        (("--device", "tpu"), "--device: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--model", "vgg7"), "--model: expected one of vgg5,"),
        (("--model", "mine.py:build", "--width", "1"), "--width: expected None beside mine.py:"),
        (
            ("--encoder", "frames"),
            "--encoder: expected direct or poisson, since digits holds images, got",
        ),
        (("--steps", "0"), "--steps: expected a whole number >= 1, got 0."),
        (("--data", "none.npz"), "--data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_training_that_makes_no_sense_is_a_usage_error_and_leaves_no_file(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    done = call(*TRAIN, "--output", str(tmp_path / "out"), *arguments)
    assert done.status == 2, done.stderr
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch_size", "0"), "--batch_size: expected a whole number >= 1, got 0."),
        (("--batch-size=0",), "--batch-size: expected a whole number >= 1, got 0."),
        (("--model", "none.py:build"), "--model: expected file.py:function or package.module:"),
        (("--model", "vgg5:"), "--model: expected file.py:function or package.module:function"),
    ],
)
def test_an_option_is_named_as_it_was_typed(arguments, message, tmp_path):
    done = call("train", *arguments, "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stderr
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_a_usage_error_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    (tmp_path / "out").write_text("a file")
    done = call(*TRAIN, "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "--output: expected a folder, for tables, pictures and figures, got" in done.complaint
    assert (tmp_path / "out").read_text() == "a file"


def test_help_lists_the_command():
    assert "train" in call("--help").stdout


def test_neurons_and_mirroring_are_chosen(tmp_path):
    data = images(tmp_path / "mine.npz")
    done = call(
        *(*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"), "--no-flip"),
        *("--reset", "soft", "--threshold", "0.75", "--decay", "0.9", "--seed", "3"),
    )
    assert done.status == 0, done.stderr
    assert "flip=False" in done.stdout.strip().splitlines()[0]
    noted = checkpoint.notes(tmp_path / "out" / "network.pt")["subject"]
    wanted = {"reset": "soft", "threshold": 0.75, "decay": 0.9, "seed": 3}
    assert {name: noted[name] for name in wanted} == wanted
