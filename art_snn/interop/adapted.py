"""The side of an adapted network that is verified, and what the first passes have shown of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from art_snn.gradients.base import Differentiable, Firing, Site
from art_snn.interop.members import Members
from art_snn.interop.passes import FiringPass, ModelPass

Firings = TypeVar("Firings", bound=FiringPass)


@dataclass
class Traits:
    """What the first passes have shown of a model.

    :param single: whether a call computes one time step, so that the loop over them is ours.
    :param writes: whether it writes into its input.
    :param random: whether it draws at random.
    :param steps: time steps T of a pass.
    :param preludes: calls of every neuron before the first time step.
    :param silent: neurons that no pass calls."""

    single: bool = False
    writes: bool = False
    random: bool = False
    steps: int | None = None
    preludes: int = 0
    silent: list[str] = field(default_factory=list)


class Adapted(Differentiable, Protocol):
    """The side of an adapted network that is verified."""

    layers: nn.Module
    encoder: Any
    harmless: tuple[type, ...]
    verified: dict[Hashable, Any]
    written: set[tuple[type, str]]
    traits: Traits
    own_steps: int | None

    @property
    def module(self) -> nn.Module:
        """The network as a module: its model, and its readout where that is one."""
        ...

    @property
    def steps_alone(self) -> bool:
        """Whether the model calls its neurons once per time step."""
        ...

    @property
    def makes_own_time(self) -> bool:
        """Whether the model maps [N, ...] and keeps its time steps to itself."""
        ...

    def members(self) -> Members:
        """Every module of the model that is recognised."""
        ...

    def ruled(self) -> dict[str, Site]:
        """Every neuron that rules of ours differentiate, by its name."""
        ...

    def natives(self) -> dict[str, str]:
        """Neurons that keep their own gradient under rules of ours, by name, and why."""
        ...

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        ...

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        ...

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """The same of the model as it is, from its start."""
        ...

    def run_in(self, this: ModelPass, encoded: Tensor) -> Tensor:
        """The same, calls of neurons being answered by the pass."""
        ...

    def firing_pass(self, kind: type[Firings], encoded: Tensor, firing: Firing) -> Firings:
        """A pass of a kind in which neurons fire by the firing."""
        ...

    def twin(self) -> Differentiable:
        """Another network around the same model, which remembers nothing of earlier gradients."""
        ...
