"""SpikingJelly 0.0.0.0.14: in eval mode IFNode and LIFNode have no surrogate gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tests.standins import of, spikingjelly as new

ROOT = "spikingjelly.activation_based"


# Of the same names in both versions.
Sigmoid, StepModule = new.Sigmoid, new.StepModule


@of(f"{ROOT}.base")
class MemoryModule(new.Memories, StepModule):
    def __init__(self) -> None:
        super().__init__()
        self.step_mode = "s"
        self.backend = "torch"

    def single_step_forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        return torch.stack([self.single_step_forward(x) for x in x_seq])

    def forward(self, x: Tensor) -> Tensor:
        return self.single_step_forward(x) if self.step_mode == "s" else self.multi_step_forward(x)


class Equations:
    """Fire and reset, which the classes of both modules define."""

    def neuronal_fire(self: Any) -> Tensor:
        return self.surrogate_function(self.v - self.v_threshold)

    def neuronal_reset(self: Any, spike: Tensor) -> None:
        spike = spike.detach() if self.detach_reset else spike
        if self.v_reset is None:
            self.v = self.v - spike * self.v_threshold
        else:
            self.v = (1.0 - spike) * self.v + spike * self.v_reset


def leaky(x: Tensor, v: Tensor, rest: float | None, tau: float, decay_input: bool) -> Tensor:
    """The charge of LIFNode in train mode."""
    if rest is None or rest == 0.0:
        return v + (x - v) / tau if decay_input else v * (1.0 - 1.0 / tau) + x
    return v + (x - (v - rest)) / tau if decay_input else v - (v - rest) / tau + x


def parametric(x: Tensor, v: Tensor, rest: float | None, w: Tensor, decay_input: bool) -> Tensor:
    """The charge of ParametricLIFNode."""
    q = w.sigmoid()
    if rest is None or rest == 0.0:
        return v + (x - v) * q if decay_input else v * (1.0 - q) + x
    return v + (x - (v - rest)) * q if decay_input else v - (v - rest) * q + x


@of(f"{ROOT}.neuron")
class BaseNode(Equations, MemoryModule):
    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        backend: str = "torch",
        store_v_seq: bool = False,
    ) -> None:
        super().__init__()
        self.register_memory("v", 0.0 if v_reset is None else v_reset)
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.surrogate_function = surrogate_function or Sigmoid()
        self.detach_reset, self.step_mode, self.backend = detach_reset, step_mode, backend
        self.store_v_seq = store_v_seq
        if store_v_seq:
            self.register_memory("v_seq", None)

    def neuronal_charge(self, x: Tensor) -> None:
        raise NotImplementedError

    def single_step_forward(self, x: Tensor) -> Tensor:
        self.v_float_to_tensor(x)
        self.neuronal_charge(x)
        spike = self.neuronal_fire()
        self.neuronal_reset(spike)
        return spike

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        spikes, potentials = [], []
        for x in x_seq:
            spikes.append(self.single_step_forward(x))
            potentials.append(self.v)
        if self.store_v_seq:
            self.v_seq = torch.stack(potentials)
        return torch.stack(spikes)

    def v_float_to_tensor(self, x: Tensor) -> None:
        if isinstance(self.v, float):
            self.v = torch.full_like(x.data, self.v)


class _Gated(BaseNode):
    """In eval mode it fires without a surrogate gradient, and computes in another order."""

    def single_step_forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().single_step_forward(x)
        self.v_float_to_tensor(x)
        h = self._charged(x, self.v)
        spike = (h >= self.v_threshold).to(x)
        if self.v_reset is None:
            self.v = h - spike * self.v_threshold
        else:
            self.v = self.v_reset * spike + (1.0 - spike) * h
        return spike


@of(f"{ROOT}.neuron")
class IFNode(_Gated):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v = self.v + x

    def _charged(self, x: Tensor, v: Tensor) -> Tensor:
        return v + x


@of(f"{ROOT}.neuron")
class LIFNode(_Gated):
    def __init__(
        self, tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.tau, self.decay_input = tau, decay_input

    def neuronal_charge(self, x: Tensor) -> None:
        self.v = leaky(x, self.v, self.v_reset, self.tau, self.decay_input)

    def _charged(self, x: Tensor, v: Tensor) -> Tensor:
        # The order of a reset other than zero, also where it is zero.
        if self.v_reset is None:
            return leaky(x, v, None, self.tau, self.decay_input)
        if self.decay_input:
            return v + (x - (v - self.v_reset)) / self.tau
        return v - (v - self.v_reset) / self.tau + x


@of(f"{ROOT}.neuron")
class ParametricLIFNode(BaseNode):
    def __init__(
        self, init_tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.as_tensor(-math.log(init_tau - 1.0)))

    def neuronal_charge(self, x: Tensor) -> None:
        self.v = parametric(x, self.v, self.v_reset, self.w, self.decay_input)


Conv2d = new.stepped(nn.Conv2d, StepModule, f"{ROOT}.layer")
Linear = new.stepped(nn.Linear, StepModule, f"{ROOT}.layer")
Flatten = new.stepped(nn.Flatten, StepModule, f"{ROOT}.layer")
MaxPool2d = new.stepped(nn.MaxPool2d, StepModule, f"{ROOT}.layer")
BatchNorm2d = new.stepped(nn.BatchNorm2d, StepModule, f"{ROOT}.layer")
reset_net = new.reset_net
