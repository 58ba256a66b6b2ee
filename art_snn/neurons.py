"""Spiking neurons as torch modules: the state equations, and the firing of the pass that runs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Module

from art_snn.checks import invalid, require_choice
from art_snn.dynamics import SOFT_AND_HARD, Dynamics
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.rules.stbp import STBP
from art_snn.running.context import RUN


@dataclass(frozen=True)
class NeuronLayer:
    """A layer of neurons, by its name in `network.body.layer_names`.

    :param layout: what its calls take: "steps" [T, N, ...], "step" one of them [N, ...], ...
    :param site: its dynamics, with the name that complaints use."""

    name: str
    module: Module
    layout: str
    site: NeuronRef


class Neuron(Module):
    """A layer of independent neurons that start from rest at every call.

    Inside a :class:`~art_snn.SpikingNetwork` the network decides how the layer is
    differentiated; on its own it is an ordinary layer under STBP()."""

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics

    def forward(self, current: Tensor) -> Tensor:
        """Input current [T, N, ...] -> spikes [T, N, ...].

        :raises ValueError: when the current has no time and batch axis, or no time step.
        :raises RuntimeError: when called during a backward pass, by activation checkpointing."""
        if current.ndim < 2 or current.shape[0] < 1:
            raise invalid(
                "current",
                "a tensor [T, N, ...] with T >= 1",
                f"shape {list(current.shape)}",
                "Time comes first: x.expand(steps, *x.shape) repeats an image.",
            )
        run = RUN.get()
        if run.firing is not None and self in run.names:
            spikes = NeuronRef(run.names[self], self.dynamics).fire(run.firing, current)
            return spikes if run.plain else spikes.contiguous()
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
    :param synapse: share of the synaptic current that survives one step, in [0, 0.9999];
        0 is no synapse.
    :raises ValueError: when a parameter is out of its range."""

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        reset: Literal["hard", "soft"] = "hard",
        synapse: float = 0.0,
    ) -> None:
        require_choice("reset", reset, ("hard", "soft"), remedy=SOFT_AND_HARD)
        super().__init__(Dynamics(decay, threshold, reset, synapse=synapse))


class IF(LIF):
    """Integrate-and-fire neurons: no leak, decay = 1; parameters as :class:`LIF`."""

    def __init__(
        self, threshold: float = 1.0, reset: Literal["hard", "soft"] = "hard"
    ) -> None:
        super().__init__(1.0, threshold, reset)
