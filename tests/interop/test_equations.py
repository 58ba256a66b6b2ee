"""Registered neurons of every layout against equations by hand, as those of frameworks are too."""

from __future__ import annotations

from functools import partial

import torch

from art_snn.interop import adapt
from tests.interop import neurons, stacks
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)
from tests.interop.promises import ALL_STEPS, OWN_TIME, Case, close, gradients, inputs
from tests.interop.reference import Equations

HALF = Equations(0.5)
FED = Equations((0.9, 0.5, 0.25, 1.0))
GROWN = Equations((1.0, 0.5, 1.2, -0.3))
HIGH = Equations(1.0, 0.6, reset="soft", drop=1.5, height=1.5)
SOFT = Equations(0.5, 0.75, reset="soft", drop=0.75)
UNCURVED = {"refused": ("rga", "static")}
CASES = [
    Case("steps", partial(stacks.Stack, neurons.Steps), HALF),
    Case("soft", partial(stacks.Stack, partial(neurons.Steps, 0.5, 0.75, reset="soft")), SOFT),
    Case("gated", partial(stacks.Stack, neurons.Gated), HALF),
    Case("merged", partial(stacks.Merged, neurons.Merged), HALF),
    Case("merged inside", partial(stacks.OwnMerged, neurons.Merged), HALF, ALL_STEPS | OWN_TIME),
    Case("samples first", partial(stacks.SamplesFirst, neurons.SamplesFirst), HALF),
    Case("samples merged", partial(stacks.SamplesMerged, neurons.SamplesMerged), HALF),
    Case("step", partial(stacks.Loop, neurons.Step), HALF, OWN_TIME),
    Case(
        "step soft",
        partial(stacks.Loop, partial(neurons.Step, 0.5, 0.75, reset="soft")),
        SOFT,
        OWN_TIME,
    ),
    Case("handed", partial(stacks.StateLoop, neurons.Handed), HALF, OWN_TIME),
    Case("FEEL", partial(stacks.Merged, partial(neurons.Fed, FED.decay)), FED, **UNCURVED),
    Case("grown", partial(stacks.Merged, partial(neurons.Fed, GROWN.decay)), GROWN, **UNCURVED),
    Case("tall", partial(stacks.Loop, neurons.Tall), Equations(0.5, height=1.5), OWN_TIME),
    Case("DSR", partial(stacks.Stack, partial(neurons.High, 1.5, 0.4)), HIGH),
    Case(
        "no reset",
        partial(stacks.Stack, partial(neurons.Steps, reset="none")),
        Equations(0.5, reset="none"),
        refused=("rga", "static"),
    ),
]


def test_every_neuron_and_every_step_may_have_its_decay_as_in_feel():
    model = stacks.Merged(partial(neurons.Fed, FED.decay))
    generator = torch.Generator().manual_seed(0)
    for neuron, width in ((model.neuron1, 12), (model.neuron2, 8)):
        neuron.tau.data = 0.8 + 0.5 * torch.randn(4, width, generator=generator).double()
    network = adapt(model, **ALL_STEPS)
    logits, grad, weights = gradients(network, "native", inputs())
    # Its surrogate and its reset are those of the rule.
    ours = gradients(network, "stbp", inputs())
    close((*ours[:2], *ours[2]), (logits, grad, *weights), 1e-9)
