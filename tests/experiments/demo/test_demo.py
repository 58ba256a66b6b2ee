"""The demo on a few images: what it writes, says, and that it can be repeated."""

import json
from pathlib import Path

import numpy as np
import pytest

from art_snn.demo import ATTACKS, GRADIENTS, Demo, Outcome, draw_curves, run, table, verdicts
from art_snn.metrics import Robustness

SMALL = Demo(epochs=2, adversarial_epochs=1, test_images=24, eps=(0.1, 0.3), device_type="cpu")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("demo") / "made" / "here"
    return run(SMALL, folder), folder


def test_it_writes_results_and_pictures(first):
    outcome, folder = first
    results = json.loads((folder / "results.json").read_text())
    assert results["accuracy"] == outcome.accuracy
    assert set(results["networks"]) == {"plain", "adversarially trained"}
    for curves in results["networks"].values():
        assert set(curves) == {f"{a} by {g}" for a in ATTACKS for g in GRADIENTS}
        assert all(len(points) == len(SMALL.eps) for points in curves.values())
    for picture in ("accuracy.png", "adversarials.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_results(first, tmp_path):
    _, folder = first
    run(SMALL, tmp_path)
    assert (tmp_path / "results.json").read_text() == (folder / "results.json").read_text()


def test_adversarials_stay_within_the_budget_and_the_pixel_range(first):
    pictures = first[0].pictures
    for gradient in GRADIENTS:
        assert np.abs(pictures[gradient] - pictures["original"]).max() <= 0.3 + 1e-6
        assert 0 <= pictures[gradient].min() <= pictures[gradient].max() <= 1


def outcome_with(rga: int, stbp: int) -> Outcome:
    """A plain network on 40 images; each rule flips the first or last so many of them."""
    correct = np.ones(40, dtype=bool)
    curves = {}
    for attack in ATTACKS:
        for gradient, count in (("rga", rga), ("stbp", stbp)):
            robust = correct.copy()
            robust[slice(None, count) if gradient == "rga" else slice(40 - count, None)] = False
            curves[attack, gradient] = [Robustness(correct, robust)]
    return Outcome(Demo(eps=(0.1,)), accuracy={"plain": 1.0}, curves={"plain": curves})


@pytest.mark.parametrize(
    ("rga", "stbp", "finding"),
    [
        (20, 2, "RGA stronger at 0.1"),
        (2, 20, "STBP stronger at 0.1"),
        (10, 9, "no difference that these images can show"),
    ],
)
def test_the_verdict_names_the_stronger_gradient_or_none(rga, stbp, finding):
    for verdict in verdicts(outcome_with(rga, stbp)):
        assert finding in verdict
        assert f"RGA alone {rga}, by STBP alone {stbp}" in verdict


def test_the_table_shows_success_with_its_interval():
    assert "50.0 % [35.2, 64.8]" in table(outcome_with(20, 2))


def test_the_curves_start_at_the_clean_accuracy():
    axes = draw_curves(outcome_with(20, 10)).axes
    assert [line.get_ydata()[0] for line in axes[0].lines] == [100.0] * 4
    assert sorted({line.get_ydata()[1] for line in axes[0].lines}) == [50.0, 75.0]
