"""Which rules apply to neurons that simulate in a way of their own, and how others are refused."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from art_snn import BPTR, EOT, GRADIENTS, HART, IF, LIF, Extended, SpikingNetwork, StaticCurve
from art_snn.dynamics import Dynamics
from art_snn.encoders import Direct, Frames
from art_snn.gradients import CBA, RGA, STBP, Mean, NeuronRef, RectifiedANN, applicable, objection
from art_snn.gradients.names import parse_rule
from art_snn.neurons import Neuron
from tests.architectures import SHAPE, batch, chain
from tests.attacks.classifiers import around
from tests.oracles import result


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


LIF_ALONE, ANY = [RGA(), StaticCurve(), STBP(), CBA(), RectifiedANN()], [BPTR(), HART()]


def test_rules_made_for_lif_object_to_other_equations_only():
    for rule in (*LIF_ALONE, *ANY):
        assert rule.objection(Dynamics(1.0)) is None
        assert rule.objection(Renamed(1.0)) is None
        objection = rule.objection(Refractory(1.0))
        assert (objection is None) == (rule in ANY)
        assert rule in ANY or "these neurons obey other" in objection


def test_the_objection_to_a_network_is_that_to_any_of_its_neurons_or_to_its_encoder():
    fine, other = NeuronRef("a", Dynamics()), NeuronRef("b", Refractory())
    assert objection(STBP(), [fine, fine]) is None
    assert objection(STBP(), [fine, other]) == STBP().objection(Refractory())
    assert objection(HART(), [fine, other]) is None
    assert objection(Extended(HART()), [fine, other], Direct(4)) is None
    assert "Frames(steps=4) cannot" in objection(Extended(HART()), [fine, other], Frames(4))
    assert objection(STBP(), []) is None


def test_the_rules_that_apply_are_listed_by_name():
    assert applicable([NeuronRef("", Dynamics(1.0))]) == list(GRADIENTS)
    leaky = [name for name in GRADIENTS if name != "cba"]
    assert applicable([NeuronRef("", Dynamics(0.9))]) == leaky
    both = [NeuronRef("", Dynamics(1.0)), NeuronRef("", Refractory())]
    assert applicable(both) == ["bptr", "hart"]
    assert applicable([]) == list(GRADIENTS)


def mixed():
    """IF neurons, but for the first layer's."""
    layers = chain(IF)
    layers[1] = LIF()
    return layers


REFUSED = {
    "cba": (chain, Direct(4), CBA(), "IF neurons only"),
    "cba, one leaky layer": (mixed, Direct(4), CBA(), "IF neurons only"),
    "frames": (chain, Frames(4), Extended(RGA()), "cannot give another number"),
    "of its own": (chain, lambda x: x.transpose(0, 1), Extended(RGA()), "cannot give another"),
    "inside": (chain, Frames(4), EOT(Extended(RGA())), "Extended: .* cannot give another"),
    "among others": (chain, Frames(4), Mean(STBP(), Extended(RGA())), "Extended: .* cannot give"),
    "two deep": (chain, Frames(4), Mean(STBP(), EOT(Extended(RGA()))), "EOT: Extended: .* cannot"),
    **{
        name: (partial(chain, lambda: Neuron(Refractory())), Direct(4), name, "neurons obey other")
        for name in ("rga", "static", "stbp", "relu")
    },
}
every_refusal = pytest.mark.parametrize("case", REFUSED)


def refusal(rule, words, argument="gradient"):
    kind = type(parse_rule(rule)).__name__
    return (
        rf"^{argument}: expected a rule .*, got {kind}\(.* not apply to neuron 'layers\.1' with .*"
        rf"{words}.*\. The rules that do apply: .*'bptr', 'hart'"
    )


def use(net, rule):
    with net.using(rule):
        raise AssertionError("the block was entered")


def ask_for_a_loss_gradient(net, rule):
    x = np.zeros((2, *SHAPE), dtype=np.float32)
    around(net, SHAPE, 3).loss_gradient(x, np.zeros(2, dtype=int), gradient=rule)


ASKS = {
    "from the start": lambda net, rule: SpikingNetwork(net.layers, net.encoder, rule),
    "training": lambda net, rule: SpikingNetwork(net.layers, net.encoder, "bptr", rule),
    "setter": lambda net, rule: setattr(net, "gradient", rule),
    "training setter": lambda net, rule: setattr(net, "training_gradient", rule),
    "using": use,
    "with_gradient": lambda net, rule: net.with_gradient(rule),
    "set_params": lambda net, rule: around(net, SHAPE, 3).set_params(gradient=rule),
    "loss_gradient": ask_for_a_loss_gradient,
}


@every_refusal
@pytest.mark.parametrize("ask", ASKS)
def test_a_rule_that_does_not_apply_is_refused_and_the_network_stays_as_it_was(ask, case):
    layers, encoder, rule, words = REFUSED[case]
    net = SpikingNetwork(layers(), encoder, "bptr", "hart").eval()
    x = torch.rand(3, 4, *SHAPE) if net.encoder != Direct(4) else batch(dtype=torch.float32)
    before = result(net, x)
    argument = "training_gradient" if ask.startswith("training") else "gradient"
    with pytest.raises(ValueError, match=refusal(rule, words, argument)):
        ASKS[ask](net, rule)
    assert (net.gradient, net.training_gradient) == (BPTR(), HART())
    assert net.encoder is encoder
    assert not net.training
    after = result(net, x)
    assert torch.equal(after.input, before.input)
    assert torch.equal(after.logits, before.logits)


@every_refusal
def test_what_came_into_the_network_later_is_refused_at_the_first_gradient(case):
    layers, encoder, rule, words = REFUSED[case]
    net = SpikingNetwork(chain(IF), Direct(4), rule)
    net.layers, net.encoder = layers(), encoder
    x = torch.rand(3, 4, *SHAPE) if encoder != Direct(4) else batch(dtype=torch.float32)
    with torch.no_grad():
        assert net(x).isfinite().all()
    with pytest.raises(ValueError, match=refusal(rule, words)):
        net(x.requires_grad_())
    assert net.encoder is encoder
