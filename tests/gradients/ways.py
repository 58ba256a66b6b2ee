"""The ways in which a rule is asked for its gradient, and the check vector of the equations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from art_snn import RGA, Frames, SpikingNetwork
from art_snn.gradients import Gradient, RateGradient
from art_snn.gradients.rate import collapse, resolve_in_time
from tests.architectures import network
from tests.oracles import NaiveNeuron, assert_close, assert_same_spikes, naive, result

CURRENT = torch.tensor([0.6, 0.9, 1.2, 0.35], dtype=torch.float64)
AT_SPIKES = torch.tensor([1, -0.5, 0.25, 2], dtype=torch.float64)


class Weighted(nn.Module):
    """Multiplies step t by T g[t]: the gradient of the time mean at step t is then g[t]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", 4 * AT_SPIKES.view(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def on_the_check_vector(rule: Gradient, **dynamics: Any) -> list[float]:
    """d[t] at one neuron with the current x[t] of the check vector and its g[t] = dL/ds[t]."""

    def weighted(neuron: Callable[[], nn.Module]) -> nn.Module:
        return nn.Sequential(neuron(), Weighted())

    net = network(weighted, encoder=Frames(4), gradient=rule, **dynamics)
    x = CURRENT.view(1, 4, 1).clone().requires_grad_()
    (grad,) = torch.autograd.grad(net(x).sum(), x)
    return grad.flatten().tolist()


def by_collapse(net: SpikingNetwork, rule: RateGradient | None = None) -> Callable[[Tensor], Any]:
    """Encoded input -> logits by record and replay, which must not be refused."""

    def logits(encoded: Tensor) -> Tensor:
        out = collapse(rule or RGA(), net.body, encoded)
        assert isinstance(out, Tensor)
        return out

    return logits


def by_steps(net: SpikingNetwork, rule: RateGradient | None = None) -> Callable[[Tensor], Any]:
    """Encoded input -> logits by a pass with a graph over all time steps."""
    return partial(resolve_in_time, rule or RGA(), net.body)


def assert_both_ways_equal(net, x, neuron, tolerance=1e-12):
    """The network's rate rule, collapsed and time-resolved, equals the naive loop."""
    expected = naive(net, x, neuron)
    for way in (by_collapse, by_steps):
        got = result(net, x, way(net, net.gradient))
        assert_same_spikes(got, expected)
        assert_close(got, expected, tolerance)


def assert_equals_naive(net: SpikingNetwork, x: Tensor, neuron: NaiveNeuron, kind: str) -> None:
    """The network as it runs by itself, in this kind of execution, equals the naive loop."""
    expected = naive(net, x, neuron)
    got = result(net, x)
    assert net.execution.kind == kind
    assert_same_spikes(got, expected)
    assert_close(got, expected, 1e-12)
