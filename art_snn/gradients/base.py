"""The interface of gradient rules, and what they see of a network and of a neuron."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.nn import Module

from art_snn.dynamics import Dynamics, operand
from art_snn.gradients.synapse import filter_current
from art_snn.running.context import PerContext, change_run


@dataclass(frozen=True)
class NeuronRef:
    """A neuron: its qualified name in its network ("" outside a network), its state equations."""

    name: str
    dynamics: Dynamics

    def fire(self, firing: "Firing", current: Tensor) -> Tensor:
        """The output for the next layer: the spikes of a firing times their amplitude."""
        site = self
        if self.dynamics.has_synapse and firing is not simulation:
            current = filter_current(current, self.dynamics)
            site = replace(self, dynamics=self.dynamics.membrane)
        with change_run(in_neuron=True):
            spikes = firing(site, current)
        amplitude = self.dynamics.amplitude
        return spikes if amplitude == 1 else spikes.mul(operand(amplitude, spikes))


Firing = Callable[[NeuronRef, Tensor], Tensor]
"""How a neuron fires: (site, current [T, N, ...]) -> spikes [T, N, ...]."""


@dataclass(frozen=True)
class Execution:
    """How the gradient of one forward pass was computed, and why in this way."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


@dataclass(frozen=True)
class Context:
    """What holds for one network in one thread or task.

    :param rule: overrides the rules of the network, if any.
    :param constant_weights: True if weights are constants to autograd.
    :param radius: of the attack that runs; None where it is not known, or no attack runs.
    :param attacking: True within a block of :meth:`art_snn.SpikingNetwork.attacking`.
    :param snapshots: what is known of the layers, within a pass or an attack; None outside.
    :param forward: ``(network, x) -> logits``, which replaces the forward pass, as bounds need it.
    :param members: the neurons of a model of another framework, within a pass.
    :param length: time steps of the last input that such a model was given."""

    rule: "Gradient | None" = None
    constant_weights: bool = False
    radius: float | None = None
    attacking: bool = False
    snapshots: dict[Any, Any] | None = None
    forward: Callable[[Any, Tensor], Tensor] | None = None
    members: Any = None
    length: int = 1


class Body(ABC):
    """A spiking network as engines see it: how it runs, and what is remembered of its passes.

    Its user sees :class:`~art_snn.SpikingNetwork`, which has one."""

    context = PerContext(Context())
    execution = PerContext[Execution | None](None)
    """How the last gradient was computed."""
    memory = PerContext[Mapping["Gradient", Any]]({})
    """What rules remember of earlier passes. It is replaced, never changed, since tasks that
    are started within a block share it."""
    layers: Module
    encoder: Any
    input_span: float = 1.0
    """Width of the range of input values, by which some rules measure."""
    probe_results: dict[Hashable, str | None]
    """Why layers between neurons are not affine, by input and state of the network."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> time steps [T, N, ...]."""

    @abstractmethod
    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input [T, N, ...] -> outputs [T, N, K], every neuron firing by `firing`."""

    @abstractmethod
    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input [T, N, ...] -> logits [N, K], every neuron firing by `firing`."""

    @abstractmethod
    def neurons(self) -> list[NeuronRef]:
        """Every neuron that rules differentiate."""

    @property
    @abstractmethod
    def affine(self) -> bool:
        """True if a pass shows by its modules that its stateless layers are affine."""

    @abstractmethod
    def averaging_objection(self) -> str | None:
        """Why the network cannot run on an input averaged over time at present, or None."""

    @abstractmethod
    def with_steps(self, steps: int) -> "Body":
        """The same body over another number T of time steps, in the same attack."""

    @abstractmethod
    def remembered(self, question: Hashable, answer: Callable[[], Any]) -> Any:
        """The answer, which is kept where it depends on nothing but the layers as they are."""

    @abstractmethod
    def version_key(self, *, exact: bool) -> Hashable:
        """Changes with the network's modules, their settings, modes and hooks, and with weights.

        :param exact: True if weights that are written through `.data`, which torch does
            not count, change it too. Buffers of modules in training mode, which passes
            write, then do not."""

    @abstractmethod
    def observe_writes(self) -> AbstractContextManager[object]:
        """A block of a pass: attributes that it writes on modules are no settings any more."""

    def change(self, **fields: Any) -> None:
        """Change fields of the context."""
        self.context = replace(self.context, **fields)

    @contextmanager
    def changed(self, **fields: Any) -> Iterator[None]:
        """A block in which fields of the context have other values."""
        before = self.context
        self.change(**fields)
        try:
            yield
        finally:
            self.change(**{name: getattr(before, name) for name in fields})


class Gradient(ABC):
    """A rule by which a spiking network is differentiated.

    A rule is a frozen dataclass of hyperparameters. What it remembers from one forward
    pass to the next lies in the `memory` of the :class:`Body`."""

    @property
    def exact_logits(self) -> bool:
        """True if the logits are those of the plain simulation, bit for bit."""
        return True

    @property
    def remembers(self) -> bool:
        """True if a gradient depends on earlier ones, through the body's `memory`."""
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
    def logits(self, body: Body, x: Tensor) -> Tensor:
        """Logits [N, K] of an input [N, ...] of the network's dtype, with the rule in their graph.

        A rule runs the body by `encode` and `run`, and sets its `execution`."""

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


def keep_samples(memory: Mapping[Gradient, Any], samples: Tensor) -> dict[Gradient, Any]:
    """The memory of some samples, bool [N]; values that cannot be reduced to these are dropped."""
    smaller = {}
    for rule, value in memory.items():
        if isinstance(value, Mapping):
            smaller[rule] = keep_samples(value, samples)
        elif hasattr(value, "of"):
            smaller[rule] = value.of(samples)
    return smaller


def with_memory(
    memory: Mapping[Gradient, Any], rule: Gradient, value: Any
) -> dict[Gradient, Any]:
    """A new memory with the value of a rule as its newest entry; tasks may share the old one."""
    others = {other: memory[other] for other in memory if other != rule}
    return dict([*others.items(), (rule, value)][-_REMEMBERED_RULES:])


def simulation(site: NeuronRef, current: Tensor) -> Tensor:
    """The firing without any gradient: plain simulation."""
    return site.dynamics.simulate(current)


def native_firing(site: NeuronRef, current: Tensor) -> Tensor:
    """The sign for modules of other frameworks to fire as they are; networks never call it."""
    raise TypeError(f"neuron {site.name!r} has no gradient of its own")
