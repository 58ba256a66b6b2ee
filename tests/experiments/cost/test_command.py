"""art-snn cost: what it prints, writes and refuses."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from tests.command import Done, call

TINY = ("--model", "vgg5", "--steps", "2", "--batch-size", "2", "--image-size", "8")
TINY_COST = ("cost", *TINY, "--repeats", "1")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every peak is a mebibyte, without a process for each; the folder for results."""
    module = import_module("art_snn.experiments.cost.run")
    monkeypatch.setattr(module, "_peak", lambda row, load: 2**20)
    return tmp_path / "out"


def gradients(done: Done) -> list[str]:
    """The rows of chosen rules: their first words, up to the first figure."""
    assert done.status == 0, done.stderr
    starts = [" ".join(line.split()[:3]) for line in done.stdout.splitlines()]
    return [start for start in starts if start.startswith("gradient by")]


def test_the_cost_of_chosen_rules_is_listed(quick):
    done = call(*TINY_COST, "--rules", "rga, hart", "--output", str(quick))
    assert gradients(done) == ["gradient by RGA", "gradient by HART"]
    assert "of one by STBP" not in done.stdout


def test_the_cost_of_event_frames_is_measured_with_their_channels(quick):
    arguments = ("--model", "vgg-dvs", "--channels", "2", "--image-size", "4", "--batch-size", "1")
    done = call(*TINY_COST, *arguments, "--output", str(quick))
    assert done.status == 0, done.stderr
    assert "vgg-dvs, T = 2, decay 0.5, event frames, batch 1, 2x2x4x4" in done.stdout


def test_the_cost_is_printed_and_written(tmp_path):
    folder = tmp_path / "out"
    done = call(*TINY_COST, "--keep-memory", "--output", str(folder))
    assert gradients(done) == ["gradient by RGA", "gradient by STBP"]
    assert "x inference" in done.stdout
    assert "freed memory kept" in done.stdout
    assert "of the time of one by STBP." in done.stdout
    assert f"Written to {folder}: cost.json, cost.md, cost.png" in done.stdout
    written = json.loads((folder / "cost.json").read_text())
    assert (written["repeats"], written["workload"]["keep_memory"]) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "sgd"), "--rules: expected one of 'stbp', "),
        (("--rules", ""), "--rules: expected at least one, got none."),
        (("--rules", "rga,cba"), "--rules: expected a rule that applies to every neuron of the"),
        (
            ("--model", "vgg7"),
            "--model: expected one of vgg5, vgg11, vgg16, resnet17, sew-resnet17, vgg-dvs, got",
        ),
        (("--channels", "0"), "--channels: expected a whole number >= 1, got 0"),
        (("--steps", "0"), "--steps: expected a whole number >= 1, got 0"),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0"),
        (("--repeats", "0"), "--repeats: expected a whole number >= 1, got 0"),
        (("--output", "cost.json"), "--output: expected a folder, for tables, pictures and"),
    ],
)
def test_a_cost_that_cannot_be_measured_is_a_usage_error(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*TINY_COST, *arguments)
    assert done.status == 2, done.stdout
    assert f"art-snn cost: error: {message}" in done.complaint
    assert list(tmp_path.iterdir()) == []
