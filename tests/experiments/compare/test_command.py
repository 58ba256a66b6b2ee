"""art-snn compare: exit codes, output and complaints."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from art_snn import checkpoint
from art_snn.attacks import Attack
from art_snn.experiments import trained
from art_snn.experiments.resume import read_result
from art_snn.models import Architecture
from tests.command import call, forbidden
from tests.datasets import counts, images
from tests.own import own

COMPARE = (
    *("compare", "--epochs", "1", "--steps", "2", "--samples", "8", "--batch-size", "8"),
    *("--repeats", "1", "--iterations", "1", "--rules", "stbp,rga,cba", "--device", "cpu"),
)
LOADED = ("compare", *COMPARE[COMPARE.index("--steps") :])
"""The same without a training."""
OPEN = ("compare", *COMPARE[COMPARE.index("--samples") :])
"""The same with the network left open."""
OTHERS = "--output: expected a folder without results, or with results of the same comparison"


def without(option: str, *, of: tuple[str, ...] = COMPARE) -> tuple[str, ...]:
    """The arguments without an option and its value."""
    place = of.index(option)
    return of[:place] + of[place + 2 :]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of a comparison on the digits."""
    folder = tmp_path_factory.mktemp("compare") / "digits"
    done = call(*COMPARE, "--output", str(folder))
    assert done.status == 0, done.stderr
    return folder, done.stdout


def test_a_comparison_on_digits_prints_its_table_and_writes_its_files(compared):
    folder, text = compared
    assert "vgg5, T = 2, decay 0.5, direct encoding on digits" in text
    assert "PGD, eps 0.03137, 1 steps of 0.007843" in text
    table, note = text.split("\n\n")[1:3]
    lines = [line.split() for line in table.splitlines()[1:]]
    assert [line[0] for line in lines] == ["stbp", "rga", "cba", "union"]
    assert " ".join(lines[2]) == "cba does not apply"
    assert note.startswith("cba does not apply: conversion to an ANN")
    assert f"Written to {folder}: compare.json, compare.md, compare.png" in text
    assert {file.name for file in folder.iterdir()} == {
        "compare.json",
        "compare.md",
        "compare.png",
        "network.pt",
    }
    written = read_result(folder / "compare.json")
    assert list(written["rows"]) == ["stbp", "rga", "cba"]
    assert len(written["rows"]["rga"]["correct"]) == 8
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split("|") for line in (folder / "compare.md").read_text().splitlines()]
    assert "rga" in [row[1].strip() for row in rows if len(row) > 1]


def test_a_second_comparison_prints_the_same_and_neither_trains_nor_attacks(compared, monkeypatch):
    folder, text = compared
    before = (folder / "compare.json").read_bytes()
    for place, name in ((trained, "train"), (Attack, "craft")):
        monkeypatch.setattr(place, name, forbidden)
    done = call(*COMPARE, "--output", str(folder))
    assert done.status == 0, done.stderr
    assert done.stdout == text
    assert (folder / "compare.json").read_bytes() == before


def test_other_settings_in_the_folder_of_a_comparison_are_a_usage_error(compared):
    folder, _ = compared
    done = call(*COMPARE, "--output", str(folder), "--eps", "0.1")
    assert done.status == 2
    assert OTHERS in done.complaint


@pytest.mark.parametrize("option", [("--decay", "0.9"), ("--epochs", "2"), ("--seed", "1")])
def test_a_folder_with_another_network_is_a_usage_error(option, compared, monkeypatch):
    monkeypatch.setattr(trained, "train", forbidden)
    done = call(*COMPARE, *option, "--output", str(compared[0]))
    assert done.status == 2
    assert "--output: expected a network of {'subject': " in done.complaint


