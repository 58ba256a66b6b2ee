"""Models with neurons of their own, as research code writes them: no rule knows their equations.

All spikes have the slope ``1 - |z|`` near the threshold. Models map [T, N, F] to [T, N, K] unless
they say otherwise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.interop.neurons import Spike

FEATURES, HIDDEN, CLASSES = 12, 16, 4


class FireInside(torch.autograd.Function):
    """A step at a threshold of its own, with `setup_context`, and the triangle backward."""

    @staticmethod
    def forward(potential):
        return (potential > 1.0).to(potential)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (potential,) = ctx.saved_tensors
        return grad * (1 - (potential - 1).abs()).clamp(min=0)


def fire(potential: Tensor) -> Tensor:
    return Spike.apply(potential - 1)


class Leaky(nn.Module):
    """Two layers of leaky neurons written into the forward; the reset is detached."""

    def __init__(self, spike: Callable[[Tensor], Tensor] = fire) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.last = nn.Linear(HIDDEN, CLASSES)
        nn.init.normal_(self.first.weight)
        self.spike = spike

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(x.shape[1], HIDDEN, dtype=x.dtype)
        outputs = []
        for step in x:
            u = 0.8 * v + self.first(step)
            spikes = self.spike(u)
            v = u - spikes.detach()
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class Complementary(nn.Module):
    """A step of CLIF: a module that keeps its state and changes it in place."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.v: Any = 0.0
        self.m: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        u = 0.5 * self.v + x
        self.m = self.m * torch.sigmoid_(0.5 * u)
        spikes = fire(u)
        self.m = self.m + spikes
        self.v = u - spikes * (1 + torch.sigmoid(self.m))
        return spikes


class Quantize(torch.autograd.Function):
    """Whole steps of 1/64, with the gradient passed on: no spikes."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(64 * x) / 64

    @staticmethod
    def backward(ctx, grad):
        return grad


class KeepsPotentials(nn.Module):
    """All steps in one call; what it leaves on itself is read out."""

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        spikes, potentials = [], []
        for step in x:
            v = 0.8 * v + step
            spikes.append(fire(v))
            v = v * (1 - spikes[-1].detach())
            potentials.append(v)
        self.v_seq = torch.stack(potentials)
        return torch.stack(spikes)


class Delayed(nn.Module):
    """Delays by a convolution over time, and a readout of potentials."""

    def __init__(self) -> None:
        super().__init__()
        self.delays = nn.Conv1d(FEATURES, HIDDEN, 3, dilation=2)
        nn.init.normal_(self.delays.weight)
        self.hidden = KeepsPotentials()
        self.weights = nn.Linear(HIDDEN, CLASSES)
        self.last = KeepsPotentials()

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.permute(1, 2, 0), (4, 0))
        spikes = self.hidden(self.delays(padded).permute(2, 0, 1))
        self.last(self.weights(spikes))
        return self.last.v_seq


class OneStep(nn.Sequential):
    """A model of one time step [N, F], whose neurons keep their state and can be reset."""

    def __init__(self) -> None:
        first = nn.Linear(FEATURES, HIDDEN)
        nn.init.normal_(first.weight)
        super().__init__(first, Complementary(), nn.Linear(HIDDEN, CLASSES))


STEPS = 6
