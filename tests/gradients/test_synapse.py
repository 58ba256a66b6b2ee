"""A synapse before the neuron: its current, and the gradients through it."""

import pytest
import torch

from art_snn import ASSG, CBA, HART, LIF, PDSG, RGA, STBP, Direct, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef, Triangle
from art_snn.gradients.synapse import filter_current
from art_snn.neurons import Neuron

LAGS = (0, 1)
PULSE = torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None]


@pytest.mark.parametrize(
    ("lag", "currents", "potentials", "response"),
    [
        (0, [1.0, 0.5, 0.25, 0.125], [1.0, 0.5, 0.5, 0.375], 1.53125),
        (1, [0.0, 1.0, 0.5, 0.25], [0.0, 1.0, 0.5, 0.5], 1.0625),
    ],
)
def test_a_pulse_by_hand(lag, currents, potentials, response):
    dynamics = Dynamics(0.5, 1.0, synapse=0.5, lag=lag)
    assert dynamics.filter(PULSE)[:, 0].tolist() == currents
    potential = torch.empty_like(PULSE)
    spikes = dynamics.simulate(PULSE, potential)
    assert potential[:, 0].tolist() == potentials
    assert spikes[:, 0].tolist() == [float(u >= 1) for u in potentials]
    assert dynamics.filter(torch.ones(4, 1)).mean() == response


def loop(x, dynamics, slope):
    """The equations step by step in plain autograd, spikes with that slope."""
    i = v = torch.zeros_like(x[0])
    spikes = []
    for step in x:
        before = i
        i = dynamics.synapse * i + step
        u = dynamics.decay * v + dynamics.gain * (before if dynamics.lag else i)
        z = u - dynamics.threshold
        s = (z >= 0).to(x) + (slope(z.detach()) * (z - z.detach()))
        v = u * (1 - s) if dynamics.reset == "hard" else u - dynamics.threshold * s
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("synapse", [0.7, torch.tensor([0.2, 0.5, 0.9])], ids=["one", "each"])
def test_stbp_is_plain_autograd_through_synapse_and_potential(lag, reset, synapse):
    dynamics = Dynamics(0.6, 1.0, reset, gain=0.8, synapse=synapse, lag=lag)
    x = torch.rand(9, 4, 3, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(9, 4, 3, dtype=torch.float64)
    spikes = NeuronRef("here", dynamics).fire(STBP().firing(), x)
    settings = Dynamics(0.6, 1.0, reset, gain=0.8, synapse=0.7, lag=lag)
    vars(settings)["synapse"] = synapse.double() if isinstance(synapse, torch.Tensor) else synapse
    expected = loop(x, settings, Triangle())
    assert torch.equal(spikes, expected)
    assert spikes.any()
    (got,) = torch.autograd.grad(spikes, x, grad)
    (wanted,) = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lag", LAGS)
def test_the_filter_can_be_differentiated_twice(lag):
    dynamics = Dynamics(synapse=0.7, lag=lag)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: filter_current(x, dynamics), x)
    assert torch.autograd.gradgradcheck(lambda x: filter_current(x, dynamics), x)


def network(*neurons, steps=6):
    torch.manual_seed(0)
    sizes = [12, *(20 for _ in neurons), 3]
    layers = []
    for inputs, outputs, neuron in zip(sizes, sizes[1:], neurons, strict=False):
        layers += [TimeDistributed(torch.nn.Linear(inputs, outputs)), neuron]
    return SpikingNetwork([*layers, TimeDistributed(torch.nn.Linear(20, 3))], Direct(steps))


@pytest.mark.parametrize("rule", [STBP(), PDSG(), ASSG(), RGA(), HART()], ids=str)
def test_every_rule_sees_the_neuron_behind_its_synapse(rule):
    net = network(LIF(synapse=0.8), LIF(synapse=0.8))
    x = torch.rand(5, 12, requires_grad=True)
    net.gradient = rule
    logits = net(x)
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert torch.equal(logits, net(x.detach()))
    assert grad.any()


def test_a_synapse_that_forgets_at_once_changes_nothing():
    with_synapse, without = network(LIF(synapse=0.0)), network(LIF())
    x = torch.rand(5, 12)
    assert torch.equal(with_synapse(x), without(x))
    assert not Dynamics(synapse=0.0).has_synapse


def test_conversion_takes_the_mean_response_for_a_constant_current():
    net = network(Neuron(Dynamics(1.0, synapse=0.5)), steps=4)
    twin = network(Neuron(Dynamics(1.0, gain=1.53125)), steps=4)
    x = torch.rand(5, 12, requires_grad=True)
    grads = []
    for one in (net, twin):
        one.gradient = CBA()
        grads.append(torch.autograd.grad(one(x).sum(), x)[0])
    torch.testing.assert_close(*grads)
    # The current of the step before is 0 in the only step.
    late = network(Neuron(Dynamics(1.0, synapse=0.5, lag=1)), steps=1)
    late.gradient = CBA()
    assert not torch.autograd.grad(late(x).sum(), x)[0].any()


def test_a_synapse_that_never_decays_is_refused():
    with pytest.raises(ValueError, match="synapse: expected a number"):
        Dynamics(synapse=1.0)
    with pytest.raises(ValueError, match="lag: expected 0 or 1"):
        Dynamics(lag=2)
