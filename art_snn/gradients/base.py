"""The interface of gradient rules, and what they see of a network and of a neuron."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from art_snn.dynamics import Dynamics, operand
from art_snn.passes import FIRING, set_in_block


@dataclass(frozen=True)
class NeuronRef:
    """A neuron: its qualified name in its network ("" outside a network), its state equations."""

    name: str
    dynamics: Dynamics

    def fire(self, firing: "Firing", current: Tensor) -> Tensor:
        """What the neuron gives the next layer: the spikes of a firing, at their height."""
        with set_in_block(FIRING, True):
            spikes, height = firing(self, current), self.dynamics.amplitude
        return spikes if height == 1 else spikes.mul(operand(height, spikes))


Firing = Callable[[NeuronRef, Tensor], Tensor]
"""How a neuron fires: (site, current [T, N, ...]) -> spikes [T, N, ...]."""


@dataclass(frozen=True)
class Execution:
    """How the gradient of one forward pass was computed, and why in this way."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class Differentiable(Protocol):
    """The side of a spiking network that gradient rules see.

    `encode` maps the input [N, ...] to time steps [T, N, ...], `run` these to logits [N, K], and
    `outputs` to [T, N, K]."""

    execution: Execution | None
    probe_results: dict[Hashable, str | None]
    memory: "dict[Gradient, Any]"
    budget: tuple[float | None] | None
    input_span: float

    @property
    def affine(self) -> bool: ...
    def encode(self, x: Tensor) -> Tensor: ...
    def with_steps(self, steps: int) -> "Differentiable": ...
    def run(self, encoded: Tensor, firing: Firing) -> Tensor: ...
    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor: ...
    def remembered(self, question: Hashable, answer: Callable[[], Any]) -> Any: ...
    def averaging_objection(self) -> str | None: ...
    def state_key(self) -> Hashable: ...
    def attack_key(self) -> Hashable: ...
    def observe_writes(self) -> AbstractContextManager[object]: ...


class Gradient(ABC):
    """A rule by which a spiking network is differentiated.

    A rule is a frozen dataclass of hyperparameters. What it remembers from one forward pass to the
    next lies in the network's `memory`."""

    @property
    def exact_logits(self) -> bool:
        """True if the logits are those of the plain simulation, bit for bit."""
        return True

    @property
    def remembers(self) -> bool:
        """True if a gradient depends on earlier ones, through the network's `memory`."""
        return False

    @property
    def second_derivative(self) -> bool:
        """True if its gradients can be differentiated again; if not, that is refused."""
        return False

    @property
    def passes(self) -> int:
        """How often a gradient takes the network forward and backward."""
        return 1

    @property
    def plain_passes(self) -> int:
        """How often a gradient also takes the network forward alone."""
        return 0

    @abstractmethod
    def logits(self, network: Differentiable, x: Tensor) -> Tensor:
        """Logits [N, K] of an input [N, ...] of the network's dtype, with the rule in their graph.

        A rule runs the network by `encode` and `run`, and sets its `execution`."""

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        """Why this rule does not apply to a neuron, and to an encoder if one is given, or None."""
        return dynamics.unknown


class Composite(Gradient):
    """A rule made of others, whose declarations and objections follow from theirs."""

    rule: Gradient
    """The only one, of rules that wrap another."""

    def __post_init__(self) -> None:
        for rule in self.parts:
            if not isinstance(rule, Gradient):
                raise TypeError(
                    f"rule: expected a gradient rule such as RGA(), got {rule!r}. "
                    "Pass an instance, neither a class nor a name."
                )

    @property
    def parts(self) -> tuple[Gradient, ...]:
        """The rules inside."""
        return (self.rule,)

    @property
    def remembers(self) -> bool:
        return any(rule.remembers for rule in self.parts)

    @property
    def second_derivative(self) -> bool:
        return all(rule.second_derivative for rule in self.parts)

    @property
    def passes(self) -> int:
        return sum(rule.passes for rule in self.parts)

    @property
    def plain_passes(self) -> int:
        return sum(rule.plain_passes for rule in self.parts)

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        for rule in self.parts:
            objection = rule.objection(dynamics, encoder)
            if objection is not None:
                return f"{type(rule).__name__}: {objection}"
        return None


def flatten(rule: Gradient) -> list[Gradient]:
    """The rules that a rule is made of, which are made of no others; or itself."""
    parts = rule.parts if isinstance(rule, Composite) else ()
    return [inner for part in parts for inner in flatten(part)] or [rule]


_REMEMBERED_RULES = 8
"""Rules whose memory a network keeps, in one thread or task; the oldest leave."""


def kept(memory: Mapping[Gradient, Any], samples: Tensor) -> dict[Gradient, Any]:
    """The memory of some samples, bool [N]; values that cannot be reduced to these are dropped."""
    smaller: dict[Gradient, Any] = {}
    for rule, value in memory.items():
        if isinstance(value, Mapping):
            smaller[rule] = kept(value, samples)
        elif hasattr(value, "of"):
            smaller[rule] = value.of(samples)
    return smaller


def with_memory(memory: Mapping[Gradient, Any], rule: Gradient, value: Any) -> dict[Gradient, Any]:
    """A new memory with the value of a rule as its newest entry; tasks may share the old one."""
    others = {other: memory[other] for other in memory if other != rule}
    return dict([*others.items(), (rule, value)][-_REMEMBERED_RULES:])


def simulation(site: NeuronRef, current: Tensor) -> Tensor:
    """The firing without any gradient: plain simulation."""
    return site.dynamics.simulate(current)


def native_firing(site: NeuronRef, current: Tensor) -> Tensor:
    """The sign for modules of other frameworks to fire as they are; networks never call it."""
    raise TypeError(f"neuron {site.name!r} has no gradient of its own")
