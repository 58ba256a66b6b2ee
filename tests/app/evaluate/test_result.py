"""What tells how to do an evaluation again."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import art_snn
from art_snn.app.evaluate import result
from art_snn.app.evaluate.examples import record_spikes
from art_snn.app.evaluate.result import describe_provenance
from art_snn.app.evaluation.record import NEURONS
from tests.app.evaluate.test_findings import target
from tests.classifiers import CLASSES, SHAPE, around, classifier
from tests.interop import adapted

PACKAGE = Path(art_snn.__file__).parent


def test_versions_are_those_of_what_the_classes_of_the_network_come_from(monkeypatch):
    monkeypatch.setitem(sys.modules, "snntorch", object())
    bare = target("steps", training="none")
    numbers = describe_provenance(bare, 0.0).versions
    assert list(numbers)[:3] == ["art_snn", "Python", "torch"]
    assert torch.__version__.startswith(numbers["torch"].partition("+")[0])
    # What a process has also imported is not what its numbers depend on.
    assert not {"snntorch", "norse", "torchvision"} & set(numbers)
    base = type("Base", (nn.Module,), {"__module__": "norse.torch"})
    inner = type("Inner", (base,), {"__module__": "mine"})
    bare.classifier.model.add_module("inner", inner())

    def version(name):
        if name == "norse":  # What is used from its sources is no distribution.
            raise PackageNotFoundError
        return f"of {name}"

    monkeypatch.setattr(result, "version", version)
    numbers = describe_provenance(bare, 0.0).versions
    assert (numbers["norse"], numbers["scipy"]) == ("not installed", "of scipy")
    assert "snntorch" not in numbers


@pytest.mark.parametrize("kind", ["steps", "merged", "step", "native", "compiled"])
def test_spikes_are_recorded_of_every_layer_that_gives_them(kind):
    """One layer of neurons, behind a linear one whose output is the same in every step."""
    one = classifier(decay=0.5)
    if kind != "native":
        one = around(adapted.network(kind, shape=SHAPE, classes=CLASSES))
    x = np.random.default_rng(0).random((6, *SHAPE), dtype=np.float32)
    spikes = record_spikes(one, x)
    if kind == "compiled":  # Nobody knows its neurons.
        assert spikes == {}
        return
    linear = next(module for module in one.model.modules() if isinstance(module, nn.Linear))
    steps = one.model.body.steps or adapted.STEPS
    with torch.no_grad():
        current = linear(torch.as_tensor(x).to(linear.weight).flatten(1))
        fired = adapted.Steps()(current.expand(steps, *current.shape)).bool().numpy()
    assert fired.any()
    assert np.allclose(spikes["rates"], [[fired[:, :3].mean()], [fired[:, 3:].mean()]])
    firing = fired[:, [0, 3]].any((0, 1))
    some = fired[:, [0, 3]][:, :, firing].swapaxes(0, 1)[:, :, :NEURONS]
    assert np.array_equal(spikes["spikes"], some)
    assert spikes["owners"].tolist() == [0] * some.shape[2]
    assert len(spikes["layers"]) == 1


PROGRAMS = {
    **dict.fromkeys(("/usr/bin/art-snn", "art-snn", str(PACKAGE / "__main__.py")), "art-snn"),
    "examples/study/defences.py": "python examples/study/defences.py",
    "other/__main__.py": "python other/__main__.py",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_command_is_the_one_that_was_typed(program, monkeypatch):
    monkeypatch.setattr("sys.argv", [program, "--data", "my data.npz"])
    command = describe_provenance(target("steps", training="none"), 0.0).command
    assert command == f"{PROGRAMS[program]} --data 'my data.npz'"
