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


class Returning(Stack):
    """The same around neurons that return their spikes and a state."""

    def fire(self, neuron: nn.Module, current: Tensor) -> Tensor:
        return neuron(current)[0].to(current.dtype)


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
        spikes, *self.states[neuron] = neuron(current, *self.states.get(neuron, ()))
        return spikes.to(current.dtype)


class OfOneStep(nn.Sequential):
    """[N, ...] -> one step [N, K], as tutorials build it: the loop stands in the user's script."""

    def __init__(self, neuron: nn.Module, last: nn.Module, inputs: int = INPUTS) -> None:
        super().__init__(nn.Flatten(), nn.Linear(inputs, 12), neuron, nn.Linear(12, CLASSES), last)
        lively(self)


class Looping(nn.Module):
    """A model of one step with that loop inside; part of what it returns is averaged."""

    def __init__(self, model: nn.Module, part: int | None = None) -> None:
        super().__init__()
        self.model, self.part = model, part

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self.model(x) for _ in range(STEPS)]
        return torch.stack([o if self.part is None else o[self.part] for o in outputs]).mean(0)


def chain(neuron: nn.Module, gain: float = 2.0) -> nn.Sequential:
    """[T, N, ...] -> [T, N, K] through one layer of neurons that take all steps."""
    layers = nn.Flatten(2), nn.Linear(INPUTS, 12), neuron, nn.Linear(12, CLASSES)
    return lively(nn.Sequential(*layers), gain)


def lively(model: nn.Module, gain: float = 2.0) -> nn.Module:
    """The model with weights under which its neurons fire, in evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim:
                weight.normal_(0.2, 0.6, generator=generator).mul_(gain if weight.ndim > 1 else 0.1)
    return model.eval()


def images(samples: int = 5, shape: tuple[int, ...] = (1, 3, 3)) -> Tensor:
    return torch.rand(samples, *shape, generator=torch.Generator().manual_seed(4))
