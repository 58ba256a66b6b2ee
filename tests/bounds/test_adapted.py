"""Adapted models have the bounds of the same network of our layers, and keep them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import Direct, SpikingNetwork
from art_snn.bounds import METHODS, Bounding, certify_bounds
from art_snn.dynamics import Dynamics
from art_snn.gradients.fixed import holding
from art_snn.interop import adapt
from art_snn.neurons import Neuron
from tests.bounds.random_networks import around
from tests.conftest import varied
from tests.interop.stacks import CLASSES, INPUTS, STEPS
from tests.interop.test_equations import CASES as ALL

# Modules of SpikingJelly 2.0 and sinabs; older ones of SpikingJelly are the same neurons.
CASES = [case for case in ALL if not case.name.startswith(("0.0", "clock"))]
TOGETHER = [c for c in CASES if adapt(c.make(), **c.options).bounds_objection() is None]
ALONE = [case for case in CASES if case not in TOGETHER]
EPS = 0.02


def ours(case, model) -> SpikingNetwork:
    """The network of our own layers with the weights of the model."""
    e = case.equations
    settings = {"gain": e.gain, "constant": e.constant, "rest": e.rest, "start": e.start}
    settings["drop"] = e.drop if e.reset == "soft" else None
    neurons = [Neuron(Dynamics(e.decay, e.threshold, e.reset, **settings)) for _ in range(2)]
    layers = [model.fc1, neurons[0], model.fc2, neurons[1], model.fc3]
    return SpikingNetwork([nn.Flatten(2), *layers], Direct(STEPS)).eval()


def samples() -> torch.Tensor:
    generator = torch.Generator().manual_seed(varied())
    return torch.rand(8, INPUTS, generator=generator, dtype=torch.float64)


def bounds(network, x, y, method):
    with torch.enable_grad(), holding(True):
        return Bounding(network, METHODS[method](), EPS, np.inf, (0, 1)).margins(x, y).detach()


@pytest.mark.parametrize("case", TOGETHER, ids=str)
def test_models_of_all_steps_in_one_call_have_the_bounds_of_our_layers(case):
    model = case.make()
    network, x = adapt(model, **case.options), samples()
    with torch.no_grad():
        y = network(x).argmax(1)
    bound = bounds(network, x, y, "s-ibp")
    torch.testing.assert_close(bound, bounds(ours(case, model), x, y, "s-ibp"))
    counts = bounds(network, x, y, "counts")
    assert (counts >= bound - 1e-9).all()
    for index in range(40):
        noise = torch.rand_like(x) * 2 - 1
        moved = (x + EPS * (noise.sign() if index % 2 else noise)).clamp(0, 1)
        with torch.no_grad():
            z = network(moved)
        assert (z.gather(1, y[:, None]) - z >= counts).all()


@pytest.mark.parametrize("case", ALONE[::12], ids=str)
def test_models_that_call_neurons_step_by_step_are_refused(case):
    network = adapt(case.make(), **case.options)
    message = "classifier: expected a network whose neurons take all time steps in one call, got "
    classifier = around(network, (INPUTS,), CLASSES)
    with pytest.raises(ValueError, match=message + "the model (calls|makes)"):
        certify_bounds(classifier, samples().float().numpy(), np.zeros(8), EPS)


def test_adapted_models_are_certified_as_they_are():
    case = TOGETHER[0]
    network = adapt(case.make(), **case.options)
    classifier = around(network, (INPUTS,), CLASSES)
    x = samples().numpy()
    y = classifier.predict(x).argmax(1)
    result = certify_bounds(classifier, x, y, 1e-4)
    assert result.certified.mean() > 0.5
