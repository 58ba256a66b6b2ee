"""Registered neurons of every layout against equations by hand, as those of frameworks are too."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron
from tests.interop import neurons, stacks
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)
from tests.interop.promises import ALL_STEPS, OWN_TIME, Case, close, gradients, inputs

HALF = Dynamics(0.5)
CHARGED = Dynamics(0.5, gain=0.5)
FED = Dynamics((0.9, 0.5, 0.25, 1.0))
GROWN = Dynamics((1.0, 0.5, 1.2, -0.3))
HIGH = Dynamics(1.0, 0.6, reset="soft", reset_by=1.5, amplitude=1.5)
SOFT = Dynamics(0.5, 0.75, reset="soft", reset_by=0.75)
UNCURVED = {"refused": ("rga", "static")}
SOFT_STEP = partial(neurons.Step, 0.5, 0.75, reset="soft")
UNRESET = partial(neurons.Steps, reset="none")
CASES = [
    Case("steps", partial(stacks.Stack, neurons.Steps), HALF),
    Case("soft", partial(stacks.Stack, partial(neurons.Steps, 0.5, 0.75, reset="soft")), SOFT),
    Case("gated", partial(stacks.Stack, neurons.Gated), HALF),
    Case("merged", partial(stacks.Merged, neurons.Merged), HALF),
    Case("merged inside", partial(stacks.OwnMerged, neurons.Merged), HALF, ALL_STEPS | OWN_TIME),
    Case("samples first", partial(stacks.SamplesFirst, neurons.SamplesFirst), HALF),
    Case("samples merged", partial(stacks.SamplesMerged, neurons.SamplesMerged), HALF),
    Case("step", partial(stacks.Loop, neurons.Step), HALF, OWN_TIME),
    Case("step soft", partial(stacks.Loop, SOFT_STEP), SOFT, OWN_TIME),
    Case("handed", partial(stacks.StateLoop, neurons.Handed), HALF, OWN_TIME),
    Case("FEEL", partial(stacks.Merged, partial(neurons.Fed, FED.decay)), FED, **UNCURVED),
    Case("grown", partial(stacks.Merged, partial(neurons.Fed, GROWN.decay)), GROWN, **UNCURVED),
    Case("tall", partial(stacks.Loop, neurons.Tall), Dynamics(0.5, amplitude=1.5), OWN_TIME),
    Case("DSR", partial(stacks.Stack, partial(neurons.High, 1.5, 0.4)), HIGH),
    Case("clock_driven LIF", partial(stacks.Loop, neurons.LIFNode), CHARGED, OWN_TIME),
    Case("clock_driven PLIF", partial(stacks.Loop, neurons.PLIFNode), CHARGED, OWN_TIME),
    Case("no reset", partial(stacks.Stack, UNRESET), Dynamics(0.5, reset="none"), **UNCURVED),
]


def test_every_neuron_and_every_step_may_have_its_decay_as_in_feel():
    model = stacks.Merged(partial(neurons.Fed, FED.decay))
    generator = torch.Generator().manual_seed(0)
    for neuron, width in ((model.neuron1, 12), (model.neuron2, 8)):
        neuron.taus.data = 0.8 + 0.5 * torch.randn(4, width, generator=generator).double()
    network = adapt(model, **ALL_STEPS)
    logits, grad, weights = gradients(network, "native", inputs())
    # Its surrogate and its reset are those of the rule.
    ours = gradients(network, "stbp", inputs())
    close((*ours[:2], *ours[2]), (logits, grad, *weights), 1e-9)


def said(name: str, **known: Any) -> Dynamics:
    """The dynamics by which the page registers a neuron."""
    page = (Path(__file__).parents[2] / "docs" / "neurons.md").read_text("utf-8")
    found = re.search(rf"{name}.*?`(Dynamics\(.*?)`", page, re.DOTALL)
    return eval(found[1], {"Dynamics": Dynamics, **known})


def test_the_page_reads_the_decays_off_the_public_class_of_feel():
    module = neurons.Fed(FED.decay)
    assert said("FEEL-SNN", module=module) == Dynamics(FED.decay, 1.0)


def rounding(tied: bool) -> Any:
    """A network of neurons that round, whose first have currents of any size or in steps of 1/2."""
    model = stacks.Stack(neurons.Rounding, 2.0)
    if tied:
        model.fc1.weight.data = model.fc1.weight.data.round()
        model.fc1.bias.data.zero_()
    return model


def register(ties: str) -> None:
    """Make neurons that round known, but those of that name, whose potentials tie."""

    def read(module: Any) -> Dynamics:
        if getattr(module, "name", None) == ties:
            raise ValueError("its potentials tie, and are rounded to even there")
        return said("SpikeYOLO", decay=module.decay, L=module.most)

    register_neuron(neurons.Rounding, dynamics=read)


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "native"])
@pytest.mark.parametrize("decay", [0.25, 0.5, 1.0, 0.3])
def test_neurons_that_round_are_counted_bit_for_bit(decay, rule):
    register(ties="none")
    model = rounding(tied=False)
    model.neuron1.decay = model.neuron2.decay = decay
    x = inputs(50)
    network = adapt(model, **ALL_STEPS)
    logits, grad, _ = gradients(network, rule, x)
    assert torch.equal(logits, model(x.expand(stacks.STEPS, *x.shape)).mean(0))
    assert grad.any()
    spikes = model.neuron1(model.fc1(x.flatten(1).expand(stacks.STEPS, 50, -1)))
    assert {0.0, 1.0, 2.0} <= set(spikes.unique().tolist())


@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_neurons_that_round_ties_to_even_have_their_slope_exchanged():
    register(ties="none")
    x = inputs(50).mul(2).round().div(2)
    network = adapt(rounding(tied=True), **ALL_STEPS)
    with pytest.raises(ValueError, match=r"neuron1, of whose spikes"):
        gradients(network, "rga", x)
    register(ties="first")
    model = rounding(tied=True)
    model.neuron1.name = "first"
    with pytest.raises(ValueError, match=r"potentials tie"):
        adapt(model, **ALL_STEPS, gradient="rga")
    network = adapt(model, **ALL_STEPS)
    assert gradients(network, "stbp", x)[1].any()


def rockpool(x, alpha, beta, threshold, bias):
    """The loop of LIFTorch: the input is added to the current before it decays."""
    i = v = torch.zeros_like(x[0])
    for step in x:
        i = (i + step) * beta
        v = v * alpha + i + bias
        s = torch.floor(v / threshold).clamp(min=0)
        v = v - s * threshold
        yield s


def lava(x, du, dv, vth, bias):
    """The loop of LIF in floating point."""
    u = v = torch.zeros_like(x[0])
    for step in x:
        u = u * (1 - du) + step
        v = v * (1 - dv) + u + bias
        s = (v > vth).to(x)
        v = v * (1 - s)
        yield s


def spytorch(x, alpha, beta, late=0.0):
    """The loop of the first tutorial; `late` is 1 for its newer reset."""
    syn = mem = torch.zeros_like(x[0])
    for step in x:
        s = (mem - 1.0 > 0).to(x)
        charged = beta * mem + syn
        mem = charged * (1 - s) if late else charged - s
        syn = alpha * syn + step
        yield s


LOOPS = {
    "Rockpool": (rockpool, {"alpha": 0.875, "beta": 0.75, "threshold": 2.0, "bias": 0.125}),
    "lava's": (lava, {"du": 0.25, "dv": 0.125, "vth": 2.0, "bias": 0.125}),
    "spytorch": (spytorch, {"alpha": 0.75, "beta": 0.875}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_page_has_the_equations_of_loops_with_a_synaptic_current(name):
    loop, known = LOOPS[name]
    x = torch.randn(50, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spikes = torch.stack(list(loop(x, **known)))
    ours = said(name, **known).simulate(x)
    delayed = name == "spytorch"
    assert torch.equal(ours[: 50 - delayed], spikes[delayed:])
    assert 0.02 < (spikes > 0).double().mean() < 0.98


def test_a_late_reset_that_wipes_the_current_of_its_step_is_not_that_of_the_page():
    _, known = LOOPS["spytorch"]
    x = torch.randn(50, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spikes = torch.stack(list(spytorch(x, **known, late=1.0)))
    assert not torch.equal(said("spytorch", **known).simulate(x)[:-1], spikes[1:])
