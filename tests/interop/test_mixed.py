"""Neurons that no rule knows keep their own gradient, next to others that a rule differentiates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from art_snn import STBP
from art_snn.interop import adapt
from tests.interop.neurons import Spike, Step, Steps, Synaptic, SynapticSteps
from tests.interop.promises import answer, gradient, weighed
from tests.interop.stacks import CLASSES, STEPS, images, lively

RULES = ("stbp", "rga", "hart", "bptr", "pdsg")


class Between(nn.Module):
    """Neurons that no rule knows, between two layers that all know: [T, N, ...] -> [T, N, K]."""

    def __init__(self, known: type[nn.Module], unknown: type[nn.Module]) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(9, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.fc4 = nn.Linear(8, CLASSES)
        self.first, self.unknown, self.last = known(), unknown(), known()
        lively(self, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(self.fc1(x.flatten(-3)))
        return self.fc4(self.last(self.fc3(self.unknown(self.fc2(first)))))


KINDS = {"step": (Step, Synaptic), "steps": (Steps, SynapticSteps)}
every_kind = pytest.mark.parametrize("kind", KINDS)


def mixed(kind: str, **options):
    return adapt(Between(*KINDS[kind]), steps=STEPS, **{"elsewhere": "native", **options})


@every_kind
def test_where_the_rule_is_the_surrogate_the_mixture_is_plain_autograd(kind):
    # The triangle is the surrogate of these neurons.
    _, grad = gradient(mixed(kind), STBP(), images())
    native = mixed(kind, elsewhere=None, gradient="native")
    torch.testing.assert_close(grad, gradient(native, "native", images())[1], rtol=1e-4, atol=1e-6)
    assert grad.any()


@pytest.mark.parametrize("rule", [*RULES, "assg"])
@every_kind
def test_logits_of_a_mixture_are_the_model_s_and_gradients_depend_on_the_rule(kind, rule):
    network = mixed(kind)
    assert str(network.gradient).startswith("STBP")
    logits, grad = gradient(network, rule, images())
    assert torch.equal(logits, answer(network, None, images()))
    assert grad.any()
    if rule != "stbp":
        assert not torch.allclose(grad, gradient(network, "native", images())[1])
    assert network.body.own_gradient_neurons() == {"unknown": "it has a synaptic current"}


def test_steps_of_a_mixture_are_never_averaged():
    network = mixed("steps")
    for rule in ("rga", "hart", "bptr"):
        gradient(network, rule, images())
        resolved = "time-resolved: unknown is differentiated by its own gradient"
        assert str(network.execution) == resolved


def test_a_gradient_through_a_mixture_is_that_of_the_chain_rule():
    network = mixed("steps")
    _, grad = gradient(network, "bptr", images())
    x, model = images().requires_grad_(), network.layers

    def fire(neuron: nn.Module, current: Tensor) -> Tensor:
        spikes = neuron(current).detach()
        return spikes + (current - current.detach()) * (spikes.mean(0) > 0).float()

    first = fire(model.first, model.fc1(x.expand(STEPS, *x.shape).flatten(2)))
    out = model.fc4(fire(model.last, model.fc3(model.unknown(model.fc2(first))))).mean(0)
    torch.testing.assert_close(grad, *torch.autograd.grad(weighed(out), x))


class Recurring(nn.Module):
    """A neuron that is called step by step and feeds back, after one that takes all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.back = nn.Linear(9, 8), nn.Linear(8, CLASSES), nn.Linear(8, 8)
        self.lif, self.inner = Steps(), Step()
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
    assert "others take all" in network.body.own_gradient_neurons()["inner"]


@pytest.mark.parametrize("rule", ["stbp", "rga"])
def test_functions_outside_of_the_layers_that_keep_their_gradient_are_still_refused(rule):
    class Hidden(Between):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(Spike.apply(x - 0.5) + x)

    network = adapt(Hidden(*KINDS["step"]), steps=STEPS, elsewhere="native")
    with pytest.raises(ValueError, match=r"Spike in its graph"):
        gradient(network, rule, images())
