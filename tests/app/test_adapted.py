"""Commands on bare models of a user, whose neurons `register_neuron` makes known."""

from pathlib import Path

import numpy as np
import pytest

from art_snn import checkpoint
from tests.command import call
from tests.datasets import counts, images
from tests.interop import adapted
from tests.records import evaluation_in

TRAIN = ("train", "--epochs", "1", "--validation", "0.4", "--batch-size", "4", "--attack", "fgsm")
EVALUATE = ("evaluate", "--samples", "4", "--batch-size", "4", "--output", "out")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data in the present folder."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images.npz")


@pytest.mark.parametrize("kind", ["step", "steps", "inline"])
def test_a_bare_model_is_trained(kind, tmp_path):
    model = adapted.own(tmp_path, kind)
    done = call(*TRAIN, "--data", "images.npz", "--model", model, "--output", "out")
    assert done.status == 0, done.stderr
    found = checkpoint.load(adapted.network(kind), "out/network.safetensors")
    assert found["subject"]["model"] == model


def test_a_plan_of_which_one_stage_has_the_only_gradient_is_an_open_finding(tmp_path):
    counts(tmp_path / "counts.npz")
    frames = {k: v > 1 if k[0] == "x" else v for k, v in np.load("counts.npz").items()}
    np.savez(tmp_path / "frames.npz", **frames)
    model = adapted.own(tmp_path, "inline", shape=(3, 2, 4, 4))
    words = ("--eps", "3", "--norm", "0", "--strict")
    data = ("--data", "frames.npz", "--value-range", "0,1", "--model", model)
    done = call(*EVALUATE, *words, *data, "--plan", "ensemble-19")
    assert done.status == 4, done.stderr
    found = evaluation_in(Path("out"))
    assert ("ensemble-19", "few-gradients") in [(one.about, one.id) for one in found.findings]
    assert found.provenance.rules == {"native": "Native()"}
    done = call(*EVALUATE, *data, "--plan", "fast", "--rules", "stbp", "--output", "other")
    assert done.complaint.startswith("art-snn evaluate: error: --rules: expected one that suits")
    assert "Take --rules native: the network has its own gradient." in done.complaint
