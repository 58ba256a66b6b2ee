"""Neurons whose slope is exchanged, next to others that a rule differentiates by equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from art_snn import STBP
from art_snn.gradients import Triangle
from art_snn.interop import adapt
from tests.interop.neurons import Step, Steps, Synaptic, SynapticSteps
from tests.interop.promises import answer, close, gradient
from tests.interop.stacks import CLASSES, STEPS, images, lively
from tests.interop.unknown import KeepsPotentials

pytestmark = pytest.mark.filterwarnings("ignore:the rule knows no equations")


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


KINDS = {
    "step": (Step, Synaptic),
    "steps": (Steps, SynapticSteps),
    "unregistered": (Steps, KeepsPotentials),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def mixed(kind: str, **options):
    return adapt(Between(*KINDS[kind]), steps=STEPS, **options)


@every_kind
def test_where_the_rule_is_the_surrogate_the_mixture_is_plain_autograd(kind):
    # The triangle is the surrogate of these neurons.
    rule = STBP(surrogate=Triangle())
    _, grad = gradient(mixed(kind), rule, images())
    native = mixed(kind, gradient="native")
    torch.testing.assert_close(grad, gradient(native, "native", images())[1], rtol=1e-4, atol=1e-6)
    assert grad.any()


@pytest.mark.parametrize("rule", ["stbp", "pdsg", "assg"])
@every_kind
def test_logits_of_a_mixture_are_the_model_s_under_every_temporal_rule(kind, rule):
    network = mixed(kind)
    assert str(network.gradient).startswith("STBP")
    logits, grad = gradient(network, rule, images())
    # Those that are known keep their equations.
    assert list(network.body.traits.slopes.calls.values()) == [STEPS]
    assert torch.equal(logits, answer(network, None, images()))
    assert grad.any()


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


def test_slopes_of_a_recurrent_neuron_of_one_step_are_exchanged_and_rate_rules_refused():
    network, told = (adapt(Recurring(), steps=STEPS, equations=one) for one in (True, False))
    with pytest.raises(ValueError, match=r"one layout.*equations=False"):
        gradient(network, "rga", images())
    with pytest.warns(UserWarning, match="neurons of one layout"):
        found = gradient(network, "stbp", images())
    close(found, gradient(told, "stbp", images()))
