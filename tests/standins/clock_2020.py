"""spikingjelly.clock_driven as it was in 2020: no memories, and a surrogate in training alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.standins import of
from tests.standins.nodes import sigmoid

ROOT = "spikingjelly.clock_driven"


@of(f"{ROOT}.surrogate")
class Sigmoid(nn.Module):
    spiking = True

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x, 4.0) if self.training else (x >= 0).to(x)


@of(f"{ROOT}.neuron")
class BaseNode(nn.Module):
    def __init__(self, v_threshold: float = 1.0, v_reset: float | None = 0.0) -> None:
        super().__init__()
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.v: float | Tensor = 0.0 if v_reset is None else v_reset
        self.surrogate_function = Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        self.charge(x)
        assert isinstance(self.v, Tensor)
        spike = self.surrogate_function(self.v - self.v_threshold)
        self.v = (1 - spike) * self.v + spike * self.v_reset
        return spike

    def charge(self, x: Tensor) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        self.v = 0.0 if self.v_reset is None else self.v_reset


@of(f"{ROOT}.neuron")
class LIFNode(BaseNode):
    tau = 2.0

    def charge(self, x: Tensor) -> None:
        self.v = self.v + (x - (self.v - self.v_reset)) / self.tau


@of(f"{ROOT}.neuron")
class PLIFNode(BaseNode):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.0))

    def charge(self, x: Tensor) -> None:
        self.v = self.v + (x - (self.v - self.v_reset)) * self.w.sigmoid()
