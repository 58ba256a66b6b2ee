"""art-snn compare: exit codes, output and complaints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_snn import checkpoint
from art_snn.app import trained
from art_snn.app.resume import read_result
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
    names = {"compare.json", "compare.md", "compare.png", "network.safetensors"}
    assert {file.name for file in folder.iterdir()} == names
    written = read_result(folder / "compare.json")
    assert list(written["rows"]) == ["stbp", "rga", "cba"]
    assert len(written["rows"]["rga"]["outcome"]["correct"]) == 8
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split("|") for line in (folder / "compare.md").read_text().splitlines()]
    assert "rga" in [row[1].strip() for row in rows if len(row) > 1]


def test_a_checkpoint_is_attacked_as_its_notes_describe_it(compared, tmp_path, monkeypatch):
    folder, _ = compared
    monkeypatch.setattr(trained, "train", forbidden)
    arguments = (*OPEN, "--checkpoint", str(folder / "network.safetensors"))
    done = call(*arguments, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    assert "vgg5, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    assert not (tmp_path / "network.safetensors").exists()
    ours, theirs = (read_result(place / "compare.json") for place in (tmp_path, folder))
    assert ours["key"] == theirs["key"]
    assert ours["rows"]["rga"]["outcome"]["robust"] == theirs["rows"]["rga"]["outcome"]["robust"]
    other = call(*arguments, "--output", str(tmp_path / "if"), "--decay", "1")
    assert other.status == 0, other.stderr
    words = "vgg5, T = 2, decay 1, direct encoding on digits; its weights were trained with decay"
    assert f"{words} 0.5\n" in other.stdout
    assert "does not apply" not in other.stdout


def test_a_narrow_network_is_compared_and_its_checkpoint_knows_its_width(tmp_path, monkeypatch):
    done = call(*COMPARE, "--width", "0.125", "--output", str(tmp_path / "narrow"))
    assert done.status == 0, done.stderr
    assert "vgg5 of width 0.125, T = 2, decay 0.5, direct encoding on digits" in done.stdout
    monkeypatch.setattr(trained, "train", forbidden)
    network = ("--checkpoint", str(tmp_path / "narrow" / "network.safetensors"))
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
    assert "vgg5, T = 2, decay 0.5, poisson encoding on mine.npz" in done.stdout
    assert "FGSM, eps 0.03137\n" in done.stdout
    written = read_result(tmp_path / "out" / "compare.json")
    assert len(written["rows"]["stbp"]["outcome"]["correct"]) == 4
    assert written["settings"]["eot"] == 2


def test_a_checkpoint_of_other_images_is_a_usage_error(compared, tmp_path):
    data = images(tmp_path / "mine.npz")
    network = ("--checkpoint", str(compared[0] / "network.safetensors"))
    done = call(*LOADED, *network, "--data", str(data), "--output", str(tmp_path / "out"))
    assert done.status == 2
    message = "--checkpoint: expected weights of this network, got a file that differs in"
    assert message in done.complaint


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
        ((), "--value-range: expected the range that an attack may use, got None, for events.npz"),
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


def test_no_code_is_run_out_of_a_checkpoint(tmp_path, monkeypatch):
    model = own(tmp_path, (1, 8, 8), 10)
    weights = tmp_path / "network.safetensors"
    network = Architecture(model=model).made()
    checkpoint.save(network, weights, subject={"model": model, "epochs": 1, "seed": 0})
    (tmp_path / "mine.py").write_text("raise AssertionError('run although no one asked for it')")
    done = call(*OPEN, "--checkpoint", str(weights), "--output", str(tmp_path / "out"))
    assert done.status == 2, done.stdout
    message = "--model: expected the function that builds the network, since no checkpoint runs"
    assert message in done.complaint
    assert model in done.complaint
    assert not (tmp_path / "out").exists()
