"""Neurons that no rule knows keep their own gradient, beside others that a rule differentiates."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from art_snn import STBP
from art_snn.gradients import ATan
from art_snn.interop import adapt
from tests.adapted import Leaky, Spike
from tests.interop.promises import weighed
from tests.interop.test_forms import CLASSES, STEPS, gradient, images, lively
from tests.standins import norse, sinabs, snntorch, spikingjelly as sj

RULES = ("stbp", "rga", "hart", "bptr", "pdsg")


class Between(nn.Module):
    """A layer of neurons that no rule knows, between two that all know: [N, ...] -> [N, K]."""

    def __init__(self, first: nn.Module, unknown: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(9, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.fc4 = nn.Linear(8, CLASSES)
        self.first, self.unknown, self.last = first, unknown, last
        lively(self, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        states, outputs = [None] * 3, []
        for _ in range(STEPS):
            y = x.flatten(1)
            for place, (layer, neuron) in enumerate(
                [(self.fc1, self.first), (self.fc2, self.unknown), (self.fc3, self.last)]
            ):
                answer = neuron(layer(y), *([] if states[place] is None else states[place]))
                y, *states[place] = answer if isinstance(answer, tuple) else (answer,)
            outputs.append(self.fc4(y))
        return torch.stack(outputs).mean(0)


leaky = partial(snntorch.Leaky, 0.8, reset_mechanism="zero")
UNKNOWN = {
    "synaptic": partial(snntorch.Synaptic, 0.5, 0.8),
    "recurrent": partial(snntorch.RLeaky, 0.8, all_to_all=False),
    "LIFCell of Norse": norse.LIFCell,
}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_where_the_rule_is_the_surrogate_the_mixture_is_plain_autograd(unknown):
    # snnTorch's own surrogate and detached reset, as a rule of ours.
    model = Between(leaky(), UNKNOWN[unknown](), leaky())
    network = adapt(model, encoder=None, elsewhere="native")
    x = images().requires_grad_()
    with network.using(STBP(surrogate=ATan(2.0), detach_reset=True)):
        logits = network(x)
    (mixed,) = torch.autograd.grad(weighed(logits), x)
    native = adapt(model, encoder=None, gradient="native")
    logits, wanted = gradient(native, "native", images())
    torch.testing.assert_close(mixed, wanted, rtol=1e-4, atol=1e-6)
    assert wanted.any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_logits_of_a_mixture_are_the_model_s_and_gradients_depend_on_the_rule(unknown, rule):
    model = Between(leaky(), UNKNOWN[unknown](), leaky())
    network = adapt(model, encoder=None, elsewhere="native")
    assert str(network.gradient).startswith("RGA")
    logits, grad = gradient(network, rule, images())
    _, native = gradient(network, "native", images())
    with torch.no_grad():
        assert torch.equal(logits, network(images()))
    assert grad.any()
    assert not torch.allclose(grad, native)
    assert set(network.natives()) == {"unknown"}


def test_without_being_asked_for_a_mixture_is_refused_with_that_remedy():
    network = adapt(Between(leaky(), UNKNOWN["synaptic"](), leaky()), encoder=None)
    with pytest.raises(ValueError, match=r"'unknown'.*synaptic.*elsewhere='native'"):
        network.gradient = "stbp"


class Multiple(nn.Module):
    """All steps in one call: a known layer, one of sinabs that fires several times in a step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(9, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)
        self.lif, self.iaf = Leaky(), sinabs.IAF(spike_fn=sinabs.MultiSpike)
        lively(self, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif(self.fc1(x.flatten(2)))
        return self.fc3(self.iaf(self.fc2(spikes).transpose(0, 1)).transpose(0, 1))


@pytest.mark.parametrize("rule", [*RULES, "assg", "static"])
def test_layers_that_take_all_steps_are_mixed_too_and_never_averaged(rule):
    network = adapt(Multiple(), steps=STEPS, elsewhere="native")
    logits, grad = gradient(network, rule, images())
    with torch.no_grad():
        assert torch.equal(logits, network(images()))
    assert grad.any()
    if rule in ("rga", "hart", "bptr", "static"):
        assert str(network.execution) == (
            "time-resolved: iaf is differentiated by its own gradient"
        )


def test_a_gradient_through_a_mixture_is_that_of_the_chain_rule():
    model = Multiple()
    network = adapt(model, steps=STEPS, elsewhere="native")
    _, grad = gradient(network, "bptr", images())
    x = images().requires_grad_()
    current = model.fc1(x.expand(STEPS, *x.shape).flatten(2))
    spikes = model.lif(current).detach()
    fired = (spikes.mean(0) > 0).float()
    through = spikes + (current - current.detach()) * fired
    out = model.fc3(model.iaf(model.fc2(through).transpose(0, 1)).transpose(0, 1)).mean(0)
    (wanted,) = torch.autograd.grad(weighed(out), x)
    torch.testing.assert_close(grad, wanted)


class Recurring(nn.Module):
    """A container of SpikingJelly that calls its neuron step by step, beside multi-step ones."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.back = nn.Linear(9, 8), nn.Linear(8, CLASSES), nn.Linear(8, 8)
        self.lif, self.inner = sj.LIFNode(step_mode="m"), sj.LIFNode(step_mode="s")
        lively(self, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        currents, y, outputs = self.lif(self.fc1(x.flatten(2))), 0, []
        for current in currents:
            y = self.inner(current + self.back(y) if outputs else current)
            outputs.append(y)
        return self.fc2(torch.stack(outputs))


def test_a_recurrent_neuron_of_one_step_is_mixed_in_and_otherwise_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"one layout.*elsewhere='native'"):
        gradient(adapt(Recurring(), steps=STEPS), "stbp", images())
    network = adapt(Recurring(), steps=STEPS, elsewhere="native")
    assert gradient(network, "stbp", images())[1].any()
    assert "others take all" in network.natives()["inner"]


class Hidden(Between):
    """A spike that no class announces, behind the layer that keeps its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(Spike.apply(x - 0.5) + x)


@pytest.mark.parametrize("rule", ["stbp", "rga"])
def test_functions_outside_of_the_layers_that_keep_their_gradient_are_still_refused(rule):
    network = adapt(
        Hidden(leaky(), UNKNOWN["synaptic"](), leaky()), encoder=None, elsewhere="native"
    )
    with pytest.raises(ValueError, match=r"tests\.adapted\.Spike in its graph"):
        gradient(network, rule, images())