def test_a_checkpoint_is_attacked_as_its_notes_describe_it(compared, tmp_path, monkeypatch):
    folder, _ = compared
    monkeypatch.setattr(trained, "train", forbidden)
    arguments = (*OPEN, "--checkpoint", str(folder / "network.pt"))
    done = call(*arguments, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    assert "vgg5, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    assert not (tmp_path / "network.pt").exists()
    ours, theirs = (read_result(place / "compare.json") for place in (tmp_path, folder))
    assert ours["key"] == theirs["key"]
    assert ours["rows"]["rga"]["robust"] == theirs["rows"]["rga"]["robust"]
    other = call(*arguments, "--output", str(tmp_path / "if"), "--decay", "1")
    assert other.status == 0, other.stderr
    words = "vgg5, T = 2, decay 1, direct encoding on digits; its weights were trained with decay"
    assert f"{words} 0.5\n" in other.stdout
    assert "does not apply" not in other.stdout


def test_a_checkpoint_under_other_neurons_does_not_take_up_the_earlier_results(compared, tmp_path):
    arguments = (*LOADED, "--checkpoint", str(compared[0] / "network.pt"))
    done = call(*arguments, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    other = call(*arguments, "--output", str(tmp_path), "--decay", "1")
    assert other.status == 2
    assert OTHERS in other.complaint


def test_a_narrow_network_is_compared_and_its_checkpoint_knows_its_width(tmp_path, monkeypatch):
    done = call(*COMPARE, "--width", "0.125", "--output", str(tmp_path / "narrow"))
    assert done.status == 0, done.stderr
    assert "vgg5 of width 0.125, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    monkeypatch.setattr(trained, "train", forbidden)
    network = ("--checkpoint", str(tmp_path / "narrow" / "network.pt"))
    again = call(*LOADED, *network, "--output", str(tmp_path / "again"))
    assert again.status == 0, again.stderr
    assert "vgg5 of width 0.125, T = 2" in again.stdout
    other = call(*LOADED, *network, "--width", "1", "--output", str(tmp_path / "other"))
    assert other.status == 2
    assert "--checkpoint: expected weights of this network" in other.complaint


def test_images_of_one_s_own_are_compared_on_all_of_them_at_most(tmp_path):
    data = images(tmp_path / "mine.npz")
    arguments = ("--data", str(data), "--output", str(tmp_path / "out"), "--encoder", "poisson")
    fgsm = without("--iterations")
    done = call(*fgsm, *arguments, "--attack", "fgsm", "--eps", "8/255", "--eot", "2")
    assert done.status == 0, done.stderr
    assert "vgg5, T = 2, decay 0.5, poisson encoding on mine" in done.stdout
    assert "FGSM, eps 0.03137\n" in done.stdout
    written = read_result(tmp_path / "out" / "compare.json")
    assert len(written["rows"]["stbp"]["correct"]) == 4
    assert written["settings"]["eot"] == 2


def test_a_checkpoint_of_other_images_is_a_usage_error(compared, tmp_path):
    data = images(tmp_path / "mine.npz")
    network = ("--checkpoint", str(compared[0] / "network.pt"))
    done = call(*LOADED, *network, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.status == 2
    message = "--checkpoint: expected weights of this network, got a file that differs in"
    assert message in done.complaint


def test_images_in_no_form_of_images_are_a_usage_error(tmp_path):
    data = images(tmp_path / "mine.npz", y_test=np.eye(4))
    done = call(*COMPARE, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "--data: expected 4 class indices from 0, got float64" in done.complaint


def test_an_output_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = call(*COMPARE, "--output", str(tmp_path / "out"))
    assert done.status == 2
    message = f"--output: expected a folder, for tables, pictures and figures, got {tmp_path}"
    assert message in done.complaint
    assert (tmp_path / "out").read_text() == "a file"


EVENTS = (
    *("compare", "--epochs", "1", "--batch-size", "4", "--repeats", "1", "--iterations", "2"),
    *("--attack", "pgd", "--eps", "3", "--rules", "stbp,rga", "--device", "cpu"),
)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return counts(tmp_path / "events.npz")


def test_event_frames_are_attacked_within_the_range_that_is_given(events, tmp_path, crafted):
    arguments = (*EVENTS, "--data", str(events), "--output", str(tmp_path / "out"))
    done = call(*arguments, "--value-range", "0,5")
    assert done.status == 0, done.stderr
    assert "vgg5, T = 3, decay 0.5, event frames on events" in done.stdout
    assert len(crafted) == 2
    x = np.load(events)["x_test"].astype(np.float32)
    for adversarial in crafted:
        assert adversarial.shape == x.shape
        assert (adversarial.min(), adversarial.max()) == (0, 5)
        assert 0 < np.abs(adversarial - x).max() <= 3
    other = call(*arguments, "--value-range", "0,6")
    assert other.status == 2
    assert OTHERS in other.complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--value-range: expected the range that an attack may use, got None, for events with"),
        ((), "values from 0 to 4. Say which values may occur: value_range=(0, 4), on the command"),
        (("--value-range", "0"), "--value-range: expected (low, high), two"),
        (("--value-range", "0,3"), "--data: expected values within value_range, 0 to 3, got"),
        (("--value-range", "0,4", "--steps", "8"), "--steps: expected 3, the number of frames of"),
        (("--value-range", "0,4", "--encoder", "direct"), "--encoder: expected frames, since even"),
    ],
)
def test_event_frames_that_cannot_be_attacked_are_refused_before_any_training(
    arguments, message, events, tmp_path, monkeypatch
):
    monkeypatch.setattr(trained, "train", forbidden)
    done = call(*EVENTS, "--data", str(events), "--output", str(tmp_path / "out"), *arguments)
    assert done.status == 2, done.stdout
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    done = call(
        *EVENTS, "--data", "nmnist", "--root", str(tmp_path), "--output", str(tmp_path / "o")
    )
    assert done.status == 2, done.stdout
    assert "Install it by pip install 'art_snn[events]'." in done.complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "stbp,sgd"), "--rules: expected one of 'stbp', 'pdsg', 'assg',"),
        (("--rules", ","), "--rules: expected at least one, got none."),
        (("--eps", "small"), "--eps: expected a number such as 0.03 or 8/255, got 'small'."),
        (("--eps", "8/0"), "--eps: expected a number such as 0.03 or 8/255, got '8/0'."),
        (("--eps", "1/2/3"), "--eps: expected a number such as 0.03 or 8/255, got '1/2/3'."),
        (("--eps", "-1/255"), "--eps: expected a number above 0, got -0.0039"),
        (("--eps-step", "x"), "--eps-step: expected a number such as 0.03 or 8/255, got 'x'."),
        (("--eps-step", "0"), "--eps-step: expected a number above 0, got 0.0"),
        (("--attack", "cw"), "--attack: expected one of fgsm, pgd, pgd-7, mim, apgd, sa-pgd, got"),
        (("--attack", "fgsm"), "--iterations: expected None for fgsm, which has none, got 1."),
        (
            ("--attack", "apgd", "--eps-step", "0.1"),
            "--eps-step: expected None for apgd, which has none, got 0.1.",
        ),
        (("--iterations", "0"), "--iterations: expected a whole number >= 1, got 0."),
        (("--iterations", "1.5"), "--iterations: expected a whole number such as 8, got '1.5'."),
        (("--samples", "0"), "--samples: expected a whole number >= 1, got 0."),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0."),
        (("--eot", "0"), "--eot: expected a whole number >= 1, got 0."),
        (("--repeats", "0"), "--repeats: expected a whole number >= 1, got 0."),
        (("--threads", "0"), "--threads: expected a whole number >= 1, got 0."),
        (("--seed", "-1"), "--seed: expected a whole number >= 0, got -1."),
        (
            ("--model", "vgg7"),
            "--model: expected one of vgg5, vgg11, vgg16, resnet17, sew-resnet17, vgg-dvs, got",
        ),
        (("--width", "0"), "--width: expected a number above 0, got 0.0."),
        (("--encoder", "ttfs"), "--encoder: expected one of direct, poisson, frames, got 'ttfs'."),
        (("--steps", "0"), "--steps: expected a whole number >= 1, got 0."),
        (("--decay", "1.5"), "--decay: expected a number above 0 and at most 1, got 1.5."),
        (("--epochs", "0"), "--epochs: expected a whole number >= 1, got 0."),
        (("--device", "tpu"), "--device: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--data", "cifar11"), "--data: expected one of digits, mnist, fashion-mnist, cifar10,"),
        (("--data", "svhn", "--root", "none"), "--data: expected svhn in none/train_32x32.mat and"),
        (("--image-size", "16"), "--image-size: expected None for digits, whose images have"),
        (("--value-range", "0,1"), "--value-range: expected None for digits, whose values are"),
        (("--encoder", "None"), "--encoder: expected one of direct, poisson, frames, got 'None'."),
        (("--reset", "none"), "--reset: expected one of hard, soft, got 'none'."),
        (("--axes", "NC"), "--axes: expected one of NCHW, NHWC, got 'NC'."),
        (("--value-range", "0,x"), "--value-range: expected a number such as 0.03 or 8/255, got"),
        (("--data", "nmnist", "--frames", "0"), "--frames: expected a whole number >= 1, got 0."),
        (("--data", "nmnist", "--value-range", "2,1"), "--value-range: expected (low, high), two"),
        (("--data", "none.npz"), "--data: expected a .npz file, but none.npz does not exist."),
        (
            ("--checkpoint", "none.pt"),
            "--epochs: expected None beside a checkpoint, which is not trained further, got 1.",
        ),
    ],
)
def test_a_comparison_that_makes_no_sense_is_a_usage_error(arguments, message, tmp_path):
    done = call(*COMPARE, "--output", str(tmp_path / "out"), *arguments)
    assert done.status == 2, done.stdout
    assert message in done.complaint
    assert not list(tmp_path.glob("out/*"))


