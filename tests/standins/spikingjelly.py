"""SpikingJelly 2.0.0: equations in *_functional_forward, states in _memories, either step mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.standins import of
from tests.standins.nodes import (
    Leaky,
    Memories,
    Node,
    Parametric,
    merged,
    sigmoid,
    stepped,
    triangle,
)

ROOT = "spikingjelly.activation_based"


@of(f"{ROOT}.surrogate")
class Sigmoid(nn.Module):
    def __init__(self, alpha: float = 4.0, spiking: bool = True) -> None:
        super().__init__()
        self.alpha, self.spiking = alpha, spiking

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x, self.alpha) if self.spiking else (x * self.alpha).sigmoid()


@of(f"{ROOT}.surrogate")
class PiecewiseQuadratic(nn.Module):
    def __init__(self, alpha: float = 1.0, spiking: bool = True) -> None:
        super().__init__()
        assert spiking
        self.alpha, self.spiking = alpha, spiking

    def forward(self, x: Tensor) -> Tensor:
        return triangle(x, self.alpha)


@of(f"{ROOT}.base")
class StepModule:
    def supported_step_mode(self) -> tuple[str, ...]:
        return "s", "m"

    @property
    def step_mode(self) -> str:
        return self._step_mode

    @step_mode.setter
    def step_mode(self, value: str) -> None:
        if value not in self.supported_step_mode():
            raise ValueError(f"step_mode can only be {self.supported_step_mode()}, not {value!r}")
        self._step_mode = value


@of(f"{ROOT}.base")
class MultiStepModule(StepModule):
    def supported_step_mode(self) -> tuple[str, ...]:
        return ("m",)


@of(f"{ROOT}.base")
class MemoryModule(Memories, StepModule):
    def __init__(self) -> None:
        super().__init__()
        self._step_mode = "s"

    def materialize_states(self, inputs: tuple, states: tuple, step_mode: str) -> tuple:
        return states

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        raise NotImplementedError

    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return _unrolled(self.single_step_functional_forward, inputs, states, **kwargs)

    def single_step_forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inputs = (x, *args)
        states = self.materialize_states(inputs, tuple(self._memories.values()), "s")
        return self._kept(*self.single_step_functional_forward(inputs, states, **kwargs))

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inputs = (x_seq, *args)
        states = self.materialize_states(inputs, tuple(self._memories.values()), "m")
        return self._kept(*self.multi_step_functional_forward(inputs, states, **kwargs))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.step_mode == "s":
            return self.single_step_forward(*args, **kwargs)
        return self.multi_step_forward(*args, **kwargs)

    def _kept(self, outputs: tuple, states: tuple) -> Any:
        self._memories.update(zip(self._memories, states, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs


def _unrolled(step: Any, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
    taken = []
    for now in zip(*inputs, strict=True):
        outputs, states = step(now, states, **kwargs)
        taken.append(outputs)
    return tuple(torch.stack(out) for out in zip(*taken, strict=True)), states


@of(f"{ROOT}.neuron.base_node")
class BaseNode(Node, MemoryModule):
    surrogate = Sigmoid

    def __init__(
        self, *args: Any, step_mode: str = "s", store_v_seq: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.step_mode, self.store_v_seq, self.v_seq = step_mode, store_v_seq, None

    def materialize_states(self, inputs: tuple, states: tuple, step_mode: str) -> tuple:
        x, v = inputs[0][0] if step_mode == "m" else inputs[0], states[0]
        if isinstance(v, float) or v.shape != x.shape:
            start = v if isinstance(v, float) else self.v_reset or 0.0
            v = torch.full_like(x, start, requires_grad=False)
        return v.to(x), *states[1:]

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self.store_v_seq:
            return super().multi_step_forward(x_seq, *args, **kwargs)
        steps = [(self.single_step_forward(x), self.v) for x in x_seq]
        self.v_seq = torch.stack([v for _, v in steps])
        return torch.stack([s for s, _ in steps])

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        spike, v = self.fired(self.charged(inputs[0], states[0]))
        return (spike,), (v, *states[1:])

    # As in the original, a subclass that overrides the single step does not change this one.
    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return _unrolled(partial(BaseNode.single_step_functional_forward, self), inputs, states)


@of(f"{ROOT}.neuron.integrate_and_fire")
class IFNode(BaseNode):
    pass


@of(f"{ROOT}.neuron.lif")
class LIFNode(Leaky, BaseNode):
    pass


@of(f"{ROOT}.neuron.plif")
class ParametricLIFNode(Parametric, BaseNode):
    pass


@of(f"{ROOT}.neuron.nonlinear_if")
class QIFNode(BaseNode):
    """A neuron whose potential is no linear function of its input."""

    def __init__(self, tau: float = 2.0, v_c: float = 0.8, a0: float = 1.0) -> None:
        super().__init__(v_reset=-0.1)
        self.tau, self.v_c, self.a0, self.v_rest = tau, v_c, a0, 0.0

    def charged(self, x: Tensor, v: Tensor) -> Tensor:
        return v + (x + self.a0 * (v - self.v_rest) * (v - self.v_c)) / self.tau


WRAPPER = f"{ROOT}.layer.stateless_wrapper"
Conv2d, Linear, Flatten, MaxPool2d, AvgPool2d = (
    stepped(kind, StepModule, WRAPPER)
    for kind in (nn.Conv2d, nn.Linear, nn.Flatten, nn.MaxPool2d, nn.AvgPool2d)
)
BatchNorm2d = stepped(nn.BatchNorm2d, StepModule, f"{ROOT}.layer.bn")


@of(f"{ROOT}.layer.container")
class SeqToANNContainer(nn.Sequential, MultiStepModule):
    def forward(self, x_seq: Tensor) -> Tensor:
        return merged(x_seq, super().forward)


@of(f"{ROOT}.layer.dropout")
class Dropout(MemoryModule):
    """One mask for all steps."""

    def __init__(self, p: float = 0.5, step_mode: str = "s") -> None:
        super().__init__()
        self.register_memory("mask", None)
        self.p, self.step_mode = p, step_mode

    def _masked(self, x: Tensor, one: Tensor, mask: Tensor | None) -> tuple:
        if not self.training:
            return (x,), (mask,)
        mask = F.dropout(torch.ones_like(one), self.p, training=True) if mask is None else mask
        return (x * mask,), (mask,)

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return self._masked(inputs[0], inputs[0], states[0])

    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return self._masked(inputs[0], inputs[0][0], states[0])


def reset_net(net: nn.Module) -> None:
    for module in net.modules():
        if callable(getattr(module, "reset", None)):
            module.reset()


def set_step_mode(net: nn.Module, step_mode: str) -> None:
    """In a container of single steps the layers keep their mode."""
    if hasattr(net, "step_mode"):
        net.step_mode = step_mode
    if not isinstance(net, SeqToANNContainer):
        for child in net.children():
            set_step_mode(child, step_mode)
