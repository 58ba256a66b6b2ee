"""Convolution, batch norm and neurons in one piece, against the same network one by one."""

import copy

import pytest
import torch
from torch import nn

from art_snn import IF, LIF, Direct, SpikingNetwork, TimeDistributed


def _network(neuron, **options) -> SpikingNetwork:
    layers = [
        TimeDistributed(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        LIF(),
        TimeDistributed(nn.Conv2d(4, 6, 3, **options), nn.BatchNorm2d(6)),
        neuron,
        TimeDistributed(nn.Flatten(), nn.LazyLinear(3)),
    ]
    return SpikingNetwork(layers, encoder=Direct(3)).double()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("neuron", [LIF(), IF(), LIF(reset="soft")], ids=repr)
@pytest.mark.parametrize("options", [{}, {"groups": 2, "stride": 2, "padding": 1}], ids=str)
def test_a_block_has_the_gradients_and_statistics_of_its_modules_one_by_one(
    neuron, options, samples
):
    torch.manual_seed(0)
    net, x = _network(neuron, **options), torch.rand(samples, 2, 9, 7, dtype=torch.float64)
    net(x)
    twin = copy.deepcopy(net)
    for module in twin.modules():  # Hooks see values, so modules are called one by one.
        module.register_forward_hook(lambda *call: None)
    logits = [network.train()(x) for network in (net, twin)]
    assert torch.equal(*logits)
    for value in logits:
        value.square().sum().backward()
    assert any(weight.grad.abs().max() > 0 for weight in net.parameters())
    for ours, plain in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad)
    for ours, plain in zip(net.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, plain)
