"""What the neurons of all versions of SpikingJelly share: surrogates, memories, equations."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.standins import spike


def sigmoid(x: Tensor, alpha: float) -> Tensor:
    def slope(x: Tensor) -> Tensor:
        s = (x * alpha).sigmoid()
        return (1.0 - s) * s * alpha

    return spike(x, slope)


def triangle(x: Tensor, alpha: float) -> Tensor:
    return spike(x, lambda x: (alpha - alpha**2 * x.abs()).clamp(min=0))


class Memories(nn.Module):
    """State in a dict, read as attributes."""

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


class Node:
    """A neuron: it is charged, fires and is reset."""

    surrogate: Any

    gated = False
    """Whether it fires without a gradient at present."""
    folds = False
    """Whether f v + x is computed in place of v - (v - rest) / tau + x."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
    ) -> None:
        assert isinstance(v_threshold, float)
        assert v_reset is None or isinstance(v_reset, float)
        super().__init__()
        self.register_memory("v", 0.0 if v_reset is None else v_reset)
        self.keep("v_threshold", v_threshold)
        self.keep("v_reset", v_reset)
        self.surrogate_function = surrogate_function or self.surrogate()
        self.detach_reset = detach_reset

    def keep(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def charged(self: Any, x: Tensor, v: Tensor) -> Tensor:
        return v + x

    def fired(self: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes, and the potential after the reset."""
        spike = self.surrogate_function(h - self.v_threshold)
        spike = spike.detach() if self.gated else spike
        reset = spike.detach() if self.detach_reset else spike
        if self.v_reset is None:
            return spike, h - reset * self.v_threshold
        return spike, reset * self.v_reset + (1.0 - reset) * h

    def neuronal_charge(self: Any, x: Tensor) -> None:
        """Of versions before 2.0."""
        self.v = self.charged(x, self.v)


class Leaky(Node):
    """LIFNode."""

    def __init__(
        self, tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        assert isinstance(tau, float)
        assert tau > 1
        super().__init__(*args, **kwargs)
        self.tau, self.decay_input = tau, decay_input

    def charged(self: Any, x: Tensor, v: Tensor) -> Tensor:
        rest = self.v_reset or 0.0
        if self.decay_input:
            return v + (x - (v - rest)) / self.tau
        return v * (1.0 - 1.0 / self.tau) + x if self.folds else v - (v - rest) / self.tau + x


class Parametric(Node):
    """ParametricLIFNode."""

    def __init__(
        self, init_tau: float = 2.0, decay_input: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.as_tensor(-math.log(init_tau - 1.0)))

    def charged(self: Any, x: Tensor, v: Tensor) -> Tensor:
        rest, q = self.v_reset or 0.0, self.w.sigmoid()
        if self.decay_input:
            return v + (x - (v - rest)) * q
        return v * (1.0 - q) + x if self.folds else v - (v - rest) * q + x


def merged(x_seq: Tensor, module: Any) -> Tensor:
    """What a layer of one step makes of all steps."""
    return module(x_seq.flatten(0, 1)).unflatten(0, x_seq.shape[:2])


def stepped(kind: Any, base: Any, module: str) -> Any:
    """The layer of that kind with a step mode: one step [N, ...], or all of them [T, N, ...]."""

    def __init__(self: Any, *args: Any, step_mode: str = "s", **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)
        self.step_mode = step_mode

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.step_mode == "s":
            return kind.forward(self, x)
        return merged(x, partial(kind.forward, self))

    members = {"__init__": __init__, "forward": forward, "__module__": module}
    return type(kind.__name__, (kind, base), members)
