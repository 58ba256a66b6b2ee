"""A neuron and a network as published attack code writes them: inputs merged to [T*N, ...]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.standins import spike


def triangle(x: Tensor, gamma: float) -> Tensor:
    return spike(x, lambda x: (gamma - x.abs()).clamp(min=0) / gamma**2)


def add_time(x: Tensor, T: int) -> Tensor:
    return x.unsqueeze(0).repeat(T, *[1] * x.dim())


def merge(x: Tensor) -> Tensor:
    return x.flatten(0, 1)


def expand(x: Tensor, T: int) -> Tensor:
    return x.unflatten(0, (T, -1))


class LIFSpike(nn.Module):
    """mem = tau mem + x; a spike at mem >= thresh sets mem to 0. No state outlives a call."""

    def __init__(self, T: int, thresh: float = 1.0, tau: float = 0.5, gamma: float = 1.0) -> None:
        super().__init__()
        self.T, self.thresh, self.tau, self.gamma = T, thresh, tau, gamma

    def forward(self, x: Tensor) -> Tensor:
        mem, spikes = torch.zeros_like(expand(x, self.T)[0]), []
        for now in expand(x, self.T):
            mem = mem * self.tau + now
            fired = triangle(mem - self.thresh, self.gamma)
            mem = (1 - fired) * mem
            spikes.append(fired)
        return merge(torch.stack(spikes))


class VGG(nn.Module):
    """Images of 8 x 8 to logits [T, N, K], or [N, K] where it takes the mean over time itself."""

    def __init__(
        self, T: int = 4, classes: int = 4, *, channels: int = 1, mean: bool = False
    ) -> None:
        super().__init__()
        self.T, self.mean = T, mean
        self.features = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4, momentum=None),
            LIFSpike(T),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8, momentum=None),
            LIFSpike(T),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(32, 16), LIFSpike(T), nn.Linear(16, classes)
        )
        # Without training the neurons of the later layers would not fire, in eval mode least.
        with torch.no_grad():
            self.classifier[1].weight.mul_(6)
            self(torch.rand(32, channels, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = merge(add_time(x, self.T))
        logits = expand(self.classifier(self.features(x)), self.T)
        return logits.mean(0) if self.mean else logits
