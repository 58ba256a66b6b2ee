"""Rules by conversion: the activations that stand for neurons."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn import CBA, IF, LIF, Direct, RectifiedANN, SpikingNetwork
from art_snn.dynamics import Dynamics

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


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_that_of_a_relu_network_is_a_line_from_zero_on(threshold, decay):
    net = SpikingNetwork(LIF(decay, threshold), Direct(1), RectifiedANN()).double()
    scaled = torch.tensor([[-2.0, -0.125, 0, 0.125, 0.5, 1, 3]]).double()
    x = (scaled * threshold).requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == [[0, 0, 0, 0.125, 0.5, 1, 3]]
    assert slope.tolist() == [[0, 0, 0, *[1 / threshold] * 4]]
