"""Which rules apply to neurons that simulate in a way of their own, and how others are refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from art_snn import BPTR, CBA, GRADIENTS, HART, RGA, STBP, Direct, SpikingNetwork, StaticCurve
from art_snn.dynamics import Dynamics
from art_snn.gradients import Site, applicable, check_applicable
from art_snn.neurons import Neuron
from tests.architectures import batch, chain


@dataclass(frozen=True)
class Refractory(Dynamics):
    """Fires at most at every second step: other equations than those of LIF."""

    def simulate(self, current, potential=None, spikes=None):
        spikes = super().simulate(current, potential, spikes)
        spikes[1::2] = 0
        return spikes


@dataclass(frozen=True)
class Renamed(Dynamics):
    """The equations of LIF under another name."""


def build(dynamics, **options):
    return SpikingNetwork(chain(lambda: Neuron(dynamics)), Direct(4), **options)


def test_a_neuron_has_a_rate_curve_unless_it_simulates_in_a_way_of_its_own():
    assert Dynamics(0.9).has_rate_curve
    assert Renamed(1.0).has_rate_curve
    assert not Refractory().has_rate_curve


@pytest.mark.parametrize("rule", [RGA(), StaticCurve(), STBP(), CBA()], ids=repr)
def test_rules_made_for_lif_object_to_other_equations_only(rule):
    assert isinstance(rule.objection(Refractory(1.0)), str)
    assert rule.objection(Dynamics(1.0)) is None
    assert rule.objection(Renamed(1.0)) is None


@pytest.mark.parametrize("rule", [BPTR(), HART()], ids=repr)
def test_rules_that_read_only_spikes_and_potentials_object_to_nothing(rule):
    for dynamics in (Dynamics(0.5), Dynamics(1.0), Refractory(0.5)):
        assert rule.objection(dynamics) is None


def test_the_rules_that_apply_are_listed_by_name():
    assert applicable([Site("", Dynamics(1.0))]) == list(GRADIENTS)
    assert applicable([Site("", Dynamics(0.9))]) == [name for name in GRADIENTS if name != "cba"]
    assert applicable([Site("", Dynamics(1.0)), Site("", Refractory())]) == ["bptr", "hart"]
    assert applicable([]) == list(GRADIENTS)


@pytest.mark.parametrize("name", ["rga", "static", "stbp"])
@pytest.mark.parametrize("argument", ["gradient", "training_gradient"])
def test_a_network_of_such_neurons_refuses_a_rule_and_names_those_that_apply(argument, name):
    options = {"gradient": "hart", "training_gradient": "bptr"} | {argument: name}
    message = (
        rf"^{argument}: expected a rule that applies to every neuron of the network, got "
        rf"{type(GRADIENTS[name]()).__name__}\(.*does not apply to neuron 'layers\.1' with "
        r"Refractory\(.*these neurons obey other.*\. The rules that do apply: 'bptr', 'hart'\.$"
    )
    with pytest.raises(ValueError, match=message):
        build(Refractory(), **options)


def test_where_no_rule_of_the_table_applies_the_error_says_none(monkeypatch):
    monkeypatch.setattr("art_snn.gradients.GRADIENTS", {"rga": RGA})
    with pytest.raises(ValueError, match=r"The rules that do apply: none\.$"):
        check_applicable(RGA(), [Site("here", Refractory())])


@pytest.mark.parametrize("name", ["bptr", "hart"])
def test_the_rules_that_apply_differentiate_the_neurons_own_simulation(name):
    net = build(Refractory(threshold=0.3), gradient=name, training_gradient=name).eval()
    x = batch(dtype=torch.float32).requires_grad_()
    logits = net(x)
    with torch.no_grad():
        assert torch.equal(net(x), logits)
    lif = build(Dynamics(threshold=0.3), gradient=name)
    lif.load_state_dict(net.state_dict())
    assert not torch.equal(lif(x), logits)
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert grad.abs().max() > 0
