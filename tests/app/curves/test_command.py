"""art-snn curves: what it prints and writes, and its complaints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_snn import RGA
from art_snn.app import trained
from art_snn.app.resume import read_result
from art_snn.curves import curves_of
from tests.command import call, forbidden
from tests.datasets import images

OPTIONS = ("--epochs", "1", "--steps", "2", "--threshold", "0.25", "--device", "cpu")
CURVES = ("curves", *OPTIONS, "--pairs", "40")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(images(tmp_path_factory.mktemp("data") / "mine.npz"))


@pytest.fixture(scope="module")
def recorded(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of recordings with the default decays."""
    folder = tmp_path_factory.mktemp("curves") / "out"
    done = call(*CURVES, "--data", data, "--output", str(folder))
    assert done.status == 0, done.stderr
    return folder, done.stdout


def test_both_kinds_of_neurons_are_recorded_and_the_files_written(recorded):
    folder, text = recorded
    assert "vgg5, T = 2, decay 1, threshold 0.25, direct encoding on mine" in text
    assert "vgg5, T = 2, decay 0.5, threshold 0.25, direct encoding on mine" in text
    assert text.count("layers.4: 40 of 2048 pairs of sample and neuron, ") == 2
    starts = [line.split("  ")[0] for line in text.splitlines()]
    names = ["curve", "static", "static, smooth", "RGA"]
    assert [start for start in starts if start in names] == names * 2
    assert text.count("nearest") == 2
    assert f"Written to {folder}: curves.json, curves.md, curves.png, pairs.npz" in text
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "curves.md").read_text().count("| static, smooth ") == 2


def test_the_numbers_in_the_table_follow_from_the_pairs_that_were_written(recorded):
    folder, text = recorded
    written = read_result(folder / "curves.json")
    rule = {"beta": 2.0, "gamma": 0.2}
    settings = {"layer": 1, "pairs": 40, "batch_size": 64, "seed": 0, "rule": rule}
    assert written["settings"] == settings
    with np.load(folder / "pairs.npz") as arrays:
        for panel, decay in zip(written["panels"], ("1", "0.5"), strict=True):
            current, rate = (arrays[f"decay-{decay}/{name}"] for name in ("current", "rate"))
            assert len(np.unique(arrays[f"decay-{decay}/sample"])) > 1
            assert panel["decay"] == panel["subject"]["decay"] == float(decay)
            assert panel["silent"]["count"] == (rate == 0).sum()
            for name, curve in curves_of(float(decay), 0.25, RGA()).items():
                rms = np.sqrt(((rate - curve(current)) ** 2).mean())
                assert panel["deviations"][name]["rms"] == pytest.approx(rms)
                assert f"{rms:.4f}" in text


def test_another_layer_and_another_polyline_need_no_new_training(recorded, data, monkeypatch):
    folder, _ = recorded
    monkeypatch.setattr(trained, "train", forbidden)
    wanted = ("--beta", "3", "--gamma", "0", "--pairs", "9999")
    for layer in ("0", "layers.1"):
        arguments = ("curves", *OPTIONS, *wanted, "--layer", layer, "--data", data)
        done = call(*arguments, "--output", str(folder))
        assert done.status == 0, done.stderr
        assert "layers.1: 4096 of 4096 pairs" in done.stdout
        written = read_result(folder / "curves.json")
        assert written["settings"]["rule"] == {"beta": 3.0, "gamma": 0.0}
