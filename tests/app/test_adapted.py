"""Commands on bare models of a user, whose neurons `register_neuron` makes known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_snn import checkpoint
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.results import read_result, structured
from tests import adapted
from tests.command import call
from tests.datasets import counts, images

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


def evaluated(folder):
    return structured(read_result(Path(folder, "evaluation.json")), Evaluation)


@pytest.mark.slow
def test_a_network_with_its_own_gradient_alone_is_evaluated_by_it(tmp_path):
    words = (*EVALUATE, "--data", "images.npz", "--model", adapted.own(tmp_path, "inline"))
    done = call(*words, "--plan", "fast")
    assert done.status == 0, done.stderr
    found = evaluated("out")
    count = sum(stage.status == "native" for stage in found.trials[-1].outcome.stages)
    told = f"fast ran {count} stages with the network's own gradient. The first is"
    assert told in " ".join(done.stdout.split())
    assert [trial.name for trial in found.trials] == ["PGD-7 by native", "fast"]
    assert found.provenance.rules == {"native": "Native()"}
    assert "too few attacks" not in done.stdout
    done = call(*words, "--plan", "fast", "--rules", "stbp", "--output", "other")
    assert done.status == 2
    assert done.complaint.startswith("art-snn evaluate: error: --rules: expected one that suits")
    assert "Take --rules native: the network has its own gradient." in done.complaint


def test_a_plan_of_which_one_stage_has_a_gradient_is_an_open_finding(tmp_path):
    counts(tmp_path / "counts.npz")
    frames = {k: v > 1 if k[0] == "x" else v for k, v in np.load("counts.npz").items()}
    np.savez(tmp_path / "frames.npz", **frames)
    model = adapted.own(tmp_path, "inline", shape=(3, 2, 4, 4))
    words = ("--eps", "3", "--norm", "0", "--value-range", "0,1", "--strict")
    data = ("--data", "frames.npz", "--model", model)
    done = call(*EVALUATE, *words, *data, "--plan", "ensemble-19")
    assert done.status == 4, done.stderr
    found = [(one.about, one.title) for one in evaluated("out").findings]
    assert ("ensemble-19", "too few attacks with a gradient") in found
