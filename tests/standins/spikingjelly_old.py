"""SpikingJelly 0.0.0.0.14: in eval mode IFNode and LIFNode have no surrogate gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.standins import of, spikingjelly as new
from tests.standins.nodes import Leaky, Memories, Node, Parametric, stepped

ROOT = "spikingjelly.activation_based"

# Of the same names in both versions.
Sigmoid, StepModule, reset_net = new.Sigmoid, new.StepModule, new.reset_net


@of(f"{ROOT}.base")
class MemoryModule(Memories, StepModule):
    def __init__(self) -> None:
        super().__init__()
        self.step_mode = "s"

    def single_step_forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.single_step_forward(x) if self.step_mode == "s" else self.multi_step_forward(x)


@of(f"{ROOT}.neuron")
class BaseNode(Node, MemoryModule):
    surrogate = Sigmoid

    def __init__(
        self, *args: Any, step_mode: str = "s", store_v_seq: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.step_mode, self.store_v_seq = step_mode, store_v_seq
        if store_v_seq:
            self.register_memory("v_seq", None)

    @property
    def folds(self) -> bool:
        return not self.v_reset

    def single_step_forward(self, x: Tensor) -> Tensor:
        if isinstance(self.v, float):
            self.v = torch.full_like(x.data, self.v)
        if self.gated:
            # Compiled, whatever a subclass overrides.
            self.v = self.charged(x, self.v)
        else:
            self.neuronal_charge(x)
        spike, self.v = self.fired(self.v)
        return spike

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        steps = [(self.single_step_forward(x), self.v) for x in x_seq]
        if self.store_v_seq:
            self.v_seq = torch.stack([v for _, v in steps])
        return torch.stack([s for s, _ in steps])


class Gated(BaseNode):
    """In eval mode it fires without a surrogate gradient, and computes in another order."""

    @property
    def gated(self) -> bool:
        return not self.training

    @property
    def folds(self) -> bool:
        return not self.v_reset if self.training else self.v_reset is None


@of(f"{ROOT}.neuron")
class IFNode(Gated):
    pass


@of(f"{ROOT}.neuron")
class LIFNode(Leaky, Gated):
    pass


@of(f"{ROOT}.neuron")
class ParametricLIFNode(Parametric, BaseNode):
    pass


Conv2d, Linear, Flatten, MaxPool2d, BatchNorm2d = (
    stepped(kind, StepModule, f"{ROOT}.layer")
    for kind in (nn.Conv2d, nn.Linear, nn.Flatten, nn.MaxPool2d, nn.BatchNorm2d)
)
