"""Which rules apply to neurons that simulate in a way of their own, and how others are refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from art_snn import (
    BPTR,
    CBA,
    EOT,
    GRADIENTS,
    HART,
    RGA,
    STBP,
    Direct,
    Extended,
    Frames,
    Mean,
    Poisson,
    RectifiedANN,
    SpikingNetwork,
    StaticCurve,
)
from art_snn.dynamics import Dynamics
from art_snn.gradients import Site, applicable, check_applicable, objection
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


@pytest.mark.parametrize("rule", [RGA(), StaticCurve(), STBP(), CBA(), RectifiedANN()], ids=repr)
def test_rules_made_for_lif_object_to_other_equations_only(rule):
    assert isinstance(rule.objection(Refractory(1.0)), str)
    assert rule.objection(Dynamics(1.0)) is None
    assert rule.objection(Renamed(1.0)) is None


@pytest.mark.parametrize("rule", [BPTR(), HART()], ids=repr)
def test_rules_that_read_only_spikes_and_potentials_object_to_nothing(rule):
    for dynamics in (Dynamics(0.5), Dynamics(1.0), Refractory(0.5)):
        assert rule.objection(dynamics) is None


LONGER = [Extended(STBP()), EOT(Extended(STBP())), Mean(STBP(), Extended(RGA()))]


@pytest.mark.parametrize("rule", LONGER, ids=repr)
def test_rules_of_more_steps_object_to_an_encoder_that_cannot_give_them(rule):
    for encoder in (Frames(4), lambda x: x[None]):
        reason = rule.objection(Dynamics(), encoder)
        assert reason is not None
        assert reason.endswith(f"{encoder} cannot give another number of time steps")
    for encoder in (None, Direct(4), Poisson(4)):
        assert rule.objection(Dynamics(), encoder) is None


def test_of_a_rule_made_of_others_the_part_that_objects_is_named():
    reason = Mean(STBP(), EOT(Extended(RGA()))).objection(Dynamics(), Frames(4))
    assert reason == "EOT: Extended: Frames(steps=4) cannot give another number of time steps"
    assert Extended(CBA()).objection(Dynamics(0.9), Direct(4)).startswith("CBA: conversion to an")


@pytest.mark.parametrize("name", GRADIENTS)
def test_rules_of_the_table_object_to_no_encoder(name):
    for encoder in (None, Direct(4), Poisson(4), Frames(4)):
        assert GRADIENTS[name]().objection(Dynamics(1.0), encoder) is None


def test_the_objection_to_a_network_is_that_to_any_of_its_neurons_or_to_its_encoder():
    fine, other = Site("a", Dynamics()), Site("b", Refractory())
    assert objection(STBP(), [fine, fine]) is None
    assert objection(STBP(), [fine, other]) == STBP().objection(Refractory())
    assert objection(HART(), [fine, other]) is None
    assert objection(Extended(HART()), [fine, other], Direct(4)) is None
    assert "Frames(steps=4) cannot" in objection(Extended(HART()), [fine, other], Frames(4))
    assert objection(STBP(), []) is None


def test_the_rules_that_apply_are_listed_by_name():
    assert applicable([Site("", Dynamics(1.0))]) == list(GRADIENTS)
    assert applicable([Site("", Dynamics(0.9))]) == [name for name in GRADIENTS if name != "cba"]
    assert applicable([Site("", Dynamics(1.0)), Site("", Refractory())]) == ["bptr", "hart"]
    assert applicable([]) == list(GRADIENTS)


@pytest.mark.parametrize("name", ["rga", "static", "stbp", "relu"])
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
    monkeypatch.setattr("art_snn.gradients.names.GRADIENTS", {"rga": RGA})
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
