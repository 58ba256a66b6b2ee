"""ASSG by naive loops: one attack on a batch, step by step, moments in a dictionary."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn.dynamics import Dynamics
from art_snn.gradients.rules.assg import _PotentialMoments
from tests.oracles import _Scaled


class Naive:
    """Linear layers with ASSG neurons between them, step by step, for one attack on a batch."""

    def __init__(self, net: Any, dynamics: Dynamics, detach_reset: bool = True) -> None:
        self.linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
        self.dynamics, self.detach_reset = dynamics, detach_reset
        self.moments: dict[tuple[int, int], tuple[Any, Any]] = {}

    def logits(self, x: Tensor, steps: int) -> Tensor:
        potentials = [0.0] * (len(self.linear) - 1)
        total = 0.0
        for t in range(steps):
            y = x.flatten(1)
            for i, linear in enumerate(self.linear):
                y = y @ linear.weight.T + (0 if linear.bias is None else linear.bias)
                if i < len(potentials):
                    y, potentials[i] = self.neuron((i, t), y, potentials[i])
            total = total + y
        return total / steps

    def neuron(self, place: tuple[int, int], x: Tensor, v: Any) -> tuple[Tensor, Tensor]:
        u = self.dynamics.decay * v + x
        z = u - self.dynamics.threshold
        size = z.detach().abs()
        mean, deviation = self.moments.get(place, (1.0, 0.0))
        mean = 0.9 * mean + 0.1 * size
        deviation = 0.9 * deviation + 0.1 * (size - mean).abs()
        self.moments[place] = mean, deviation
        alpha = 2 * math.tan(math.pi * 0.85 / 2) / math.pi / (mean + 1.5 * deviation + 1e-4)
        slope = alpha / (2 * (1 + (math.pi * alpha * z.detach() / 2) ** 2))
        s = _Scaled.apply(z, (z >= 0).to(z.dtype), slope)
        reset = s.detach() if self.detach_reset else s
        if self.dynamics.reset == "hard":
            return s, u * (1 - reset)
        return s, u - self.dynamics.threshold * reset


def loss_of(logits):
    """A loss that is a sum over samples and not linear in the logits."""
    ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype)
    return (logits * ramp).sum() + logits.square().sum()


def ascend(logits, x, loss=loss_of):
    """Gradient of a loss."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(logits(x)), x)[0]


def restarts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What starts afresh from now on, layer by layer: "all", or whether each sample does."""
    seen: list[Any] = []
    at_rest, rest = _PotentialMoments.at_rest, _PotentialMoments.rest

    def all_of_them(_: type[_PotentialMoments], like: Tensor) -> _PotentialMoments:
        seen.append("all")
        return at_rest(like)

    def some(moments: _PotentialMoments, samples: Tensor) -> None:
        seen.append(samples.tolist())
        rest(moments, samples)

    monkeypatch.setattr(_PotentialMoments, "at_rest", classmethod(all_of_them))
    monkeypatch.setattr(_PotentialMoments, "rest", some)
    return seen