def test_a_checkpoint_that_is_not_there_is_a_usage_error(tmp_path):
    done = call(*LOADED, "--checkpoint", "none.pt", "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stdout
    assert "--checkpoint: expected a checkpoint file, but none.pt does not exist" in done.complaint
    assert not list(tmp_path.iterdir())


OWN = (*OPEN, "--model")


def test_a_function_of_one_s_own_is_attacked_with_the_weights_that_it_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "train", forbidden)
    model, folder = own(tmp_path, (1, 8, 8), 10), tmp_path / "out"
    done = call(*OWN, model, "--output", str(folder))
    assert done.status == 0, done.stderr
    assert f"{model}, T = 3, direct encoding on digits" in done.stdout
    assert sorted(file.name for file in folder.iterdir()) == [
        "compare.json",
        "compare.md",
        "compare.png",
    ]
    key = read_result(folder / "compare.json")["key"]
    monkeypatch.setattr(Attack, "craft", forbidden)
    again = call(*OWN, model, "--output", str(folder))
    assert (again.status, again.stdout) == (0, done.stdout)
    other = call(*OWN, model, "--output", str(folder), "--seed", "1")
    assert other.status == 2
    assert OTHERS in other.complaint
    assert read_result(folder / "compare.json")["key"] == key


def test_a_function_of_one_s_own_is_trained_where_epochs_are_told_and_loaded_again(
    tmp_path, monkeypatch
):
    model, folder = own(tmp_path, (1, 8, 8), 10), tmp_path / "out"
    done = call(*OWN, model, "--epochs", "1", "--output", str(folder))
    assert done.status == 0, done.stderr
    weights = folder / "network.pt"
    assert checkpoint.notes(weights)["subject"]["model"] == model
    monkeypatch.setattr(trained, "train", forbidden)
    loaded = ("--checkpoint", str(weights), "--output", str(tmp_path / "loaded"))
    again = call(*OWN, model, *loaded)
    assert again.status == 0, again.stderr
    ours, theirs = (read_result(place / "compare.json") for place in (folder, tmp_path / "loaded"))
    assert ours["key"] == theirs["key"]
    assert ours["rows"]["rga"]["robust"] == theirs["rows"]["rga"]["robust"]


