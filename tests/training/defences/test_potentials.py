"""Losses on potentials and currents: values by hand, gradients by a loop in plain autograd."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron
from art_snn.training import MPDSGR, MPPD, TGO, Learner
from tests.conftest import varied

STEPS = 4
WATCHING = [MPDSGR(weight=0.7), TGO(weight=2), MPPD(weight=3), MPPD(kind="l2", clean=0.2)]
NEURONS = {
    "hard": Dynamics(),
    "soft": Dynamics(0.9, 0.8, "soft"),
    "none": Dynamics(0.5, 1.0, "none"),
    "no leak": Dynamics(1.0),
    "strict": Dynamics(0.5, 1.0, strict=True, rest=-0.1, gain=1.5, constant=0.1),
    "several": Dynamics(0.9, 0.5, "soft", several=3, floor=-0.3),
}


def network(dynamics: Dynamics, rule: Any = STBP(), **options: Any) -> SpikingNetwork:
    torch.manual_seed(varied())
    layers = [
        Timed(nn.Conv2d(1, 3, 3, padding=1)),
        Neuron(dynamics),
        Timed(nn.Flatten(), nn.Linear(48, 6)),
        Neuron(dynamics),
        Timed(nn.Linear(6, 3)),
    ]
    with torch.no_grad():
        layers[0].module[0].weight.mul_(4)
        layers[2].module[1].weight.mul_(3)
    return SpikingNetwork(layers, Direct(STEPS), "stbp", rule, **options)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(varied(1)))
    noise = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(varied(2)))
    return x, (x + 0.3 * noise).double().float(), torch.arange(5) % 3


class Spike(torch.autograd.Function):
    """A step with the slope of the triangle of width 1, of the sum over thresholds."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        ctx.save_for_backward(u)
        if dynamics.strict:
            return (u > dynamics.threshold).to(u.dtype)
        return (u / dynamics.threshold).floor().clamp(0, dynamics.several)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,), dynamics = ctx.saved_tensors, ctx.dynamics
        thresholds = [(k + 1) * dynamics.threshold for k in range(dynamics.several)]
        return grad * sum((1 - (u - z).abs()).clamp(min=0) for z in thresholds), None


def naive(net: SpikingNetwork, dynamics: Dynamics, x: Tensor) -> tuple[Tensor, list[Any]]:
    """Logits, and currents and potentials of both layers [T, N, ...], by a loop over time."""
    first, second, last = (net.layers[i].module for i in (0, 2, 4))
    v, seen, outputs = [dynamics.start, dynamics.start], ([], [], [], []), []
    for _ in range(STEPS):
        x_in = first(x)
        for layer, read in enumerate((second, last)):
            u = dynamics.decay * v[layer] + dynamics.gain * x_in + dynamics.constant
            s = Spike.apply(u, dynamics)
            seen[2 * layer].append(x_in)
            seen[2 * layer + 1].append(u)
            v[layer] = {
                "hard": u * (1 - s) + dynamics.rest * s,
                "soft": u - dynamics.threshold * s,
                "none": u,
            }[dynamics.reset]
            if dynamics.floor is not None:
                v[layer] = v[layer].clamp(min=dynamics.floor)
            x_in = read(s)
        outputs.append(x_in)
    return torch.stack(outputs).mean(0), [torch.stack(part) for part in seen]


def by_hand(defence: Any, net: SpikingNetwork, dynamics: Dynamics, p: float) -> Tensor:
    x, adversarial, y = (part.double() if part.is_floating_point() else part for part in batch())
    (clean, before), (attacked, after) = (naive(net, dynamics, z) for z in (x, adversarial))
    entropy = nn.functional.cross_entropy(attacked, y)
    distances = [u - dynamics.threshold for u in after[1::2]]
    if isinstance(defence, TGO):
        lacks = [(0.3 - z.abs()).clamp(min=0).mean() for z in distances]
        return entropy + defence.weight * (1 - cos(pi * p)) / 2 * sum(lacks)
    if isinstance(defence, MPDSGR):
        normal, shares = torch.distributions.Normal(0.0, 1.0), []
        for z in distances:
            channels = z.transpose(1, 2).flatten(2)
            mean, std = channels.mean(2), (channels.var(2, unbiased=False) + 1e-5).sqrt()
            shares.append((normal.cdf((mean + 1) / std) - normal.cdf((mean - 1) / std)).mean())
        return entropy + defence.weight * sum(shares) / 2
    potential, total = 0.0, []
    for a, b in zip(before[2].detach(), after[2], strict=True):
        potential = dynamics.decay * potential + a - b
        total.append(potential.abs() if defence.kind == "l1" else potential**2)
    k = defence.clean
    mixed = k * nn.functional.cross_entropy(clean, y) + (1 - k) * entropy
    return mixed + defence.weight * torch.stack(total).mean()


@pytest.mark.parametrize("dynamics", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("defence", WATCHING, ids=str)
def test_value_and_gradient_are_those_of_a_loop_in_plain_autograd(defence, dynamics):
    net, (x, adversarial, y) = network(dynamics).double().train(), batch()
    loss = defence.loss(Learner(net, progress=0.3), x.double(), adversarial.double(), y)
    expected = by_hand(defence, net, dynamics, 0.3)
    weights = list(net.parameters())
    found, wanted = (torch.autograd.grad(z, weights) for z in (loss, expected))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        assert ours.abs().max() > 0
