"""RectifiedANN: the ReLU network of the same weights, for neurons with a leak, too."""

import pytest
import torch
from torch import nn

from art_snn import IF, LIF, Direct, RectifiedANN, SpikingNetwork, TimeDistributed


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_the_activation_is_a_line_from_zero_on(threshold, decay):
    net = SpikingNetwork(LIF(decay, threshold), Direct(1), RectifiedANN()).double()
    scaled = torch.tensor([[-2.0, -0.125, 0, 0.125, 0.5, 1, 3]]).double()
    x = (scaled * threshold).requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == [[0, 0, 0, 0.125, 0.5, 1, 3]]
    assert slope.tolist() == [[0, 0, 0, *[1 / threshold] * 4]]


def two_layers(neuron):
    """Two neurons behind two inputs, and two logits."""
    first, last = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0], [-3.0, 1.0]]))
        first.bias.copy_(torch.tensor([0.5, 0.25]))
        last.weight.copy_(torch.tensor([[2.0, -1.0], [1.0, 4.0]]))
        last.bias.copy_(torch.tensor([0.0, 1.0]))
    return [TimeDistributed(first), neuron, TimeDistributed(last)]


@pytest.mark.parametrize("neuron", [IF(2.0), LIF(0.5, 2.0), LIF(0.9, 2.0, reset="soft")], ids=repr)
def test_logits_and_gradients_of_two_layers_are_those_computed_by_hand(neuron):
    net = SpikingNetwork(two_layers(neuron), Direct(4), RectifiedANN()).double()
    # Currents 1 + 1 + .5 = 2.5 and -3 + .5 + .25 = -2.25; .25 + 2 + .5 = 2.75 and -.75 + 1.25 = .5.
    x = torch.tensor([[1.0, 0.5], [0.25, 1.0]], dtype=torch.float64, requires_grad=True)
    logits = net(x)
    # Over the threshold 1.25 and 0; 1.375 and .25.
    assert logits.tolist() == [[2.5, 2.25], [2.5, 3.375]]
    (grad,) = torch.autograd.grad((logits * torch.tensor([1.0, -1.0])).sum(), x)
    # The difference of the logits weighs the activations by 1 and -5, half of which passes:
    # the first neuron alone gives (.5, 1), both (.5 + 7.5, 1 - 2.5).
    assert grad.tolist() == [[0.5, 1.0], [8.0, -1.5]]
