"""Neurons with a gain, a constant current, another reset or a strict threshold, by all rules."""

from functools import partial

import pytest
import torch
from torch import nn

from art_snn import GRADIENTS, RGA, STBP, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.dynamics import Dynamics
from art_snn.gradients import BPTR, HART, StaticCurve
from art_snn.neurons import Neuron
from tests.oracles import relative, rga_slope, static_slope, triangle
from tests.test_dynamics import FURTHER

# Of several spikes and floors, see test_several.
NAMES = [name for name, further in FURTHER.items() if Dynamics(0.5, **further).uniform]
every_dynamics = pytest.mark.parametrize("name", NAMES)


def layers(dynamics):
    torch.manual_seed(1)
    first, second, last = nn.Linear(6, 12), nn.Linear(12, 8), nn.Linear(8, 3)
    parts = [Timed(first), Neuron(dynamics), Timed(second), Neuron(dynamics), Timed(last)]
    for part in (first, second):
        part.weight.data.mul_(3 / dynamics.gain)
        part.bias.data.abs_()
    return nn.Sequential(*parts).double()


def spikes_and_slopes(dynamics, xs, slope):
    """Plain autograd through the state equations; with a slope, that at every step instead."""
    v, spikes = torch.full_like(xs[0], dynamics.start), []
    amount = dynamics.threshold if dynamics.drop is None else dynamics.drop
    potentials = []
    for x in xs:
        u = dynamics.decay * v + dynamics.gain * x + dynamics.constant
        z = u - dynamics.threshold
        # The triangle fires at z >= 0; the least number below zero makes it strict.
        s = triangle(z - 1e-15 if dynamics.strict else z)
        v = u * (1 - s) + dynamics.rest * s if dynamics.reset == "hard" else u - amount * s
        potentials.append(u)
        spikes.append(s)
    if slope is None:
        return spikes
    factor = slope(xs, potentials, spikes).detach()
    return [s.detach() + (x - x.detach()) * factor for x, s in zip(xs, spikes, strict=True)]


def gradient(dynamics, frames, slope=None):
    """Logits and input gradient of the layers above, step by step."""
    x, (a, _, b, _, c) = frames.clone().requires_grad_(), layers(dynamics)
    steps = [a.module(step) for step in x.unbind(1)]
    steps = [b.module(s) for s in spikes_and_slopes(dynamics, steps, slope)]
    steps = [c.module(s) for s in spikes_and_slopes(dynamics, steps, slope)]
    logits = sum(steps) / len(steps)
    (at_x,) = torch.autograd.grad((logits * torch.arange(1, 4)).sum(), x)
    return logits, at_x


def by_rule(dynamics, frames, rule):
    network = SpikingNetwork(layers(dynamics), Frames(6), rule)
    x = frames.clone().requires_grad_()
    logits = network(x)
    (at_x,) = torch.autograd.grad((logits * torch.arange(1, 4)).sum(), x)
    with torch.no_grad():
        assert torch.equal(network(x), logits)
    return logits, at_x


def mean_slope(dynamics, slope_of):
    """The slope at the mean current: gain times that of the plain neuron at what arrives."""
    soft = dynamics.drop is not None
    origin = dynamics.threshold - dynamics.drop if soft else dynamics.rest
    height, gain = dynamics.threshold - origin, dynamics.gain
    shift = dynamics.constant - (1 - dynamics.decay) * origin

    def slope(xs, potentials, spikes):
        mean = gain * sum(xs) / len(xs) + shift
        return gain * slope_of(Dynamics(dynamics.decay, height), mean)

    return slope


def straight(dynamics):
    return lambda xs, potentials, spikes: dynamics.gain * (sum(spikes) > 0).double()


def hart(dynamics):
    def slope(xs, potentials, spikes):
        slopes = [(1 - (u - dynamics.threshold).abs()).clamp(min=0) for u in potentials]
        return dynamics.gain * sum(slopes) / len(slopes)

    return slope


SLOPES = {
    STBP(): lambda dynamics: None,
    RGA(): partial(mean_slope, slope_of=rga_slope),
    StaticCurve(): partial(mean_slope, slope_of=static_slope),
    BPTR(): straight,
    HART(): hart,
}


@every_dynamics
@pytest.mark.parametrize("rule", SLOPES, ids=repr)
def test_gradients_are_those_of_the_equations_and_of_the_current_after_the_gain(name, rule):
    dynamics, frames = Dynamics(0.5, **FURTHER[name]), torch.rand(4, 6, 6).double()
    logits, got = by_rule(dynamics, frames, rule)
    wanted_logits, wanted = gradient(dynamics, frames, SLOPES[rule](dynamics))
    assert relative(logits, wanted_logits) < 1e-10
    assert relative(got, wanted) < (1e-12 if rule == STBP() else 1e-10)


@every_dynamics
@pytest.mark.parametrize("rule", [name for name in GRADIENTS if GRADIENTS[name]().exact_logits])
def test_record_and_replay_run_and_leave_the_logits_alone(name, rule):
    network = SpikingNetwork(layers(Dynamics(0.5, **FURTHER[name])), Direct(5), rule)
    x = torch.rand(3, 6).double()
    with torch.no_grad():
        plain = network(x)
    leaf = x.requires_grad_()
    logits = network(leaf)
    assert torch.equal(logits, plain)
    (grad,) = torch.autograd.grad(logits.sum(), leaf)
    assert torch.isfinite(grad).all()
    kind = "collapsed" if rule in ("rga", "static", "bptr", "hart") else "through time"
    assert network.execution.kind == kind


def test_cba_sees_the_current_after_the_gain():
    dynamics = Dynamics(1.0, gain=0.5, constant=0.1, rest=-0.5)
    network = SpikingNetwork(layers(dynamics), Direct(5), "cba")
    x = torch.rand(3, 6).double().requires_grad_()
    (grad,) = torch.autograd.grad(network(x).sum(), x)
    a, _, b, _, c = layers(dynamics)
    leaf = x.detach().clone().requires_grad_()
    values = leaf
    for layer in (a, b):
        arriving = 0.5 * layer.module(values) + 0.1
        line = (arriving / 1.5).clamp(0, 1)
        values = line + (torch.floor(8 * line + 0.5) / 8 - line).detach()
    (wanted,) = torch.autograd.grad(c.module(values).sum(), leaf)
    assert relative(grad, wanted) < 1e-12
