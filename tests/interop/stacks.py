"""Three affine layers with two layers of neurons between, written as users of frameworks do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

INPUTS, CLASSES, STEPS = 9, 3, 4
WIDTHS = (INPUTS, 12, 8, CLASSES)


class Stack(nn.Module):
    """[T, N, ...] -> [T, N, K], or the same merged; neurons that take all steps in one call.

    :param neuron: makes one.
    :param gain: factor of the first two weights, so that neurons fire."""

    def __init__(self, neuron: Callable[[], nn.Module], gain: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.fc1, self.fc2, self.fc3 = (
            nn.Linear(inputs, outputs, dtype=torch.float64) for inputs, outputs in pairwise(WIDTHS)
        )
        self.neuron1, self.neuron2 = neuron(), neuron()
        with torch.no_grad():
            for layer, factor in ((self.fc1, gain), (self.fc2, gain), (self.fc3, 1.0)):
                layer.weight.normal_(0.15, 0.6, generator=generator).mul_(factor)
                layer.bias.normal_(0.1, 0.1, generator=generator).mul_(factor)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(2))

    def layers(self, x: Tensor) -> Tensor:
        return self.fc3(self.fire(self.neuron2, self.fc2(self.fire(self.neuron1, self.fc1(x)))))

    def fire(self, neuron: nn.Module, current: Tensor) -> Tensor:
        # Spikes of some frameworks are single precision whatever they are given.
        return neuron(current).to(current.dtype)

    @property
    def weights(self) -> list[Tensor]:
        layers = (self.fc1, self.fc2, self.fc3)
        return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


class Merged(Stack):
    """The same with the steps merged into the batch axis inside."""

    def forward(self, x: Tensor) -> Tensor:
        steps, batch = x.shape[:2]
        return self.layers(x.reshape(steps * batch, -1)).unflatten(0, (steps, batch))


class OwnMerged(Stack):
    """[N, ...] -> [T, N, K]: it repeats the input and merges the steps itself."""

    def forward(self, x: Tensor) -> Tensor:
        merged = x.flatten(1).repeat(STEPS, 1)
        return self.layers(merged).unflatten(0, (STEPS, len(x)))


class SamplesFirst(Stack):
    """[T, N, ...] -> [T, N, K] around layers on [N, T, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(2).transpose(0, 1)).transpose(0, 1)


class SamplesMerged(Stack):
    """[T, N, ...] -> [T, N, K] around layers on [N * T, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        steps, batch = x.shape[:2]
        merged = x.flatten(2).transpose(0, 1).flatten(0, 1)
        return self.layers(merged).unflatten(0, (batch, steps)).transpose(0, 1)


class Loop(Stack):
    """[N, ...] -> [T, N, K] in a loop over time, around neurons that keep their own state."""

    def forward(self, x: Tensor) -> Tensor:
        self.begin()
        return torch.stack([self.layers(x.flatten(1)) for _ in range(STEPS)])

    def begin(self) -> None:
        """Before the first step."""


class StateLoop(Loop):
    """The same around neurons whose state the loop hands on."""

    def begin(self) -> None:
        self.states: dict[nn.Module, Any] = {}

    def fire(self, neuron: nn.Module, current: Tensor) -> Tensor:
        spikes, self.states[neuron] = neuron(current, self.states.get(neuron))
        return spikes.to(current.dtype)
