"""art-snn curves: what it prints and writes, and its complaints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_snn import RGA, checkpoint
from art_snn.curves import curves_of
from art_snn.data import from_npz
from art_snn.experiments import trained
from art_snn.experiments.resume import read_result
from art_snn.models import Architecture
from tests.command import call, forbidden
from tests.datasets import images
from tests.own import own

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
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == {
        "curves.json",
        "curves.md",
        "curves.png",
        "pairs.npz",
        "decay-1/network.pt",
        "decay-0.5/network.pt",
    }
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = [
        row.split("|")[1].strip()
        for row in (folder / "curves.md").read_text().splitlines()
        if "|" in row
    ]
    assert rows.count("static, smooth") == 2


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


def test_a_second_call_does_not_train_and_gives_the_same(recorded, data, monkeypatch):
    folder, text = recorded
    before = (folder / "curves.json").read_bytes()
    monkeypatch.setattr(trained, "train", forbidden)
    done = call(*CURVES, "--data", data, "--output", str(folder))
    assert done.status == 0, done.stderr
    assert done.stdout == text
    assert (folder / "curves.json").read_bytes() == before


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


def test_checkpoints_are_recorded_under_the_decays_that_they_note(recorded, data, tmp_path):
    folder, _ = recorded
    files = [folder / "decay-0.5" / "network.pt", folder / "decay-1" / "network.pt"]
    named = [part for file in files for part in ("--checkpoint", str(file))]
    arguments = ("curves", "--device", "cpu", "--pairs", "40", "--data", data, *named)
    done = call(*arguments, "--output", str(tmp_path / "a"))
    assert done.status == 0, done.stderr
    ours = read_result(tmp_path / "a" / "curves.json")
    assert [panel["decay"] for panel in ours["panels"]] == [0.5, 1.0]
    assert ours["panels"][0]["subject"]["threshold"] == 0.25
    assert not list((tmp_path / "a").rglob("network.pt"))
    done = call(*arguments, "--decays", "0.9, 0.75", "--output", str(tmp_path / "b"))
    assert done.status == 0, done.stderr
    theirs = read_result(tmp_path / "b" / "curves.json")
    assert [panel["decay"] for panel in theirs["panels"]] == [0.9, 0.75]


def test_decays_are_told_in_one_list(data, tmp_path, monkeypatch):
    monkeypatch.setattr(trained.Trained, "_train", lambda *_: None)
    done = call(*CURVES, "--decays", "0.9, 1,1/4", "--data", data, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    written = read_result(tmp_path / "curves.json")
    assert [panel["decay"] for panel in written["panels"]] == [0.9, 1.0, 0.25]


def test_one_decay_is_one_network(data, tmp_path, monkeypatch):
    monkeypatch.setattr(trained.Trained, "_train", lambda *_: None)
    done = call(*CURVES, "--decay", "0.9", "--data", data, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    written = read_result(tmp_path / "curves.json")
    assert [panel["decay"] for panel in written["panels"]] == [0.9]


def test_a_network_of_one_s_own_is_recorded_without_training(data, tmp_path, monkeypatch):
    model = own(tmp_path, classes=3, decay=0.75)
    monkeypatch.setattr(trained, "train", forbidden)
    arguments = ("curves", "--device", "cpu", "--pairs", "9", "--data", data, "--model", model)
    done = call(*arguments, "--layer", "0", "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert f"{model}, T = 3, direct encoding on mine\nlayers.1: 9 of 32 pairs" in done.stdout
    (panel,) = read_result(tmp_path / "out" / "curves.json")["panels"]
    assert panel["decay"] == 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--decays", "1"), "--decays: expected None beside a"),
        (("--decay", "1"), "--decay: expected None beside "),
        (("--reset", "soft"), "--reset: expected None beside "),
        (("--layer", "1"), "--layer: expected one of layers.1, or an index from 0 to 0"),
        (("--layer", "0", "--beta", "0.2"), "--beta: expected more than 1 - decay = 0.25 for a"),
    ],
)
def test_what_does_not_suit_a_network_of_one_s_own_is_a_usage_error(
    arguments, message, data, tmp_path
):
    model = own(tmp_path, classes=3, decay=0.75)
    network = ("curves", "--data", data, "--model", model, "--output", str(tmp_path / "out"))
    done = call(*network, *arguments)
    assert done.status == 2
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_there_is_a_usage_error(data, tmp_path):
    out = str(tmp_path / "out")
    done = call("curves", "--data", data, "--checkpoint", "none.pt", "--output", out)
    assert done.status == 2
    assert "--checkpoint: expected a checkpoint file, but none.pt does not" in done.complaint
    assert not (tmp_path / "out").exists()


def test_a_folder_with_another_network_is_a_usage_error(recorded, data):
    done = call(*CURVES, "--seed", "1", "--data", data, "--output", str(recorded[0]))
    assert done.status == 2
    assert "output: expected a network of {'subject': " in done.complaint


def test_a_network_with_a_soft_reset_is_a_usage_error(recorded, data, tmp_path):
    soft = {"reset": "soft", "steps": 2}
    content = Architecture(**soft).build(from_npz(data))
    checkpoint.save(content, tmp_path / "soft.pt", subject=soft)
    arguments = ("--checkpoint", str(tmp_path / "soft.pt"), "--data", data)
    done = call("curves", *arguments, "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "reset: expected 'hard', got 'soft'. The static curve" in done.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--decays", "half"), "--decays: expected a number such as 0.03 or 8/255, got 'half'."),
        (("--decays", "0.5,"), "--decays: expected a number such as 0.03 or 8/255, got ''."),
        (("--decays", ""), "--decays: expected a number such as 0.03 or 8/255, got ''."),
        (("--decays", "0.5,1", "--decay", "0.5"), "--decays: expected None beside a decay"),
        (("--decay", "0.5,1"), "--decay: expected a number such as 0.03 or 8/255, got '0.5,1'."),
        (("--decays", "1.5"), "--decays: expected a number above 0 and at most 1, got 1.5."),
        (("--decay", "1.5"), "--decay: expected a number above 0 and at most 1, got 1.5."),
        (("--decays", "0.5,0.5"), "--decays: expected one or more different ones, got 0.5, 0.5."),
        (("--layer", "4"), "--layer: expected one of layers.1, layers.4, layers.6, layers.9, or"),
        (("--layer", "conv"), "got 'conv'. Only layers of neurons have a rate."),
        (("--beta", "0"), "--beta: expected a number above 0, got 0.0."),
        (("--beta", "0.4"), "--beta: expected more than 1 - decay = 0.5 for a neuron with decay"),
        (("--gamma", "-1"), "--gamma: expected a number of at least 0, got -1.0."),
        (("--pairs", "0"), "--pairs: expected a whole number >= 1, got 0."),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0."),
        (("--seed", "-1"), "--seed: expected a whole number >= 0, got -1."),
        (("--threads", "0"), "--threads: expected a whole number >= 1, got 0."),
        (("--model", "vgg7"), "--model: expected one of vgg5, vgg11, vgg16, resnet17,"),
        (("--epochs", "0"), "--epochs: expected a whole number >= 1, got 0."),
        (("--device", "tpu"), "--device: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--checkpoint", "none.pt"), "--epochs: expected None beside a checkpoint, which is not"),
        (
            ("--model", "mine.py:net", "--width", "1"),
            "--width: expected None beside mine.py:net, which builds its",
        ),
        (("--data", "none.npz"), "--data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_recording_that_makes_no_sense_is_a_usage_error(arguments, message, data, tmp_path):
    done = call(*CURVES, "--data", data, "--output", str(tmp_path / "out"), *arguments)
    assert done.status == 2, done.stderr
    assert message in done.complaint
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_help_lists_the_command_and_its_options():
    assert "curves" in call("--help").stdout
    told = call("curves", "--help").stdout
    assert all(f"--{option} " in told for option in ("layer", "pairs", "decays", "decay", "beta"))
