"""The command line: exit codes, output and complaints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from art_snn import __version__
from art_snn.cli import app
from art_snn.evaluation import cost, subject
from art_snn.attacks import Attack

COMPARE = (
    *("compare", "--epochs", "1", "--steps", "2", "--samples", "8", "--batch", "8"),
    *("--repeats", "1", "--iterations", "1", "--rules", "stbp,rga,cba", "--device", "cpu"),
)


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_version_is_printed():
    assert call("--version").stdout.strip() == __version__


def test_help_lists_the_commands():
    text = call("--help").stdout
    assert all(command in text for command in ("demo", "compare", "cost"))


def message_of(done: Any) -> str:
    return " ".join(done.output.replace("│", " ").split())


def test_the_demo_prints_its_table_and_its_verdict(tmp_path):
    done = call(
        "demo", "--output", str(tmp_path), "--epochs", "1", "--test-images", "16", "--device", "cpu"
    )
    assert done.exit_code == 0, done.output
    assert "Attack success among the correctly classified" in done.output
    assert "Which gradient was stronger" in done.output
    assert json.loads((tmp_path / "results.json").read_text())["seed"] == 0


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("done again although it had been done")


def images(path: Path, **change: Any) -> Path:
    """A .npz file of a dozen training and four test images in three classes."""
    draw = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, count in (("train", 12), ("test", 4)):
        content[f"x_{part}"] = draw.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        content[f"y_{part}"] = np.arange(count) % 3
    np.savez(path, **content | change)
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of a comparison on the digits."""
    folder = tmp_path_factory.mktemp("compare") / "digits"
    done = call(*COMPARE, "--output", str(folder))
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_a_comparison_on_digits_prints_its_table_and_writes_its_files(compared):
    folder, text = compared
    assert "vgg5, T = 2, decay 0.5, direct encoding on digits" in text
    assert "PGD, eps 0.1, 1 steps of 0.025" in text
    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("stbp", "rga", "cba", "union")] == [
        "stbp",
        "rga",
        "cba",
        "union",
    ]
    assert "cba                does not apply: conversion to an ANN" in text
    assert f"Written to {folder}: compare.json, compare.md, compare.png" in text
    assert {file.name for file in folder.iterdir()} == {
        "compare.json",
        "compare.md",
        "compare.png",
        "network.pt",
    }
    written = json.loads((folder / "compare.json").read_text())
    assert list(written["rows"]) == ["stbp", "rga", "cba"]
    assert len(written["rows"]["rga"]["correct"]) == 8
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "| rga | " in (folder / "compare.md").read_text()


def test_a_second_comparison_prints_the_same_and_neither_trains_nor_attacks(compared, monkeypatch):
    folder, text = compared
    before = (folder / "compare.json").read_bytes()
    for place, name in ((subject, "train"), (Attack, "craft")):
        monkeypatch.setattr(place, name, forbidden)
    done = call(*COMPARE, "--output", str(folder))
    assert done.exit_code == 0, done.output
    assert done.stdout == text
    assert (folder / "compare.json").read_bytes() == before


def test_other_settings_in_the_folder_of_a_comparison_are_a_usage_error(compared):
    folder, _ = compared
    done = call(*COMPARE, "--output", str(folder), "--eps", "8/255")
    assert done.exit_code == 2
    assert "output: expected a folder without results, or with results of" in message_of(done)


@pytest.mark.parametrize("option", [("--decay", "0.9"), ("--epochs", "2"), ("--seed", "1")])
def test_a_folder_with_another_network_is_a_usage_error(option, compared, monkeypatch):
    monkeypatch.setattr(subject, "train", forbidden)
    done = call(*COMPARE, *option, "--output", str(compared[0]))
    assert done.exit_code == 2
    assert "output: expected a network of {'subject': " in message_of(done)


