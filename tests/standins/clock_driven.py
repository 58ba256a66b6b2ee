"""spikingjelly.clock_driven of 0.0.0.0.14: neurons of one step, and their multi-step subclasses."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tests.standins import of
from tests.standins.spikingjelly import Memories, Sigmoid as _Sigmoid
from tests.standins.spikingjelly_old import Equations, leaky, parametric

ROOT = "spikingjelly.clock_driven"


@of(f"{ROOT}.surrogate")
class Sigmoid(_Sigmoid):
    pass


@of(f"{ROOT}.base")
class MemoryModule(Memories):
    pass


@of(f"{ROOT}.neuron")
class BaseNode(Equations, MemoryModule):
    """Threshold and reset are memories too: reset() undoes a change of them."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
    ) -> None:
        super().__init__()
        self.register_memory("v", 0.0 if v_reset is None else v_reset)
        self.register_memory("v_threshold", v_threshold)
        self.register_memory("v_reset", v_reset)
        self.detach_reset = detach_reset
        self.surrogate_function = surrogate_function or Sigmoid()

    def neuronal_charge(self, x: Tensor) -> None:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        self.neuronal_charge(x)
        spike = self.neuronal_fire()
        self.neuronal_reset(spike)
        return spike


@of(f"{ROOT}.neuron")
class IFNode(BaseNode):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v = self.v + x


@of(f"{ROOT}.neuron")
class LIFNode(BaseNode):
    def __init__(
        self, tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.tau, self.decay_input = tau, decay_input

    def neuronal_charge(self, x: Tensor) -> None:
        self.v = leaky(x, self.v, self.v_reset, self.tau, self.decay_input)


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


def _multi_step(kind: Any) -> Any:
    """The subclass that takes [T, N, ...] and keeps the potentials of all steps in v_seq."""

    def __init__(self: Any, *args: Any, backend: str = "torch", **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)
        self.register_memory("v_seq", None)
        self.backend = backend

    def forward(self: Any, x_seq: Tensor) -> Tensor:
        assert x_seq.dim() > 1
        steps = []
        for x in x_seq:
            steps.append((kind.forward(self, x), self.v))
        self.v_seq = torch.stack([v for _, v in steps])
        return torch.stack([s for s, _ in steps])

    members = {"__init__": __init__, "forward": forward, "__module__": kind.__module__}
    return type(f"MultiStep{kind.__name__}", (kind,), members)


MultiStepIFNode = _multi_step(IFNode)
MultiStepLIFNode = _multi_step(LIFNode)
MultiStepParametricLIFNode = _multi_step(ParametricLIFNode)
