"""Second derivatives: by the surrogate's own derivative, and at the weights where they count."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn

from art_snn import ASSG, EOT, GRADIENTS, PDSG, RGA, STBP, Extended, Mean, Native
from art_snn.dynamics import Dynamics
from art_snn.gradients import Exponential, FastSigmoid, Rectangle, StraightThrough, TemporalGradient
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.surrogates import ATan, Gaussian, Sigmoid, Surrogate, Triangle
from tests.architectures import batch, chain, max_pooled, network
from tests.gradients.adaptive import loss_of
from tests.interop import adapted
from tests.oracles import _Scaled, deviation, encode, stbp_neuron, walk

SURROGATES = {
    Triangle(0.8): lambda z: torch.clamp(0.8 - z.abs(), min=0) / 0.64,
    Rectangle(): lambda z: (z.abs() < 0.5).to(z.dtype),
    ATan(): lambda z: 1 / (1 + (math.pi * z) ** 2),
    Sigmoid(): lambda z: 4 * torch.sigmoid(4 * z) * (1 - torch.sigmoid(4 * z)),
    Gaussian(): lambda z: 2 / math.sqrt(2 * math.pi) * torch.exp(-((2 * z) ** 2) / 2),
    FastSigmoid(): lambda z: 1 / (1 + 25 * z.abs()) ** 2,
    Exponential(2.0, 0.3): lambda z: 0.3 * torch.exp(-2 * z.abs()),
    StraightThrough(): torch.ones_like,
}
"""Every surrogate, and its slope as autograd can differentiate it."""


def spike(z, slope):
    """A spike at z >= 0 with a slope that has a graph of its own."""
    return _Scaled.apply(z, (z >= 0).to(z.dtype), slope)


def by_potentials(dynamics, xs, *, per_sample):
    """PDSG in plain autograd, its deviations held fixed."""
    past = []

    def fire(z):
        past.append(z.detach() + dynamics.threshold)
        sigma = deviation(past, per_sample)
        power = -((z - sigma / 2) ** 2) / (2 * sigma**2)
        return spike(z, torch.exp(power) / (math.sqrt(2 * math.pi) * sigma))

    return stbp_neuron(dynamics, xs, fire=fire)


def by_sharpness(dynamics, xs):
    """The first pass of ASSG in plain autograd, its sharpness held fixed."""

    def fire(z):
        size = z.detach().abs()
        mean = 0.9 + 0.1 * size
        alpha = ASSG().omega / (mean + 1.5 * (0.1 * (size - mean).abs()) + 1e-4)
        return spike(z, alpha / (2 * (1 + (math.pi * alpha * z / 2) ** 2)))

    return stbp_neuron(dynamics, xs, fire=fire, detach_reset=True)


def surrogate_neuron(slope, detach_reset=False):
    return partial(stbp_neuron, fire=lambda z: spike(z, slope(z)), detach_reset=detach_reset)


def derivatives(logits, tensors):
    """First derivatives of a fixed loss by the tensors, and those of a fixed sum of them."""
    grads = torch.autograd.grad(loss_of(logits), tensors, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in grads]
    total = sum((g * w).sum() for g, w in zip(grads, weights, strict=True))
    return grads, torch.autograd.grad(total, tensors, allow_unused=True)


TRIANGLE = surrogate_neuron(lambda z: (1 - z.abs()).clamp(min=0))
RULES = {
    PDSG(): partial(by_potentials, per_sample=False),
    PDSG(per_sample=True): partial(by_potentials, per_sample=True),
    ASSG(): by_sharpness,
    EOT(STBP(), samples=2): TRIANGLE,
    Extended(STBP(), steps=4): TRIANGLE,
    Mean(STBP(), STBP(), normalise=False): TRIANGLE,
    **{
        STBP(surrogate=surrogate, detach_reset=detach): surrogate_neuron(slope, detach)
        for surrogate, slope in SURROGATES.items()
        for detach in (False, True)
    },
}


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_both_derivatives_of_a_rule_are_those_of_a_naive_loop(rule):
    net, x = network(chain, gradient=rule), batch().requires_grad_()
    tensors = [x, *net.parameters()]
    got = derivatives(net(x), tensors)
    outputs = walk(net.layers, encode(net.encoder, x, torch.float64), RULES[rule], [])
    expected = derivatives(sum(outputs) / len(outputs), tensors)
    for ours, theirs in zip(got, expected, strict=True):
        scale = max(t.abs().max().item() for t in theirs if t is not None)
        assert scale > 0
        for a, b in zip(ours, theirs, strict=True):
            # A bias behind all neurons has none.
            a, b = (torch.zeros(1) if t is None else t.detach() for t in (a, b))
            assert (a - b).abs().max().item() < 1e-11 * scale


DYNAMICS = {
    "gain": Dynamics(0.9, gain=1.5, constant=0.1, v_start=0.2, strict=True),
    "v_reset": Dynamics(0.7, v_reset=-0.3),
    "reset_by": Dynamics(0.8, 0.7, "soft", reset_by=0.5),
    "none": Dynamics(0.6, 0.8, "none"),
    "each its own": Dynamics(torch.linspace(0.3, 0.9, 5), torch.linspace(0.5, 1.0, 5)),
    "each step its own": Dynamics((0.9, 0.4, 1.2, -0.3, 0.5, 0.8)),
    "two spikes": Dynamics(0.75, 0.5, "soft", max_spikes=2),
    "any, and a floor": Dynamics(0.75, 0.5, max_spikes=None, floor=-0.25, constant=0.05),
}


@pytest.mark.parametrize("name", DYNAMICS)
def test_a_layer_of_any_state_equations_has_it_outside_of_a_network(name):
    dynamics = DYNAMICS[name]
    # Of many thresholds those far away are left out, where an arctangent has a slope still.
    surrogate = Triangle(0.8) if dynamics.max_spikes is None else ATan()
    current = (1.5 * torch.rand(6, 3, 5, dtype=torch.float64)).requires_grad_()
    g = torch.randn_like(current).requires_grad_()
    fired = STBP(surrogate=surrogate).firing()(NeuronRef("", dynamics), current)
    expected = torch.stack(surrogate_neuron(SURROGATES[surrogate])(dynamics, list(current)))
    assert torch.equal(fired, expected)
    firsts, seconds = [], []
    for spikes in (fired, expected):
        (d,) = torch.autograd.grad(spikes, current, g, create_graph=True)
        firsts.append(d)
        seconds.append(torch.autograd.grad(d.square().sum(), (g, current)))
    torch.testing.assert_close(*firsts)
    torch.testing.assert_close(*seconds)


@pytest.mark.parametrize("rule", [STBP(surrogate=ATan()), PDSG()], ids=["stbp", "pdsg"])
def test_where_weights_are_constants_the_second_derivative_at_the_input_is_the_same(rule):
    net, x = network(gradient=rule), batch().requires_grad_()
    seconds = []
    for constant in (True, False):
        with net.constant_weights() if constant else nullcontext():
            (grad,) = torch.autograd.grad(loss_of(net(x)), x, create_graph=True)
        seconds += torch.autograd.grad(grad.square().sum(), x)
    torch.testing.assert_close(*seconds)


def test_a_penalty_on_the_gradient_at_the_input_reaches_weights_that_are_none():
    net, x = network(gradient=STBP(surrogate=ATan())), batch().requires_grad_()
    expected = []
    for training in (True, False):
        net.zero_grad()
        net.train(training)
        loss = loss_of(net(x))
        (grad,) = torch.autograd.grad(loss, x, create_graph=True)
        (loss + grad.square().sum()).backward()
        expected.append([weight.grad.clone() for weight in net.parameters()])
    torch.testing.assert_close(*expected)


class Cut(Surrogate):
    """Detaches its slope, so that torch takes it for a constant."""

    def __call__(self, distance):
        return (1 - distance.detach().abs()).clamp(min=0)


@dataclass(frozen=True)
class Silent(TemporalGradient):
    """Says nothing of second derivatives."""

    elementwise: ClassVar[bool] = True

    def slope(self, distance, site):
        return (1 - distance.abs()).clamp(min=0)


@pytest.mark.parametrize("rule", [STBP(surrogate=Cut()), Silent()], ids=repr)
def test_a_slope_that_torch_cannot_differentiate_is_refused(rule):
    net, x = network(gradient=rule), batch().requires_grad_()
    with pytest.raises(ValueError, match="a rule with a second derivative, got"):
        derivatives(net(x), [x])


def test_rules_say_that_they_have_one():
    twice = {name for name, rule in GRADIENTS.items() if rule().second_derivative}
    assert twice == {"stbp", "pdsg", "assg", "cba", "relu"}
    assert Native().second_derivative
    assert not RGA().second_derivative
    assert not Mean(STBP(), STBP()).second_derivative
    assert Mean(STBP(), PDSG(), normalise=False).second_derivative
    assert not EOT(RGA()).second_derivative


WITHOUT = {
    **{name: rule() for name, rule in GRADIENTS.items() if not rule().second_derivative},
    "mean": Mean(RGA(), STBP()),
    "mean of one kind": Mean(STBP(), STBP(detach_reset=True)),
    "eot": EOT(RGA(), samples=2),
    "extended": Extended(RGA(), steps=6),
}
MESSAGE = "^gradient: .*second derivative, got {}"


def linear(logits, x):
    return logits[:, 0].sum() + (x**3).sum()


def cross_entropy(logits, x):
    return nn.functional.cross_entropy(logits, torch.zeros(len(x)).long()) + (x**3).sum()


def first_derivative(net, x, loss, *, create_graph):
    return torch.autograd.grad(loss(net(x), x), x, create_graph=create_graph)[0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("loss", [linear, cross_entropy])
@pytest.mark.parametrize("layers", [chain, max_pooled])
@pytest.mark.parametrize("name", WITHOUT)
def test_a_second_derivative_is_refused_whichever_way_it_is_asked_for(name, layers, loss, training):
    rule = WITHOUT[name]
    net, x = network(layers, gradient=rule).train(training), batch().requires_grad_()
    grad = first_derivative(net, x, loss, create_graph=True)
    net.forget()
    assert torch.equal(grad, first_derivative(net, x, loss, create_graph=False))
    kinds = {type(part).__name__ for part in (rule, *getattr(rule, "parts", ()))}
    message = MESSAGE.format(f"({'|'.join(kinds)})")
    with pytest.raises(ValueError, match=message):
        torch.autograd.grad(grad.sum(), x, retain_graph=True)
    with pytest.raises(ValueError, match=message):
        grad.sum().backward()


@pytest.mark.parametrize("training", [False, True])
def test_one_of_gradients_at_the_weights_is_refused_too(training):
    net = network(gradient="rga", training_gradient="rga").train(training)
    x = batch().requires_grad_(not training)
    loss = net(x).square().sum()
    grads = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    with pytest.raises(ValueError, match=MESSAGE.format("RGA")):
        sum(grad.square().sum() for grad in grads).backward()


def test_models_that_call_their_neurons_step_by_step_refuse_it():
    net = adapted.network("step")
    x = torch.rand(3, *adapted.SHAPE, requires_grad=True)
    with net.using("stbp"):
        grad = first_derivative(net, x, linear, create_graph=True)
    with pytest.raises(ValueError, match=MESSAGE.format("the rule of neurons called step by step")):
        torch.autograd.grad(grad.sum(), x)
