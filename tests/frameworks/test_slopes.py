"""Spikes of real frameworks by exchange: the native surrogate gives the native gradient.

STBP by exchange is STBP by equations where these are known."""

from typing import Any

import pytest
import torch
from torch import nn

from art_snn.gradients import STBP, ATan, Exponential, FastSigmoid, Rectangle, Sigmoid
from art_snn.interop import adapt
from tests.interop.test_slopes import gradient, same_gradient

pytestmark = pytest.mark.filterwarnings("ignore:the rule knows no equations")
FEATURES, HIDDEN, CLASSES, STEPS = 12, 16, 4, 12


class Loop(nn.Module):
    """A layer before and after a neuron of snnTorch or Norse, whose states it hands on."""

    def __init__(self, neuron: nn.Module, gain: float, begin: str = "") -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.neuron = neuron
        self.last = nn.Linear(HIDDEN, CLASSES)
        self.begin = begin
        with torch.no_grad():
            self.first.weight.mul_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states: Any = getattr(self.neuron, self.begin)() if self.begin else None
        outputs = []
        for step in x:
            current = self.first(step)
            if not self.begin:
                spikes, states = self.neuron(current, states)
            elif isinstance(states, tuple | list):
                spikes, *others = self.neuron(current, *states)
                # Recurrent neurons of snnTorch take their spikes as their first state.
                states = [spikes, *others] if self.begin.startswith("init_r") else others
            else:
                spikes, states = self.neuron(current, states)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


def of_snntorch(name: str, **options: Any) -> nn.Module:
    snn = pytest.importorskip("snntorch")
    return Loop(getattr(snn, name)(**options), 5.0, f"init_{name.lower()}")


def of_norse(name: str, *sizes: int) -> nn.Module:
    norse = pytest.importorskip("norse.torch")
    return Loop(getattr(norse, name)(*sizes), 30.0)


class Whole(nn.Sequential):
    """Three layers on [T, N, ...], around neurons that take all steps."""

    def __init__(self, neuron: nn.Module, gain: float, *, samples_first: bool = False) -> None:
        super().__init__(nn.Linear(FEATURES, HIDDEN), neuron, nn.Linear(HIDDEN, CLASSES))
        self.samples_first = samples_first
        with torch.no_grad():
            self[0].weight.mul_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.samples_first:
            return super().forward(x.transpose(0, 1)).transpose(0, 1)
        return self[2](self[1](self[0](x))[0])


def of_sinabs() -> nn.Module:
    pytest.importorskip("sinabs")
    from sinabs import activation, layers

    neuron = layers.LIF(tau_mem=5.0, tau_syn=3.0, spike_fn=activation.SingleSpike)
    return Whole(neuron, 10.0, samples_first=True)


def of_norse_whole() -> nn.Module:
    return Whole(pytest.importorskip("norse.torch").LIF(), 30.0)


def of_spikingjelly(name: str) -> nn.Module:
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron

    model = nn.Sequential(
        layer.Linear(FEATURES, HIDDEN), getattr(neuron, name)(), layer.Linear(HIDDEN, CLASSES)
    )
    functional.set_step_mode(model, "m")
    with torch.no_grad():
        model[0].weight.mul_(8)
    return model


ALPHA, BETA = {"alpha": 0.7, "beta": 0.8}, {"beta": 0.8}
RECURRENT = {"linear_features": HIDDEN}
SNN, NORSE, JELLY = ATan(alpha=2.0), FastSigmoid(k=1.0), Sigmoid(alpha=4.0)
CASES = {
    "Leaky": (lambda: of_snntorch("Leaky", **BETA), SNN),
    "Synaptic": (lambda: of_snntorch("Synaptic", **ALPHA), SNN),
    "Alpha": (lambda: of_snntorch("Alpha", alpha=0.9, beta=0.8), SNN),
    "RLeaky": (lambda: of_snntorch("RLeaky", **BETA, **RECURRENT), SNN),
    "RSynaptic": (lambda: of_snntorch("RSynaptic", **ALPHA, **RECURRENT), SNN),
    "LIFCell": (lambda: of_norse("LIFCell"), NORSE),
    "LIF": (of_norse_whole, NORSE),
    "LSNNCell": (lambda: of_norse("LSNNCell"), NORSE),
    "LIFRecurrentCell": (lambda: of_norse("LIFRecurrentCell", HIDDEN, HIDDEN), NORSE),
    "LSNNRecurrentCell": (lambda: of_norse("LSNNRecurrentCell", HIDDEN, HIDDEN), NORSE),
    "LIFNode": (lambda: of_spikingjelly("LIFNode"), JELLY),
    "ParametricLIFNode": (lambda: of_spikingjelly("ParametricLIFNode"), JELLY),
    "CUBALIFNode": (lambda: of_spikingjelly("CUBALIFNode"), Rectangle()),
    "sinabs": (of_sinabs, Exponential(height=2.0, gamma=2.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_native_surrogate_put_in_gives_the_native_gradient(name):
    make, surrogate = CASES[name]
    torch.manual_seed(0)
    model = make()
    rule = STBP(surrogate=surrogate)
    network = adapt(model, STEPS, gradient=rule, equations=False).eval()
    logits, exchanged = gradient(network)
    assert network.body.traits.slopes.calls
    own, native = gradient(adapt(model, STEPS, gradient="native").eval())
    assert torch.equal(logits, own)
    same_gradient(native, exchanged)


KNOWN = {"Leaky": True, "Synaptic": True} | dict.fromkeys(
    ("LIFNode", "ParametricLIFNode", "LIFCell", "LIF", "CUBALIFNode", "sinabs"), False
)
"""Neurons whose equations are known, and whether they hold their resets fixed."""


@pytest.mark.parametrize(("name", "detached"), KNOWN.items())
def test_stbp_by_exchange_is_stbp_by_equations(name, detached):
    torch.manual_seed(0)
    make, own = CASES[name]
    model = make()
    for surrogate in (ATan(alpha=2.0), Sigmoid(alpha=4.0), own):
        rule = STBP(surrogate=surrogate, detach_reset=detached)
        logits, exchanged = gradient(adapt(model, STEPS, gradient=rule, equations=False).eval())
        network = adapt(model, STEPS, gradient=rule).eval()
        same, known = gradient(network)
        assert not network.body.traits.slopes.calls
        assert torch.equal(logits, same)
        same_gradient(known, exchanged)
