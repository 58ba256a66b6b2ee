"""spikingjelly.clock_driven of 0.0.0.0.14: neurons of one step, and their multi-step subclasses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.standins import of
from tests.standins.nodes import Leaky, Memories, Node, Parametric
from tests.standins.spikingjelly import Sigmoid as _Sigmoid

ROOT = "spikingjelly.clock_driven"


@of(f"{ROOT}.surrogate")
class Sigmoid(_Sigmoid):
    pass


@of(f"{ROOT}.base")
class MemoryModule(Memories):
    pass


@of(f"{ROOT}.neuron")
class BaseNode(Node, MemoryModule):
    """Threshold and reset are memories too: reset() undoes a change of them."""

    surrogate = Sigmoid

    def keep(self, name: str, value: Any) -> None:
        self.register_memory(name, value)

    @property
    def folds(self) -> bool:
        return not self.v_reset

    def forward(self, x: Tensor) -> Tensor:
        self.neuronal_charge(x)
        spike, self.v = self.fired(self.v)
        return spike


@of(f"{ROOT}.neuron")
class IFNode(BaseNode):
    pass


@of(f"{ROOT}.neuron")
class LIFNode(Leaky, BaseNode):
    pass


@of(f"{ROOT}.neuron")
class ParametricLIFNode(Parametric, BaseNode):
    pass


def _multi_step(kind: Any) -> Any:
    """The subclass that takes [T, N, ...] and keeps the potentials of all steps in v_seq."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)
        self.register_memory("v_seq", None)

    def forward(self: Any, x_seq: Tensor) -> Tensor:
        assert x_seq.dim() > 1
        steps = [(kind.forward(self, x), self.v) for x in x_seq]
        self.v_seq = torch.stack([v for _, v in steps])
        return torch.stack([s for s, _ in steps])

    members = {"__init__": __init__, "forward": forward, "__module__": kind.__module__}
    return type(f"MultiStep{kind.__name__}", (kind,), members)


MultiStepIFNode = _multi_step(IFNode)
MultiStepLIFNode = _multi_step(LIFNode)
MultiStepParametricLIFNode = _multi_step(ParametricLIFNode)
