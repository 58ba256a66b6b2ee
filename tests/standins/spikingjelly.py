"""SpikingJelly 2.0.0: equations in *_functional_forward, states in _memories, either step mode."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.standins import of

ROOT = "spikingjelly.activation_based"


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        s = (ctx.saved_tensors[0] * ctx.alpha).sigmoid()
        return grad * (1.0 - s) * s * ctx.alpha, None


@of(f"{ROOT}.surrogate")
class Sigmoid(nn.Module):
    def __init__(self, alpha: float = 4.0, spiking: bool = True) -> None:
        super().__init__()
        self.alpha, self.spiking = alpha, spiking

    def forward(self, x: Tensor) -> Tensor:
        return _Sigmoid.apply(x, self.alpha) if self.spiking else (x * self.alpha).sigmoid()


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        slope = ctx.alpha - ctx.alpha**2 * ctx.saved_tensors[0].abs()
        return grad * slope.clamp(min=0), None


@of(f"{ROOT}.surrogate")
class PiecewiseQuadratic(nn.Module):
    def __init__(self, alpha: float = 1.0, spiking: bool = True) -> None:
        super().__init__()
        assert spiking
        self.alpha, self.spiking = alpha, spiking

    def forward(self, x: Tensor) -> Tensor:
        return _Triangle.apply(x, self.alpha)


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


class Memories(nn.Module):
    """What the memory modules of all versions share: state in a dict, read as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self._memories: dict[str, Any] = {}
        self._memories_rv: dict[str, Any] = {}

    def register_memory(self, name: str, value: Any) -> None:
        self._memories[name] = value
        self._memories_rv[name] = copy.deepcopy(value)

    def reset(self) -> None:
        for name in self._memories:
            self._memories[name] = copy.deepcopy(self._memories_rv[name])

    def __getattr__(self, name: str) -> Any:
        memories = self.__dict__.get("_memories", {})
        return memories[name] if name in memories else super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_memories", {}):
            self._memories[name] = value
        else:
            super().__setattr__(name, value)


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
class BaseNode(MemoryModule):
    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
    ) -> None:
        assert isinstance(v_threshold, float)
        assert v_reset is None or isinstance(v_reset, float)
        super().__init__()
        self.register_memory("v", 0.0 if v_reset is None else v_reset)
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.surrogate_function = surrogate_function or Sigmoid()
        self.detach_reset, self.step_mode = detach_reset, step_mode
        self.store_v_seq, self.v_seq = store_v_seq, None

    def materialize_states(self, inputs: tuple, states: tuple, step_mode: str) -> tuple:
        x, v = inputs[0][0] if step_mode == "m" else inputs[0], states[0]
        if isinstance(v, float) or v.shape != x.shape:
            start = v if isinstance(v, float) else self.v_reset or 0.0
            v = torch.full_like(x, start, requires_grad=False)
        return v.to(x), *states[1:]

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self.store_v_seq:
            return super().multi_step_forward(x_seq, *args, **kwargs)
        steps = []
        for x in x_seq:
            steps.append((self.single_step_forward(x), self.v))
        self.v_seq = torch.stack([v for _, v in steps])
        return torch.stack([s for s, _ in steps])

    def _fired(self, h: Tensor) -> tuple[Tensor, Tensor]:
        spike = self.surrogate_function(h - self.v_threshold)
        reset = spike.detach() if self.detach_reset else spike
        if self.v_reset is None:
            return spike, h - reset * self.v_threshold
        return spike, reset * self.v_reset + (1.0 - reset) * h


@of(f"{ROOT}.neuron.integrate_and_fire")
class IFNode(BaseNode):
    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        spike, v = self._fired(states[0] + inputs[0])
        return (spike,), (v, *states[1:])

    # As in the original, a subclass that overrides the single step does not change this one.
    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return _unrolled(partial(IFNode.single_step_functional_forward, self), inputs, states)


@of(f"{ROOT}.neuron.lif")
class LIFNode(BaseNode):
    def __init__(
        self, tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        assert isinstance(tau, float)
        assert tau > 1
        super().__init__(*args, **kwargs)
        self.tau, self.decay_input = tau, decay_input

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        x, v, rest = inputs[0], states[0], self.v_reset or 0.0
        charged = v + (x - (v - rest)) / self.tau
        h = charged if self.decay_input else v - (v - rest) / self.tau + x
        spike, v = self._fired(h)
        return (spike,), (v, *states[1:])

    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        return _unrolled(partial(LIFNode.single_step_functional_forward, self), inputs, states)


@of(f"{ROOT}.neuron.plif")
class ParametricLIFNode(BaseNode):
    def __init__(
        self, init_tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.as_tensor(-math.log(init_tau - 1.0)))

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        x, v, rest, q = inputs[0], states[0], self.v_reset or 0.0, self.w.sigmoid()
        h = v + (x - (v - rest)) * q if self.decay_input else v - (v - rest) * q + x
        spike, v = self._fired(h)
        return (spike,), (v, *states[1:])

    def multi_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        step = partial(ParametricLIFNode.single_step_functional_forward, self)
        return _unrolled(step, inputs, states)


@of(f"{ROOT}.neuron.nonlinear_if")
class QIFNode(BaseNode):
    """A neuron whose potential is no linear function of its input."""

    def __init__(self, tau: float = 2.0, v_c: float = 0.8, a0: float = 1.0) -> None:
        super().__init__(v_reset=-0.1)
        self.tau, self.v_c, self.a0, self.v_rest = tau, v_c, a0, 0.0

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: Any) -> tuple:
        x, v = inputs[0], states[0]
        drive = x + self.a0 * (v - self.v_rest) * (v - self.v_c)
        spike, v = self._fired(v + drive / self.tau)
        return (spike,), (v, *states[1:])


def seq_to_ann_forward(x_seq: Tensor, module: Any) -> Tensor:
    return module(x_seq.flatten(0, 1)).unflatten(0, x_seq.shape[:2])


def stepped(kind: Any, base: Any, module: str) -> Any:
    """The layer of that kind with a step mode: one step [N, ...], or all of them [T, N, ...]."""

    def __init__(self: Any, *args: Any, step_mode: str = "s", **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)
        self.step_mode = step_mode

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.step_mode == "s":
            return kind.forward(self, x)
        return seq_to_ann_forward(x, partial(kind.forward, self))

    members = {"__init__": __init__, "forward": forward, "__module__": module}
    return type(kind.__name__, (kind, base), members)


Conv2d = stepped(nn.Conv2d, StepModule, f"{ROOT}.layer.stateless_wrapper")
Linear = stepped(nn.Linear, StepModule, f"{ROOT}.layer.stateless_wrapper")
Flatten = stepped(nn.Flatten, StepModule, f"{ROOT}.layer.stateless_wrapper")
MaxPool2d = stepped(nn.MaxPool2d, StepModule, f"{ROOT}.layer.stateless_wrapper")
AvgPool2d = stepped(nn.AvgPool2d, StepModule, f"{ROOT}.layer.stateless_wrapper")
BatchNorm2d = stepped(nn.BatchNorm2d, StepModule, f"{ROOT}.layer.bn")


@of(f"{ROOT}.layer.container")
class SeqToANNContainer(nn.Sequential, MultiStepModule):
    def forward(self, x_seq: Tensor) -> Tensor:
        return seq_to_ann_forward(x_seq, super().forward)


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
