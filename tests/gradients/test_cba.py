"""CBA: the quantised activation, its ANN, and the neurons that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from art_snn import CBA, IF, LIF, RGA, STBP, Direct, PyTorchSpikingClassifier, SpikingNetwork
from art_snn.dynamics import Dynamics
from tests.architectures import SHAPE, batch, chain, network
from tests.oracles import result

law = settings(deadline=None, derandomize=True, database=None, max_examples=150)


def activation(currents, levels=8, threshold=1.0):
    """Values and slopes of the activation at the currents."""
    net = SpikingNetwork(IF(threshold), Direct(1), CBA(levels=levels)).to(torch.float64)
    x = torch.tensor(currents, dtype=torch.float32).view(1, -1).requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return y.flatten().tolist(), slope.flatten().tolist()


@pytest.mark.parametrize("threshold", [1.0, 2.0])
@pytest.mark.parametrize(
    ("levels", "values"),
    [
        (8, [0, 0, 0, 0.125, 0.25, 0.5, 0.625, 1, 1, 1]),
        (4, [0, 0, 0, 0, 0.25, 0.5, 0.5, 1, 1, 1]),
        (1, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
    ],
)
def test_the_activation_is_rounded_to_the_nearest_of_its_levels(levels, values, threshold):
    scaled = [-0.75, 0, 0.0624, 0.0625, 0.1875, 0.5, 0.6, 0.96875, 1, 3]
    got, _ = activation([x * threshold for x in scaled], levels, threshold)
    assert got == values


@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_the_slope_is_one_over_the_threshold_from_zero_to_the_threshold(threshold):
    currents = [-1, -1e-6, 0, threshold / 3, threshold, threshold * 1.00001, 4]
    _, slopes = activation(currents, threshold=threshold)
    assert slopes == [0, 0, 1 / threshold, 1 / threshold, 1 / threshold, 0, 0]


@law
@given(
    share=st.floats(-0.5, 1.5),
    levels=st.integers(1, 20),
    threshold=st.floats(0.1, 5),
    steps=st.integers(1, 40),
)
def test_the_activation_is_near_the_rate_of_an_if_neuron(share, levels, threshold, steps):
    current = torch.full((steps, 1, 1), share * threshold, dtype=torch.float64)
    rate = Dynamics(1.0, threshold, "soft").simulate(current).mean().item()
    ((value,), _) = activation([share * threshold], levels, threshold)
    # Spikes come in steps of 1/T, levels in steps of 1/L, rounded to the nearest.
    assert abs(value - rate) <= 1 / steps + 0.5 / levels + 1e-5


def test_the_number_of_time_steps_does_not_matter_to_an_ann():
    net = network(chain, decay=1.0, gradient=CBA())
    x = batch()
    few, many = result(net.with_steps(1), x), result(net.with_steps(16), x)
    assert torch.equal(few.logits, many.logits)
    assert torch.equal(few.input, many.input)


def test_the_reset_does_not_matter_to_an_ann():
    hard, soft = (network(chain, decay=1.0, reset=r, gradient=CBA()) for r in ("hard", "soft"))
    soft.load_state_dict(hard.state_dict())
    x = batch()
    assert torch.equal(result(hard, x).input, result(soft, x).input)
    with torch.no_grad():
        assert not torch.equal(hard(x), soft(x))


# Neurons that it refuses

REFUSAL = (
    r"^gradient: expected a rule that applies to every neuron of the network, got "
    r"CBA\(levels=8\), which does not apply to neuron 'layers\.1' with .*decay=0\.5.*: "
    r"conversion to an ANN approximates IF neurons only \(decay 1\)\. "
    r"The rules that do apply: (?!.*'cba')'stbp',.* 'rga'"
)


def mixed():
    """IF neurons, but for the first layer's."""
    layers = chain(IF)
    layers[1] = LIF()
    return layers


def classifier(net):
    loss = nn.CrossEntropyLoss()
    return PyTorchSpikingClassifier(net, loss, SHAPE, 3, device_type="cpu", clip_values=(0, 1))


@pytest.mark.parametrize("layers", [chain, mixed])
def test_a_network_with_a_leak_refuses_it_from_the_start(layers):
    with pytest.raises(ValueError, match=REFUSAL):
        SpikingNetwork(layers(), gradient="cba")
    with pytest.raises(ValueError, match=REFUSAL.replace("gradient", "training_gradient")):
        SpikingNetwork(layers(), training_gradient=CBA())


def choose(net):
    net.gradient = "cba"


def choose_for_training(net):
    net.training_gradient = CBA()


def use(net):
    with net.using("cba"):
        raise AssertionError("the block was entered")


def ask_for_a_loss_gradient(net):
    x = np.zeros((2, *SHAPE), dtype=np.float32)
    classifier(net).loss_gradient(x, np.zeros(2, dtype=int), gradient="cba")


@pytest.mark.parametrize(
    "ask",
    [
        choose,
        choose_for_training,
        use,
        lambda net: net.with_gradient("cba"),
        lambda net: classifier(net).set_params(gradient="cba"),
        ask_for_a_loss_gradient,
    ],
    ids=["setter", "training", "using", "with_gradient", "set_params", "loss_gradient"],
)
def test_a_network_with_a_leak_refuses_it_later_and_stays_as_it_was(ask):
    net = SpikingNetwork(chain(), Direct(4)).eval()
    x = batch(dtype=torch.float32)
    before = result(net, x)
    with pytest.raises(ValueError, match=REFUSAL.replace("^gradient", "^(training_)?gradient")):
        ask(net)
    assert (net.gradient, net.training_gradient) == (RGA(), STBP())
    assert not net.training
    after = result(net, x)
    assert net.execution.kind == "collapsed"
    assert torch.equal(after.input, before.input)
    assert torch.equal(after.logits, before.logits)


def test_a_leak_that_came_into_the_network_later_is_refused_at_the_call():
    net = SpikingNetwork(chain(IF), gradient="cba")
    x = batch(dtype=torch.float32).requires_grad_()
    assert net(x).requires_grad
    net.layers[1] = LIF()
    with pytest.raises(ValueError, match=REFUSAL):
        net(x)
    with torch.no_grad():
        assert net(x).isfinite().all()
