"""Adapted models have the bounds of the same network of our layers, and keep them."""

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import Direct, SpikingNetwork
from art_snn.bounds import certify_bounds
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt
from art_snn.neurons import Neuron
from tests.bounds.random_networks import Drawn, around, check
from tests.conftest import varied
from tests.interop.stacks import CLASSES, INPUTS, STEPS
from tests.interop.test_equations import CASES as ALL
from tests.interop.test_neuron_state import Recording

CASES = [case for case in ALL if str(case) not in ("no reset", "grown")]
TOGETHER = [c for c in CASES if adapt(c.make(), **c.options).body.bounds_objection() is None]
EPS = 0.02


def ours(case, model) -> SpikingNetwork:
    """The network of our own layers with the weights of the model."""
    e = case.equations
    settings = {"gain": e.gain, "constant": e.constant, "v_reset": e.v_reset, "v_start": e.v_start}
    settings |= {"reset_by": e.reset_by if e.reset == "soft" else None, "amplitude": e.amplitude}
    neurons = [Neuron(Dynamics(e.decay, e.threshold, e.reset, **settings)) for _ in range(2)]
    layers = [model.fc1, neurons[0], model.fc2, neurons[1], model.fc3]
    return SpikingNetwork([nn.Flatten(2), *layers], Direct(STEPS), "stbp").eval()


def samples() -> torch.Tensor:
    generator = torch.Generator().manual_seed(varied())
    return torch.rand(8, INPUTS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", TOGETHER, ids=str)
def test_models_of_all_steps_in_one_call_have_the_bounds_of_our_layers(case):
    model, x = case.make(), samples()
    adapted = Drawn(adapt(model, **case.options), x, EPS, np.inf, str(case))
    steps = adapted.bounds("s-ibp", adapted.y)
    plain = Drawn(ours(case, model), x, EPS, np.inf, str(case))
    torch.testing.assert_close(steps, plain.bounds("s-ibp", adapted.y))
    assert (adapted.bounds("counts", adapted.y) >= steps - 1e-9).all()
    check(adapted, count=40, rules=())


def test_decays_above_one_have_no_bounds():
    case = next(case for case in ALL if str(case) == "grown")
    network, x = adapt(case.make(), **case.options), samples().numpy()
    with pytest.raises(ValueError, match=r"decays from 0 to 1, got neuron1 \(-0\.3 to 1\.2\)"):
        certify_bounds(around(network, (INPUTS,), CLASSES), x, np.zeros(8, int), 1e-4)


@pytest.mark.parametrize(
    "case", [c for c in TOGETHER if str(c) in ("steps", "FEEL", "DSR")], ids=str
)
def test_adapted_models_are_certified_as_they_are(case):
    network = adapt(case.make(), **case.options)
    classifier, x = around(network, (INPUTS,), CLASSES), samples().numpy()
    y = classifier.predict(x).argmax(1)
    assert certify_bounds(classifier, x, y, 1e-4).certified.mean() > 0.5


def test_a_model_that_reads_its_neurons_is_refused_in_the_first_call():
    class Reading(nn.Sequential):
        def forward(self, x):
            super().forward(x)
            return self[1].v_seq

    network = adapt(Reading(nn.Linear(INPUTS, CLASSES), Recording()), STEPS)
    classifier, x = around(network, (INPUTS,), CLASSES), samples().float().numpy()
    with pytest.raises(ValueError, match="got the model reads the state of its neurons"):
        certify_bounds(classifier, x, np.zeros(8, int), 1e-4)
