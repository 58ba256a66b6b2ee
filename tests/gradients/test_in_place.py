"""Layers may write into the spikes that they are given, as the official SEW-ResNet does."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from art_snn import GRADIENTS, LIF, Direct, SpikingNetwork, TimeDistributed
from art_snn.interop import adapt
from tests.interop.neurons import Step, Steps
from tests.interop.promises import weighed
from tests.interop.stacks import CLASSES, INPUTS, images, lively

ADD: dict[bool, Callable[[Tensor, Tensor], Tensor]] = {True: Tensor.add_, False: Tensor.add}


class Block(nn.Module):
    """out = sn2(fc2(sn1(fc1(x)))); out += x, or the same in a new tensor."""

    def __init__(self, neuron: Callable[[], nn.Module], in_place: bool) -> None:
        super().__init__()
        layers = (nn.Linear(12, 12), neuron()), (nn.Linear(12, 12), neuron())
        self.body = nn.Sequential(*(module for layer in layers for module in layer))
        self.relu, self.add = nn.ReLU(inplace=in_place), ADD[in_place]

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.add(self.body(x), x))


def model(neuron: Callable[[], nn.Module], in_place: bool) -> nn.Module:
    blocks = (Block(neuron, in_place) for _ in range(2))
    layers = nn.Flatten(-3), nn.Linear(INPUTS, 12), neuron(), *blocks, nn.Linear(12, CLASSES)
    return lively(nn.Sequential(*layers))


def own(in_place: bool) -> SpikingNetwork:
    made = model(lambda: LIF(1.0), in_place)
    for block in list(made.modules()):
        for name, module in list(block.named_children()):
            if isinstance(module, nn.Linear):
                setattr(block, name, TimeDistributed(module))
    return SpikingNetwork(list(made), Direct(4)).eval()


NETWORKS = {
    "own": own,
    "all steps": lambda in_place: adapt(model(lambda: Steps(1.0), in_place), steps=4),
    "one step": lambda in_place: adapt(model(lambda: Step(1.0), in_place), steps=4),
}


@pytest.mark.parametrize("rule", GRADIENTS)
@pytest.mark.parametrize("form", NETWORKS)
def test_spikes_that_are_changed_in_place_have_the_same_gradients(form, rule):
    if form == "one step" and rule in ("cba", "relu"):
        return
    results = []
    for in_place in (True, False):
        network = NETWORKS[form](in_place)
        torch.manual_seed(0)
        for fixed in (False, True, True):  # The last pass may be for shapes only.
            x = images().requires_grad_()
            with network.using(rule), network.constant_weights() if fixed else nullcontext():
                logits = network(x)
                wanted = (x,) if fixed else (x, *network.parameters())
                total = weighed(logits.mul_(2))  # Losses may write into logits.
                results.append((logits, *torch.autograd.grad(total, wanted)))
    for got, expected in zip(results[:3], results[3:], strict=True):
        assert expected[1].any()
        assert all(map(torch.equal, got, expected))