def test_a_checkpoint_is_attacked_as_its_notes_describe_it(compared, tmp_path, monkeypatch):
    folder, _ = compared
    monkeypatch.setattr(subject, "train", forbidden)
    start = COMPARE.index("--samples")
    arguments = ("compare", *COMPARE[start:], "--checkpoint", str(folder / "network.pt"))
    done = call(*arguments, "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "vgg5, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    assert not (tmp_path / "network.pt").exists()
    ours, theirs = (
        json.loads((place / "compare.json").read_text()) for place in (tmp_path, folder)
    )
    assert ours["key"] == theirs["key"]
    assert ours["rows"]["rga"]["robust"] == theirs["rows"]["rga"]["robust"]
    other = call(*arguments, "--output", str(tmp_path / "if"), "--decay", "1")
    assert other.exit_code == 0, other.output
    assert "vgg5, T = 2, decay 1, direct encoding on digits" in other.stdout
    assert "does not apply" not in other.stdout


def test_a_checkpoint_under_other_neurons_does_not_take_up_the_earlier_results(compared, tmp_path):
    arguments = (*COMPARE, "--checkpoint", str(compared[0] / "network.pt"))
    done = call(*arguments, "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    other = call(*arguments, "--output", str(tmp_path), "--decay", "1")
    assert other.exit_code == 2
    assert "output: expected a folder without results, or with results of" in message_of(other)


def test_a_narrow_network_is_compared_and_its_checkpoint_knows_its_width(tmp_path, monkeypatch):
    done = call(*COMPARE, "--width", "0.125", "--output", str(tmp_path / "narrow"))
    assert done.exit_code == 0, done.output
    assert "vgg5 of width 0.125, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    monkeypatch.setattr(subject, "train", forbidden)
    network = ("--checkpoint", str(tmp_path / "narrow" / "network.pt"))
    again = call(*COMPARE, *network, "--output", str(tmp_path / "again"))
    assert again.exit_code == 0, again.output
    assert "vgg5 of width 0.125, T = 2" in again.stdout
    other = call(*COMPARE, *network, "--width", "1", "--output", str(tmp_path / "other"))
    assert other.exit_code == 2
    assert "path: expected weights of this network" in message_of(other)


def test_images_of_one_s_own_are_compared_on_all_of_them_at_most(tmp_path):
    data = images(tmp_path / "mine.npz")
    arguments = ("--data", str(data), "--output", str(tmp_path / "out"), "--encoder", "poisson")
    done = call(*COMPARE, *arguments, "--attack", "fgsm", "--eps", "8/255", "--eot", "2")
    assert done.exit_code == 0, done.output
    assert "vgg5, T = 2, decay 0.5, poisson encoding on mine" in done.stdout
    assert "FGSM, eps 0.03137\n" in done.stdout
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert len(written["rows"]["stbp"]["correct"]) == 4
    assert written["settings"]["eot"] == 2


def test_a_checkpoint_of_other_images_is_a_usage_error(compared, tmp_path):
    data = images(tmp_path / "mine.npz")
    network = ("--checkpoint", str(compared[0] / "network.pt"))
    done = call(*COMPARE, *network, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "path: expected weights of this network, got a file that differs in" in message_of(done)


def test_images_in_no_form_of_images_are_a_usage_error(tmp_path):
    data = images(tmp_path / "mine.npz", y_test=np.eye(4))
    done = call(*COMPARE, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "y_test: expected 4 class indices from 0, got float64" in message_of(done)


def test_an_output_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = call(*COMPARE, "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "output" in message_of(done)


EVENTS = (
    *("compare", "--epochs", "1", "--batch", "4", "--repeats", "1", "--iterations", "2"),
    *("--attack", "pgd", "--eps", "3", "--rules", "stbp,rga", "--device", "cpu"),
)


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    change = {
        f"x_{part}": draw.integers(0, 5, (count, 3, 2, 4, 4), dtype=np.uint8)
        for part, count in (("train", 12), ("test", 4))
    }
    return images(tmp_path / "events.npz", **change)


def test_event_frames_are_attacked_within_the_range_that_is_given(counts, tmp_path, monkeypatch):
    crafted = []
    craft = Attack.craft

    def kept(self: Attack, *given: Any) -> np.ndarray:
        crafted.append(craft(self, *given))
        return crafted[-1]

    monkeypatch.setattr(Attack, "craft", kept)
    arguments = (*EVENTS, "--data", str(counts), "--output", str(tmp_path / "out"))
    done = call(*arguments, "--value-range", "0,5")
    assert done.exit_code == 0, done.output
    assert "vgg5, T = 3, decay 0.5, event frames on events" in done.stdout
    assert len(crafted) == 2
    x = np.load(counts)["x_test"].astype(np.float32)
    for adversarial in crafted:
        assert adversarial.shape == x.shape
        assert (adversarial.min(), adversarial.max()) == (0, 5)
        assert 0 < np.abs(adversarial - x).max() <= 3
    other = call(*arguments, "--value-range", "0,6")
    assert other.exit_code == 2
    assert "output: expected a folder without results, or with results of" in message_of(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "values from 0 to 4. Say which values may occur: value_range=(0, 4), on the command"),
        (("--value-range", "0,3"), "x_train: expected values within value_range, 0 to 3, got"),
        (("--value-range", "0,4", "--steps", "8"), "steps: expected 3, the number of frames of"),
        (("--value-range", "0,4", "--encoder", "direct"), "encoder: expected frames, since events"),
    ],
)
def test_event_frames_that_cannot_be_attacked_are_refused_before_any_training(
    arguments, message, counts, tmp_path, monkeypatch
):
    monkeypatch.setattr(subject, "train", forbidden)
    done = call(*EVENTS, "--data", str(counts), "--output", str(tmp_path / "out"), *arguments)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    done = call(
        *EVENTS, "--data", "nmnist", "--root", str(tmp_path), "--output", str(tmp_path / "o")
    )
    assert done.exit_code == 2, done.output
    assert "Install it by pip install 'art_snn[events]'." in message_of(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "stbp,sgd"), "rules: expected names out of stbp, pdsg, assg,"),
        (("--rules", ","), "rules: expected at least one, got none."),
        (("--eps", "small"), "eps: expected a number such as 0.03 or 8/255, got 'small'."),
        (("--eps", "8/0"), "eps: expected a number such as 0.03 or 8/255, got '8/0'."),
        (("--eps", "1/2/3"), "eps: expected a number such as 0.03 or 8/255, got '1/2/3'."),
        (("--eps", "-1/255"), "eps: expected a number above 0, got -0.0039"),
        (("--eps-step", "x"), "eps_step: expected a number such as 0.03 or 8/255, got 'x'."),
        (("--eps-step", "0"), "eps_step: expected a number above 0, got 0.0"),
        (("--attack", "cw"), "attack: expected one of fgsm, pgd, mim, apgd, got 'cw'."),
        (("--iterations", "0"), "iterations: expected a whole number >= 1, got 0."),
        (("--samples", "0"), "samples: expected a whole number >= 1, got 0."),
        (("--batch", "0"), "batch_size: expected a whole number >= 1, got 0."),
        (("--eot", "0"), "eot: expected a whole number >= 1, got 0."),
        (("--repeats", "0"), "repeats: expected a whole number >= 1, got 0."),
        (("--threads", "0"), "threads: expected a whole number >= 1, got 0."),
        (
            ("--model", "vgg7"),
            "model: expected one of vgg5, vgg11, vgg16, resnet17, sew-resnet17, vgg-dvs, got",
        ),
        (("--width", "0"), "width: expected a number above 0, got 0.0."),
        (("--encoder", "ttfs"), "encoder: expected one of direct, poisson, frames, got 'ttfs'."),
        (("--steps", "0"), "steps: expected a whole number >= 1, got 0."),
        (("--decay", "1.5"), "decay: expected a number above 0 and at most 1, got 1.5."),
        (("--epochs", "0"), "epochs: expected a whole number >= 1, got 0."),
        (("--device", "tpu"), "device_type: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--checkpoint", "none.pt"), "path: expected a checkpoint file, but none.pt does not"),
        (("--data", "cifar11"), "data: expected one of digits, mnist, fashion-mnist, cifar10,"),
        (("--data", "svhn", "--root", "none"), "data: expected svhn in none/train_32x32.mat and"),
        (("--image-size", "16"), "image_size: expected None for digits, whose images have"),
        (("--value-range", "0,1"), "value_range: expected None for digits, whose values are"),
        (("--value-range", "0"), "value_range: expected two numbers such as 0,1 or 0,255, got '0'"),
        (("--value-range", "0,x"), "value_range: expected a number such as 0.03 or 8/255, got"),
        (("--data", "nmnist", "--frames", "0"), "frames: expected a whole number >= 1, got 0."),
        (("--data", "nmnist", "--value-range", "2,1"), "value_range: expected (low, high), two"),
        (("--data", "none.npz"), "data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_comparison_that_makes_no_sense_is_a_usage_error(arguments, message, tmp_path):
    done = call(*COMPARE, "--output", str(tmp_path / "out"), *arguments)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert not list(tmp_path.glob("out/*"))


TINY_COST = (
    *("cost", "--model", "vgg5", "--steps", "2", "--batch", "2", "--image-size", "8"),
    *("--repeats", "1"),
)


def test_the_cost_of_chosen_rules_is_listed(monkeypatch):
    monkeypatch.setattr(cost.gradient, "_peak", lambda row, workload: 2**20)
    done = call(*TINY_COST, "--rules", "rga, hart")
    assert done.exit_code == 0, done.output
    starts = [line[:30].strip() for line in done.stdout.splitlines()]
    assert [start for start in starts if start.startswith("gradient by")] == [
        "gradient by RGA",
        "gradient by HART",
    ]
    assert "of one by STBP" not in done.stdout


def test_the_cost_of_event_frames_is_measured_with_their_channels(monkeypatch):
    monkeypatch.setattr(cost.gradient, "_peak", lambda row, workload: 2**20)
    arguments = ("--model", "vgg-dvs", "--channels", "2", "--image-size", "4", "--batch", "1")
    done = call(*TINY_COST, *arguments)
    assert done.exit_code == 0, done.output
    assert "vgg-dvs, T = 2, batch 1, 2x4x4, decay 0.5" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "sgd"), "rules: expected one of 'stbp', "),
        (("--rules", ""), "rules: expected one of 'stbp', "),
        (("--rules", "rga,cba"), "gradient: expected a rule that applies to every neuron of the"),
    ],
)
def test_the_cost_of_a_rule_that_is_unknown_or_does_not_apply_is_a_usage_error(arguments, message):
    done = call(*TINY_COST, *arguments)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)


def test_the_cost_is_printed_and_written(tmp_path):
    done = call(
        *("cost", "--model", "vgg5", "--steps", "2", "--batch", "2", "--image-size", "8"),
        *("--repeats", "1", "--keep-memory", "--output", str(tmp_path / "cost.json")),
    )
    assert done.exit_code == 0, done.output
    assert "x inference" in done.output
    assert "freed memory kept" in done.output
    written = json.loads((tmp_path / "cost.json").read_text())
    assert (written["repeats"], written["workload"]["keep_memory"]) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("cost", "--model", "vgg7"),
            "model: expected one of vgg5, vgg11, vgg16, resnet17, sew-resnet17, vgg-dvs, got",
        ),
        (("cost", "--channels", "0"), "channels: expected a whole number >= 1, got 0"),
        (("cost", "--steps", "0"), "steps: expected a whole number >= 1, got 0"),
        (("demo", "--epochs", "0"), "epochs"),
        (("demo", "--device", "tpu"), "device_type: expected 'gpu' or 'cpu', got 'tpu'"),
        (("dmo",), "No such command"),
    ],
)
def test_bad_arguments_are_usage_errors(arguments, message):
    done = call(*arguments)
    assert done.exit_code == 2
    assert message in message_of(done)
