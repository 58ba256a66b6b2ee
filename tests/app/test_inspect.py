"""What is told of the neurons of a network, and of every rule on it."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from art_snn.app.inspect import _inspect_network, _Neurons
from art_snn.app.results import as_json, read_result
from art_snn.dynamics import Dynamics
from art_snn.gradients import STBP, parse_rules
from art_snn.gradients.choice import ORDER
from tests.command import call
from tests.datasets import counts, images
from tests.interop import adapted

HART = "hart(surrogate.width=0.5)"
"""The first rule of the plan standard, by the name that evaluate gives it."""
WORDS = ("inspect", "--device", "cpu", "--batch-size", "4", "--output", "out")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def inspect(*words: str):
    """The printed text, and the content of the file."""
    done = call(*WORDS, *words)
    assert done.status == 0, done.stderr
    return done.stdout, read_result(Path("out", "inspect.json"))


def test_a_model_of_ours_is_inspected_on_random_samples_under_every_rule():
    text, found = inspect("--model", "vgg5", "--steps", "2", "--image-size", "8", "--channels", "1")
    assert "vgg5, T = 2, decay 0.5, direct encoding on random samples, batch 4, 1x8x8" in text
    assert list(found["rules"]) == [*ORDER, HART]
    assert found["rules"]["stbp"]["engine"].startswith("through time")
    assert found["rules"]["cba"]["objection"]
    assert "native does not apply to layers.1, layers.4, layers.6, layers.9: it is for" in text
    neurons = found["neurons"]
    assert [one["kind"] for one in neurons] == ["LIF"] * 4
    assert (
        neurons[0]["dynamics"] | {"decay": 0.5, "threshold": 1.0, "reset": "hard"}
        == (neurons[0]["dynamics"])
    )


def test_decays_of_time_steps_are_told_by_their_range():
    dynamics = Dynamics([0.25, 1.5], amplitude=2.0)
    neurons = _Neurons("lif", "Neuron", "steps", dynamics, None, 0.5, False, {})
    assert neurons.row([])[3] == "0.25 to 1.5"
    told = as_json(neurons)["dynamics"]
    assert (told["decay"], told["amplitude"]) == ([0.25, 1.5], 2.0)


def test_a_bare_model_is_inspected_on_named_data_and_event_frames(tmp_path):
    images(tmp_path / "images.npz")
    text, found = inspect(
        "--data", "images.npz", "--model", adapted.own(tmp_path), "--rules", "rga"
    )
    assert "on images.npz, batch 4, 1x4x4" in text
    # Of the samples that are classified correctly.
    assert 0 < found["rules"]["rga"]["vanished"]["total"] <= 4
    counts(tmp_path / "counts.npz")
    model = adapted.own(tmp_path, shape=(2, 4, 4))
    _, found = inspect("--data", "counts.npz", "--model", model, "--rules", "rga")
    assert found["settings"]["encoder"] == "Frames(steps=3)"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "--model: expected a network with weights, got none. Take --model zoo:digits-plain"),
        (("--model", "vgg5", "--rules", "sgd"), "--rules: expected one of 'stbp'"),
        (("--model", "vgg5", "--channels", "2", "--data", "digits"), "--channels: expected None"),
        (("--model", "vgg5", "--value-range", "0,1"), "--value-range: expected None for random"),
        (("--model", "vgg5", "--image-size", "0"), "--image-size: expected a whole number >= 1"),
        (("--model", "vgg5", "--image-size", "4,6"), "--image-size: expected"),
        (("--model", "vgg5", "--batch-size", "0"), "--batch-size: expected a whole number >= 1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_flag(words, complaint):
    done = call(*WORDS, *words)
    assert (done.status, done.stdout) == (2, "")
    assert f"error: {complaint}" in done.complaint
    assert not Path("out").exists()


def test_a_bare_model_without_known_neurons_is_a_usage_error(tmp_path):
    done = call(*WORDS, "--model", adapted.own(tmp_path, "none"))
    assert done.status == 2
    assert "returns a Sequential without a spiking neuron that is known" in done.complaint


def test_a_model_that_fails_under_a_rule_is_a_row_and_is_left_as_it_was():
    class Failing(STBP):
        def logits(self, body: object, x: Tensor) -> Tensor:
            raise RuntimeError("on purpose\nand more")

    network, rules = adapted.network(), {"failing": Failing(), **parse_rules("stbp")}
    x, y = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32), np.zeros(4, int)
    found = _inspect_network(network, x, y, rules)
    words = "it failed with RuntimeError: on purpose ("
    assert found.rules["failing"]["refusal"].startswith(words)
    assert found.rules["stbp"]["engine"]
    assert network.training
    assert "Refused under failing: it failed with RuntimeError: on purpose" in found.render()


@pytest.mark.parametrize(
    ("dynamics", "reset"),
    [
        (Dynamics(v_reset=-0.5), "hard to -0.5"),
        (Dynamics(reset="soft", reset_by=0.75), "soft by 0.75"),
        (Dynamics(reset="soft", threshold=2.0), "soft by 2"),
        (Dynamics(reset="none"), "none"),
    ],
)
def test_the_reset_is_told_with_its_value_or_amount(dynamics, reset):
    one = _Neurons("n", "LIF", "steps", dynamics, None, None, False, {"rga": "why"})
    row = one.row(["rga"])
    assert row[6:] == [reset, "not called", "none"]
