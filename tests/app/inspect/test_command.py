"""art-snn inspect: what it tells of neurons and rules, and that refused rules do not end it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from art_snn import checkpoint
from art_snn.app.inspect import RULES, inspected
from art_snn.app.inspect.result import Neurons
from art_snn.app.resume import read_result
from art_snn.dynamics import Dynamics
from art_snn.gradients import STBP
from art_snn.models import Architecture
from tests import adapted
from tests.command import call
from tests.datasets import counts, images
from tests.own import own

RANDOM = ("inspect", "--channels", "1", "--image-size", "4", "--batch-size", "4")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def looked_at(*words: str) -> tuple[str, dict]:
    done = call(*words, "--output", "out")
    assert done.status == 0, done.stderr
    assert done.stdout.endswith("\nWritten to out: inspect.json, inspect.md\n")
    assert {file.name for file in Path("out").iterdir()} >= {"inspect.json", "inspect.md"}
    return done.stdout, read_result(Path("out", "inspect.json"))


@pytest.mark.parametrize(
    ("kind", "name", "layout", "engine"),
    [
        ("steps", "2", "steps", "collapsed: the layers between neurons are affine"),
        ("step", "lif", "step", "time-resolved: the model calls its neurons step by step"),
    ],
)
def test_neurons_and_engines_of_a_bare_model_are_told(kind, name, layout, engine, tmp_path):
    text, found = looked_at(*RANDOM, "--model", adapted.own(tmp_path, kind))
    (neuron,) = found["neurons"]
    assert (neuron["name"], neuron["layout"]) == (name, layout)
    told = neuron["dynamics"]
    assert (told["decay"], told["threshold"], told["reset"]) == (0.5, 1.0, "hard")
    assert 0 < neuron["rate"] < 1
    assert list(neuron["objections"]) == ["cba"]
    assert list(found["rules"]) == list(RULES)
    assert found["rules"]["rga"]["engine"] == engine
    assert found["rules"]["native"]["engine"].startswith("native: ")
    assert found["rules"]["rga"]["vanished"]["total"] == 4
    assert f"cba does not apply to {name}: conversion to an ANN" in text
    assert "all but cba" in text
    assert "hard to 0" in text


def test_what_verification_refuses_is_told_and_the_rest_is_tried(tmp_path):
    text, found = looked_at(*RANDOM, "--model", adapted.own(tmp_path, "odd"))
    refused = {name for name, tried in found["rules"].items() if tried["refusal"]}
    assert refused == set(RULES) - {"cba", "native"}
    assert found["rules"]["native"]["engine"]
    lines = [line for line in text.splitlines() if line.startswith("Refused under ")]
    assert len(lines) == 1
    assert lines[0].startswith(
        "Refused under stbp, pdsg, assg, rga, static, bptr, hart, relu: model: exp"
    )


def test_a_model_of_ours_is_inspected_too(tmp_path):
    text, found = looked_at(*RANDOM, "--model", "vgg5", "--width", ".05", "--rules", "rga,native")
    assert [one["kind"] for one in found["neurons"]] == ["LIF"] * 4
    assert found["rules"]["rga"]["engine"].startswith("collapsed")
    assert found["rules"]["native"]["objection"].startswith("it is for networks of other frame")
    assert "native does not apply to layers.1, layers.4, layers.6, layers.9: it is for" in text
    _, found = looked_at("inspect", "--model", own(tmp_path, (2, 5, 5), 7), "--rules", "stbp")
    assert "2x5x5" in found["title"]


def test_weights_and_data_can_be_given(tmp_path):
    images(tmp_path / "images.npz")
    network = Architecture(width=0.05, steps=2, decay=0.9).made(
        in_channels=1, image_size=4, classes=3
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1.0)
    told = {"model": "vgg5", "width": 0.05, "steps": 2, "decay": 0.9}
    checkpoint.save(network, "network.safetensors", subject=told)
    words = ("--checkpoint", "network.safetensors", "--rules", "rga")
    text, found = looked_at("inspect", "--data", "images.npz", *words)
    assert "on images.npz, batch 4, 1x4x4" in text
    assert {one["dynamics"]["decay"] for one in found["neurons"]} == {0.9}
    assert all(one["rate"] > 0.9 for one in found["neurons"])
    counts(tmp_path / "counts.npz")
    model = adapted.own(tmp_path, shape=(2, 4, 4))
    text, found = looked_at("inspect", "--data", "counts.npz", "--model", model, "--rules", "rga")
    assert found["encoder"] == "Frames(steps=3)"


def test_a_model_that_fails_under_a_rule_is_a_row_and_is_left_as_it_was():
    class Failing(STBP):
        def logits(self, network: object, x: Tensor) -> Tensor:
            raise RuntimeError("on purpose\nand more")

    network, rules = adapted.network(), {"failing": Failing(), "stbp": STBP()}
    x, y = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32), np.zeros(4, int)
    found = inspected(network, x, y, rules)
    assert found.rules["failing"].refusal == "it failed with RuntimeError: on purpose"
    assert found.rules["stbp"].engine
    assert network.training
    assert "forward" not in vars(network.model[2])


@pytest.mark.parametrize(
    ("dynamics", "reset"),
    [
        (Dynamics(rest=-0.5), "hard to -0.5"),
        (Dynamics(reset="soft", drop=0.75), "soft by 0.75"),
        (Dynamics(reset="soft", threshold=2.0), "soft by 2"),
        (Dynamics(reset="none"), "none"),
    ],
)
def test_the_reset_is_told_with_its_value_or_amount(dynamics, reset):
    row = Neurons("n", "LIF", "steps", dynamics, None, False, {"rga": "why"}).row(["rga"])
    assert row[6:] == [reset, "not called", "none"]


def test_a_bare_model_without_known_neurons_is_a_usage_error(tmp_path):
    done = call(*RANDOM, "--model", adapted.own(tmp_path, "none"), "--output", "out")
    assert done.status == 2
    assert "returns a Sequential without a spiking neuron that is known" in done.complaint
    assert "register_neuron" in done.complaint


def test_settings_of_every_neuron_and_layers_with_their_own_gradient_are_told(tmp_path):
    Path("mine.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "from art_snn.interop import adapt\n"
        "from tests.interop.neurons import Learned, SynapticSteps\n"
        "from tests.interop.stacks import lively\n\n\n"
        "def build():\n"
        "    first, second = Learned(torch.linspace(0.3, 0.9, 12)), SynapticSteps()\n"
        "    layers = nn.Flatten(2), nn.Linear(16, 12), nn.Linear(12, 3)\n"
        "    lively(nn.Sequential(*layers), 0.3)\n"
        "    model = nn.Sequential(*layers[:2], first, layers[2], second)\n"
        "    return adapt(model.eval(), steps=5, elsewhere='native')\n"
    )
    text, found = looked_at(*RANDOM, "--model", "mine.py:build", "--rules", "rga,stbp,native")
    decays = found["neurons"][0]["dynamics"]["decay"]
    assert decays == pytest.approx(torch.linspace(0.3, 0.9, 12).tolist())
    assert "0.3 to 0.9" in text
    assert "time: T = 5, direct encoding" in text
    assert "own gradient of 4: its settings are outside of what the rules know" in text
    assert found["rules"]["rga"]["engine"].startswith("time-resolved")
