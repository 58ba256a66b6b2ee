"""Spiking neurons as torch modules: the state equations, and the firing of the pass that runs."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require
from art_snn.dynamics import SOFT_AND_HARD, Dynamics
from art_snn.gradients.base import Firing, NeuronRef
from art_snn.gradients.rules.stbp import STBP


@dataclass(frozen=True)
class NeuronLayer:
    """A layer of neurons, by its name in `network.layer_names`.

    :param layout: what its calls take: "steps" [T, N, ...], "step" one of them [N, ...], ...
    :param site: its dynamics, with the name that complaints use."""

    name: str
    module: nn.Module
    layout: str
    site: NeuronRef


@dataclass(frozen=True)
class Pass:
    """One forward pass of a network: how its neurons fire, and their names.

    :param plain: True if all modules are torch's or ours, and no hook sees a value. Then values
        may lie in memory with the channels last, and need not all exist.
    :param constant: functions of stateless layers with constant weights, where these are."""

    firing: Firing
    names: "Mapping[Neuron, str]"
    plain: bool = False
    constant: Mapping[nn.Module, Any] | None = None


PASS: ContextVar[Pass | None] = ContextVar("pass", default=None)
"""The pass that runs in this thread or task. Modules are shared by passes, so they keep nothing."""


class Neuron(nn.Module):
    """A layer of independent neurons that start from rest at every call.

    Inside a :class:`~art_snn.SpikingNetwork` the network decides how the layer is differentiated;
    on its own it is an ordinary layer under STBP()."""

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics

    def forward(self, current: Tensor) -> Tensor:
        """Input current [T, N, ...] -> spikes [T, N, ...].

        :raises ValueError: when the current has no time and batch axis, or no time step.
        :raises RuntimeError: when called during a backward pass, by activation checkpointing."""
        if current.ndim < 2 or current.shape[0] < 1:
            expected = "a tensor [T, N, ...] with T >= 1"
            remedy = "Time comes first: x.expand(steps, *x.shape) repeats an image."
            raise invalid("current", expected, f"shape {list(current.shape)}", remedy)
        running = PASS.get()
        name = None if running is None else running.names.get(self)
        if running is not None and name is not None:
            spikes = NeuronRef(name, self.dynamics).fire(running.firing, current)
            return spikes if running.plain else spikes.contiguous()
        if torch._C._current_graph_task_id() != -1:
            raise RuntimeError(
                "a neuron was called during a backward pass, as activation checkpointing does. By "
                "then the network's pass is over, and another rule would be used. Do not "
                "checkpoint blocks that contain neurons."
            )
        return NeuronRef("", self.dynamics).fire(STBP().firing(), current).contiguous()

    def extra_repr(self) -> str:
        return repr(self.dynamics).partition("(")[2].removesuffix(")")


class LIF(Neuron):
    """Leaky integrate-and-fire neurons.

    :param decay: share of the potential that survives one step, in [1e-6, 1] or 0.
    :param threshold: firing threshold, in [1e-4, 1e4].
    :param reset: "hard" (to zero) or "soft" (by subtraction).
    :raises ValueError: when a parameter is out of its range."""

    def __init__(
        self, decay: float = 0.5, threshold: float = 1.0, reset: Literal["hard", "soft"] = "hard"
    ) -> None:
        require(reset in ("hard", "soft"), "reset", "'hard' or 'soft'", repr(reset), SOFT_AND_HARD)
        super().__init__(Dynamics(decay, threshold, reset))


class IF(LIF):
    """Integrate-and-fire neurons: no leak, decay = 1; parameters as :class:`LIF`."""

    def __init__(self, threshold: float = 1.0, reset: Literal["hard", "soft"] = "hard") -> None:
        super().__init__(1.0, threshold, reset)
