"""What a gradient rule is, and what it may ask of a network and of a neuron."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from art_snn.dynamics import Dynamics


@dataclass(frozen=True)
class Site:
    """A neuron of a network as an engine sees it.

    :param name: qualified name of the neuron in its network, "" outside a network.
    :param dynamics: its state equations.
    """

    name: str
    dynamics: Dynamics


Firing = Callable[[Site, Tensor], Tensor]
"""What a neuron does with its current: (site, current [T, N, ...]) -> spikes [T, N, ...]."""


@dataclass(frozen=True)
class Execution:
    """How the gradient of one forward pass was computed, and why in this way."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class Differentiable(Protocol):
    """The side of a spiking network that gradient rules see."""

    execution: Execution | None
    obstacles: dict[Hashable, str | None]

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input [T, N, ...] -> logits [N, K], every neuron firing by `firing`."""
        ...

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        """The same before the mean over time: [T, N, K]."""
        ...

    def varying_layer(self) -> str | None:
        """Name of a layer whose output changes from call to call in the present mode, or None."""
        ...

    def state_key(self) -> Hashable:
        """Changes with the network's modules, their settings, modes, hooks and weights."""
        ...


class Gradient(ABC):
    """A rule by which a spiking network is differentiated.

    Rules are frozen dataclasses: their hyperparameters are their fields, they keep no state, and
    the logits they return are those of the plain simulation, bit for bit.
    """

    @abstractmethod
    def logits(self, network: Differentiable, encoded: Tensor) -> Tensor:
        """Logits [N, K] of the encoded input [T, N, ...], with this rule in their graph."""


def simulation(site: Site, current: Tensor) -> Tensor:
    """The firing without any gradient: plain simulation."""
    return site.dynamics.simulate(current)
