"""art-snn cost: its options, what it prints and writes, and what it refuses."""

from __future__ import annotations

import importlib

import pytest

from art_snn.experiments.resume import read_result
from tests.command import call
from tests.experiments.scaling.standins import of_an_earlier_version
from tests.measuring import mirrors
from tests.own import own

TINY = (
    *("cost", "--model", "vgg5", "--steps", "2", "--batch-size", "2", "--image-size", "8"),
    *("--channels", "1", "--repeats", "1", "--rules", "rga,stbp"),
)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peak is a MiB."""
    module = importlib.import_module("art_snn.experiments.cost.run")
    monkeypatch.setattr(module, "in_fresh_process", lambda *_: 2**20)


def test_the_cost_is_printed_and_written(tmp_path):
    done = call(*TINY, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    for row in ("inference, no gradient", "gradient by RGA", "ART's stock classifier, STBP"):
        assert row in done.stdout
    assert "One input gradient: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in (
        done.stdout
    )
    assert done.stdout.endswith(f"\nWritten to {tmp_path / 'out'}: cost.json, cost.md, cost.png\n")
    content = read_result(tmp_path / "out" / "cost.json")
    assert content["workload"]["rules"] == ["rga", "stbp"]
    assert set(content["seconds"]) == {"inference", "rga", "stbp", "stock rga", "stock stbp"}


def test_the_cost_of_chosen_rules_is_listed(tmp_path):
    done = call(*TINY, "--rules", "hart, rga-8-steps", "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert "gradient by HART" in done.stdout
    assert "gradient by RGA-8-STEPS" in done.stdout
    assert "gradient by RGA " not in done.stdout


def test_the_cost_of_event_frames_is_measured_with_their_channels(tmp_path):
    done = call(
        *TINY, "--model", "vgg-dvs", "--channels", "2", "--width", "0.05", "--output", str(tmp_path)
    )
    assert done.status == 0, done.stderr
    assert "2x2x8x8" in done.stdout


def test_a_training_step_beside_the_frameworks_is_printed_and_written(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    words = [word for word in TINY if word not in ("--rules", "rga,stbp")]
    done = call(*words, "--training", "--peers", "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert "One training step: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in (
        done.stdout
    )
    assert "SpikingJelly 2.0.0, its own gradient" in done.stdout
    assert "snnTorch 1.0 or later was not found." in done.stdout
    content = read_result(tmp_path / "out" / "cost.json")
    assert set(content["seconds"]) == {"inference", "stbp", "peer SpikingJelly 2.0.0"}


def test_peers_of_a_network_of_the_user_s_own_are_refused(tmp_path):
    model = own(tmp_path, (2, 5, 5), 7)
    done = call("cost", "--model", model, "--peers", "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "art-snn cost: error: --peers: expected one of our own models, which can be" in (
        done.complaint
    )
    assert not (tmp_path / "out").exists()


def test_a_network_of_the_user_s_own_is_measured_on_its_own_input(tmp_path):
    model = own(tmp_path, (2, 5, 5), 7)
    start = ("cost", "--model", model, "--batch-size", "2", "--repeats", "1")
    done = call(*start, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert f"One input gradient: {model}, T = 3, direct encoding, batch 2, 2x5x5" in done.stdout
    for told, wanted in ((("--channels", "3"), "2"), (("--image-size", "8"), "5")):
        done = call(*start, *told, "--output", str(tmp_path / "other"))
        assert done.status == 2
        assert f"error: {told[0]}: expected {wanted}, which {model} takes, got" in done.complaint
    done = call(*start, "--decay", "0.9", "--output", str(tmp_path / "other"))
    assert done.status == 2
    assert "error: --decay: expected None beside" in done.complaint
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "vgg7"), "--model: expected one of vgg5,"),
        (("--channels", "0"), "--channels: expected a whole number >= 1, got 0"),
        (("--image-size", "0"), "--image-size: expected a whole number >= 1, got 0"),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0"),
        (("--steps", "0"), "--steps: expected a whole number >= 1, got 0"),
        (("--steps", "4,8"), "--steps: expected a whole number such as 8, got '4,8'"),
        (("--repeats", "0"), "--repeats: expected a whole number >= 1, got 0"),
        (("--rules", "sgd"), "--rules: expected one of"),
        (("--rules", ""), "--rules: expected at least one, got none"),
        (("--rules", "cba"), "--rules: expected a rule that applies to every neuron"),
        (("--training", "--rules", "cba"), "--rules: expected a rule that applies to every neuron"),
        (("--training", "--attack-dtype", "auto"), "--attack-dtype: expected None beside training"),
        (("--training", "--batch-size", "1"), "--batch-size: expected at least 2 for a training"),
        (("--device", "cuda"), "--device: expected 'gpu' or 'cpu', got 'cuda'"),
        (
            ("--output", "cost.json"),
            "--output: expected a folder, for tables, pictures and figures",
        ),
    ],
)
def test_a_cost_that_makes_no_sense_is_a_usage_error(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*TINY, *options)
    assert done.status == 2, done.stderr
    assert f"art-snn cost: error: {message}" in done.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option",
    [
        *("--protocol", "--models", "--samples", "--data", "--eps", "--eps-step", "--iterations"),
        *("--attack", "--batch"),
    ],
)
def test_an_option_of_scaling_or_of_earlier_versions_is_unknown(option, tmp_path):
    done = call(*TINY, option, "1", "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert f"Unrecognized options: {option}" in done.complaint
    assert not (tmp_path / "out").exists()


def test_the_figures_of_scaling_are_not_written_over(tmp_path):
    before = of_an_earlier_version(tmp_path).read_bytes()
    done = call(*TINY, "--output", str(tmp_path))
    assert done.status == 2
    assert "--output: expected a folder without results, or with results of the same kind" in (
        done.complaint
    )
    assert (tmp_path / "cost.json").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cost.json"]


def test_an_output_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = call(*TINY, "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "--output: expected a folder, for tables, pictures and figures, got" in done.complaint
