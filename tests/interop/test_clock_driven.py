"""spikingjelly.clock_driven of 2020, which no package index has: many published networks use it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt
from tests.interop.neurons import Spike
from tests.interop.promises import gradient
from tests.interop.stacks import CLASSES, Looping, images, lively


class Sigmoid(nn.Module):
    """It has a gradient in training mode alone."""

    spiking = True

    def forward(self, x: Tensor) -> Tensor:
        return Spike.apply(x) if self.training else (x >= 0).to(x)


class LIFNode(nn.Module):
    """It has no memories, and returns spikes alone."""

    v: float | Tensor = 0.0
    v_threshold, v_reset, tau = 1.0, 0.0, 2.0

    def __init__(self) -> None:
        super().__init__()
        self.surrogate_function = Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        u = self.charge(x)
        spikes = self.surrogate_function(u - self.v_threshold)
        self.v = (1 - spikes) * u + spikes * self.v_reset
        return spikes

    def charge(self, x: Tensor) -> Tensor:
        return self.v + (x - (self.v - self.v_reset)) / self.tau

    def reset(self) -> None:
        self.v = self.v_reset


class PLIFNode(LIFNode):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.0))

    def charge(self, x: Tensor) -> Tensor:
        return self.v + (x - (self.v - self.v_reset)) * self.w.sigmoid()


for _cls in (LIFNode, PLIFNode):
    _cls.__module__ = "spikingjelly.clock_driven.neuron"


@pytest.mark.parametrize("neuron", [LIFNode, PLIFNode])
@pytest.mark.parametrize("rule", ["rga", "stbp", "bptr", "native", "hart", "static"])
def test_neurons_of_spikingjelly_of_2020_are_known(neuron, rule):
    body = nn.Sequential(nn.Flatten(), nn.Linear(9, 12), neuron(), nn.Linear(12, CLASSES))
    network = adapt(Looping(lively(body, 1.0)), encoder=None)
    dynamics = network.body.neurons()[0].dynamics
    assert (dynamics.decay, dynamics.gain) == pytest.approx((0.5, 0.5))
    logits, grad = gradient(network, rule, images())
    with torch.no_grad():
        assert torch.equal(logits, network(images()))
    assert grad.any()
