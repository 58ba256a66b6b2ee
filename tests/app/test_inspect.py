"""What is told of the neurons of a network, and of every rule on it."""

from pathlib import Path

import pytest
from torch import Tensor

from art_snn.app import inspect as module
from art_snn.app.results import read_result
from art_snn.gradients import STBP, parse_rules
from art_snn.gradients.names import ORDER
from tests.command import complain, succeed
from tests.datasets import counts, images
from tests.interop import adapted

WORDS = ("inspect", "--device", "cpu", "--batch-size", "4", "--output", "out")
pytestmark = pytest.mark.usefixtures("here")


def inspect(*words: str):
    """The printed text, and the content of the file."""
    return succeed(*WORDS, *words), read_result(Path("out", "inspect.json"))


def test_a_model_of_ours_is_inspected_on_random_samples_under_every_rule():
    text, found = inspect("--model", "vgg5", "--steps", "2", "--image-size", "8", "--channels", "1")
    assert "vgg5, T = 2, decay 0.5, direct encoding on random samples, batch 4, 1x8x8" in text
    assert list(found["rules"]) == [*ORDER]
    assert found["rules"]["stbp"]["engine"].startswith("through time")
    assert found["rules"]["cba"]["objection"]
    assert "native does not apply to layers.1, layers.4, layers.6, layers.9: it is for" in text
    neurons = found["neurons"]
    assert [one["kind"] for one in neurons] == ["LIF"] * 4
    expected = {"decay": 0.5, "threshold": 1.0, "reset": "hard"}
    assert expected.items() <= neurons[0]["dynamics"].items()


NEURONS = """
from torch import nn
from art_snn import Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron

def build():
    layers = [Timed(nn.Flatten())]
    for one in (
        Dynamics([0.25, 1.5], v_reset=-0.5, amplitude=2.0),
        Dynamics(reset="soft", reset_by=0.75),
        Dynamics(reset="soft", threshold=2.0),
        Dynamics(reset="none"),
    ):
        layers += [Timed(nn.Linear(4, 4)), Neuron(one)]
    return SpikingNetwork(layers, Direct(2), input_shape=(1, 2, 2))
"""


def test_decays_are_told_by_their_range_and_resets_with_their_value_or_amount(tmp_path):
    (tmp_path / "mine.py").write_text(NEURONS)
    _, found = inspect("--model", "mine.py:build", "--rules", "stbp")
    dynamics = found["neurons"][0]["dynamics"]
    assert (dynamics["decay"], dynamics["amplitude"]) == ([0.25, 1.5], 2.0)
    lines = (tmp_path / "out" / "inspect.md").read_text().splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| layers.")]
    assert [(row[4].strip(), row[7].strip()) for row in rows] == [
        ("0.25 to 1.5", "hard to -0.5"),
        ("0.5", "soft by 0.75"),
        ("0.5", "soft by 2"),
        ("0.5", "none"),
    ]


def test_a_bare_model_is_inspected_on_named_data_and_event_frames(tmp_path):
    images(tmp_path / "images.npz")
    model = adapted.own(tmp_path)
    text, found = inspect("--data", "images.npz", "--model", model, "--rules", "rga")
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
    assert f"error: {complaint}" in complain(*WORDS, *words)
    assert not Path("out").exists()


def test_a_bare_model_without_neurons_is_refused_under_rules_that_need_spikes(tmp_path):
    words = ("--model", adapted.own(tmp_path, "none"), "--image-size", "4", "--channels", "1")
    text, found = inspect(*words, "--rules", "stbp,rga,native")
    assert "got none by an autograd function" in found["rules"]["stbp"]["refusal"]
    assert "Refused under rga: nobody knows the equations" in " ".join(text.split())
    assert found["rules"]["native"]["engine"]
    assert "layout" not in text


@pytest.mark.filterwarnings("ignore:the rule knows no equations")
@pytest.mark.parametrize("made", ["adapted.Inline(16, 3)", "odd()"])
def test_what_is_exchanged_has_a_table_of_its_own(made, tmp_path):
    source = f"""
import torch
from art_snn.interop import adapt
from tests.interop import adapted, neurons

def odd():
    layers = torch.nn.Flatten(2), torch.nn.Linear(16, 4), neurons.SynapticSteps()
    return adapt(torch.nn.Sequential(*layers), steps=3)

def build():
    return {made}
"""
    (tmp_path / "mine.py").write_text(source)
    words = ("--model", "mine.py:build", "--image-size", "4", "--channels", "1")
    text, found = inspect(*words, "--rules", "stbp,rga")
    place = "tests.interop.neurons.Spike"
    what = found["settings"][f"slope exchanged at {place}"]
    assert what.startswith("3 calls in a pass, threshold 0, ")
    (line,) = (line for line in text.splitlines() if place in line)
    assert line.split() == [place, *what.split()]
    assert [one["objections"].keys() for one in found["neurons"]] == [{"rga"}] * (made == "odd()")
    assert ("layout" in text) == (made == "odd()")


def test_a_model_that_fails_under_a_rule_is_a_row(tmp_path, monkeypatch):
    class Failing(STBP):
        def logits(self, body: object, x: Tensor) -> Tensor:
            raise RuntimeError("on purpose\nand more")

    rules = {"failing": Failing(), **parse_rules("stbp")}
    monkeypatch.setattr(module, "parse_rules", lambda _: rules)
    images(tmp_path / "images.npz")
    text, found = inspect("--data", "images.npz", "--model", adapted.own(tmp_path))
    # This file stands for code of the user, which fails.
    words = f"it failed with RuntimeError: on purpose ({__file__}, line "
    assert found["rules"]["failing"]["refusal"].startswith(words)
    assert found["rules"]["stbp"]["engine"]
    assert f"Refused under failing: {words}" in " ".join(text.split())