def test_no_code_is_run_out_of_a_checkpoint(tmp_path, monkeypatch):
    model = own(tmp_path, (1, 8, 8), 10)
    weights = tmp_path / "network.pt"
    network = Architecture(model=model).made()
    checkpoint.save(network, weights, subject={"model": model, "epochs": 1, "seed": 0})
    (tmp_path / "mine.py").write_text("raise AssertionError('run although no one asked for it')")
    done = call(*OPEN, "--checkpoint", str(weights), "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stdout
    message = "--model: expected the function that builds the network, since no checkpoint runs"
    assert message in done.complaint
    assert model in done.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("none.py:build",),
            "--model: expected file.py:function or package.module:function, but th",
        ),
        (("none_of_mine:f",), "--model: expected file.py:function or package.module:function, but"),
        (("{}", "--width", "0.5"), "--width: expected None beside {}, which builds its network"),
        (("{}", "--decay", "1"), "--decay: expected None beside {}, which builds its network"),
        (("{}", "--encoder", "direct"), "--encoder: expected None beside {}, which builds its"),
        (("{}s",), "and there is no function 'builds' in"),
    ],
)
def test_a_function_that_cannot_be_taken_is_a_usage_error(arguments, message, tmp_path):
    model = own(tmp_path, (1, 8, 8), 10)
    filled = [word.format(model) for word in arguments]
    done = call(*OWN, *filled, "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stdout
    assert message.format(model) in done.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((1, 4, 4), 10, "--data: expected shape [N, 1, 4, 4], got [1, 1, 8, 8]."),
        ((1, 8, 8), 3, "--model: expected logits of shape [N, 10], as nb_classes says, got [8, 3]"),
    ],
)
def test_a_network_for_other_data_is_a_usage_error(shape, classes, message, tmp_path):
    model = own(tmp_path, shape, classes)
    done = call(*OPEN, "--model", model, "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stdout
    assert message in done.complaint
    assert not (tmp_path / "out").exists()
