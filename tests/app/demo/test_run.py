"""The demo on a few images: what it writes, says, and that it can be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from art_snn.app.demo import ATTACKS, GRADIENTS, Demonstration, Settings, run
from art_snn.app.demo.run import build
from art_snn.app.resume import read_result
from art_snn.data import digits
from tests.command import call
from tests.own import own

SMALL = Settings(epochs=1, test_images=24, eps=(0.1, 0.3), device="cpu")
WORDS = ("demo", "--epochs", "1", "--test-images", "24", "--eps", "0.1,0.3", "--device", "cpu")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Demonstration, Path]:
    """Settings, result and folder of a network of a few neurons."""
    folder = tmp_path_factory.mktemp("demo") / "made" / "here"
    settings = replace(SMALL, model=own(folder.parents[1], (1, 8, 8), 10), output=folder)
    return settings, run(settings), folder


def test_it_writes_results_and_pictures(narrow):
    _, outcome, folder = narrow
    results = read_result(folder / "results.json")
    assert results["accuracy"] == outcome.accuracy
    assert set(results["networks"]) == {"plain", "adversarially trained"}
    for curves in results["networks"].values():
        assert set(curves) == {f"{a} by {g}" for a in ATTACKS for g in GRADIENTS}
        assert all(len(points) == len(SMALL.eps) for points in curves.values())
    assert (folder / "results.md").read_text() == outcome.render("markdown")
    assert {file.name for file in folder.iterdir()} == set(outcome.files)
    for picture in ("accuracy.png", "adversarials.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_table_and_verdict_and_gives_the_same_with_the_same_seed(
    narrow, tmp_path
):
    settings, outcome, folder = narrow
    done = call(*WORDS, "--model", settings.model, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    assert outcome.render() in done.stdout
    files = "results.json, results.md, accuracy.png, adversarials.png"
    assert f"Written to {tmp_path}: {files}" in done.stdout
    assert (tmp_path / "results.json").read_text() == (folder / "results.json").read_text()


def test_the_network_is_a_small_vgg_unless_another_is_named():
    data = digits(seed=0)
    classifier = build(data, SMALL)
    assert classifier.predict(data.x_test[:2]).shape == (2, 10)
    convolutions = [w.shape[0] for w in classifier.model.parameters() if w.ndim == 4]
    assert convolutions == [32, 64]


def test_adversarials_are_crafted_in_the_precision_that_was_asked_for(narrow, tmp_path):
    settings, outcome, folder = narrow
    half = run(replace(settings, attack_dtype="bfloat16", output=tmp_path))
    assert read_result(tmp_path / "results.json")["attack_dtype"] == "bfloat16"
    assert read_result(folder / "results.json")["attack_dtype"] is None
    assert "crafted in bfloat16" in half.render()
    assert "crafted" not in outcome.render()
    assert half.accuracy["plain"] == outcome.accuracy["plain"]
    for gradient in GRADIENTS:
        assert not np.array_equal(half.pictures[gradient], outcome.pictures[gradient])


def test_adversarials_stay_within_the_budget_and_the_pixel_range(narrow):
    pictures = narrow[1].pictures
    for gradient in GRADIENTS:
        assert np.abs(pictures[gradient] - pictures["original"]).max() <= 0.3 + 1e-6
        assert 0 <= pictures[gradient].min() <= pictures[gradient].max() <= 1
