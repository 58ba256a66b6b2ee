"""How our own networks run: layers on tensors [T, N, ...], and the state of the passes."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from art_snn.checks import require
from art_snn.encoders import KNOWN, Encoder, describe_encoder
from art_snn.engine.snapshot import Snapshot
from art_snn.gradients.base import Body, Firing, Gradient, NeuronRef
from art_snn.gradients.fixed import weights_fixed
from art_snn.gradients.names import check_applicable, objection
from art_snn.layers import TimeDistributed, device_of, dtype_of, varies
from art_snn.modulation import Gains
from art_snn.neurons import Neuron, NeuronLayer
from art_snn.running.context import RUN, change_run, keep_modes
from art_snn.running.digests import (
    comparable,
    count_writes,
    digest_tensors,
    settings,
    structure,
)

VERIFIED = 8
"""Samples on which a model of another framework is verified at first."""


class OwnTime:
    """Stands for the encoder of a model that makes its time steps from an input [N, ...] itself."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[None]

    def __repr__(self) -> str:
        return "the model's own time"


@dataclass
class Traits:
    """Traits of a model of another framework that the first passes have shown.

    :param single: True if a call computes one time step, so that the loop over them is ours.
    :param writes: True if it writes into its input.
    :param reads: True if it reads the state of its neurons.
    :param draws: True if the model draws from torch's generators, the encoder left out.
    :param failed: why it does not compute one time step in a call, as a sentence; else empty.
    :param steps: time steps T of a pass, where one has shown them.
    :param preludes: number of calls of every neuron before the first time step.
    :param silent: names of the neurons that no pass calls.
    :param silence: logits [1, K] of all samples that have been verified, while these are alike:
        such samples show little, since silence agrees with any equations.
    :param passes: number of gradient passes at the input under rules of ours.
    :param slopes: where it makes spikes whose slope alone is exchanged, once that is known."""

    single: bool = False
    writes: bool = False
    reads: bool = False
    draws: bool = False
    failed: str = ""
    steps: int | None = None
    preludes: int = 0
    silent: list[str] = field(default_factory=list)
    silence: Tensor | None = None
    passes: int = 0
    slopes: Any = None


class NetworkBody(Body):
    """The body of a network: what ours and those of other frameworks have in common."""

    readout: Any = None
    """What makes logits of the outputs, of models of other frameworks."""
    verify: Callable[..., None] | None = None
    """Called before a pass with this body, its rule (None for a prediction) and its input, to
    refuse a model of another framework that computes otherwise than is believed."""

    def __init__(self, layers: Module, encoder: Encoder) -> None:
        self.layers = layers
        self.encoder = encoder
        self.traits = Traits()
        self.probe_results = {}
        self.places: dict[str, str] = {}
        """Where passes exchange the slope of spikes alone, and what is known there, in words."""
        self.unused: list[str] = []
        """Why no equations of its neurons can be used, where passes have shown that."""
        self.verified: dict[Hashable, Any] = {}
        """What passes have verified of a model of another framework."""
        self.volatile: set[tuple[type, str]] = set()
        """Attributes of modules that passes write, so they are no settings."""
        self.origin = ""
        """Digest of the file of the function that built the network; empty where none did."""
        self.reading: dict[str, str] = {}
        """How a file was read, in words, by name."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy has other modules, and verifies them again."""
        return {**self.__dict__, "probe_results": {}, "verified": {}, "places": {}}

    def share(self) -> Any:
        """Another body around the same modules, of which passes remember nothing."""
        twin = copy.copy(self)
        twin.probe_results = self.probe_results
        twin.places = self.places
        return twin

    @abstractmethod
    def opened(self) -> AbstractContextManager[None]:
        """A block for one pass through the layers as they are."""

    def check(self, rule: Gradient | None, x: Tensor) -> None:
        """Refuse, by a ValueError, a pass of an input [N, ...] under a rule; None: no gradient."""
        if rule is not None:
            self.remembered(
                (rule, self.encoder), lambda: self.require_applicable(rule, "gradient")
            )
        if self.verify is not None:
            self.verify(self, rule, x)

    def check_logits(self, rule: Gradient | None, x: Tensor, logits: Tensor) -> bool:
        """Check a pass again after it, once logits [N, K] are no longer those of silence.

        True if it has shown that the pass has to run otherwise, and so once more."""
        silence = self.traits.silence
        if silence is None or (logits.detach() == silence).all():
            return False
        before = self.traits
        before.silence = None
        if self.verify is not None:
            self.verify(self, rule, x, again=True)
        return self.traits is not before

    @abstractmethod
    def require_applicable(self, rule: Gradient, argument: str) -> None:
        """Refuse, by a ValueError, a rule that does not apply to neurons or encoder."""

    @abstractmethod
    def neuron_layers(self) -> list[NeuronLayer]:
        """Every layer of neurons, in order of definition."""

    def notes(self) -> dict[str, str]:
        """Facts of how the network runs, in words, by name."""
        return self.reading

    def bounds_objection(self) -> str | None:
        """Why no boxes can be sent through the network at present, or None."""
        return None

    @property
    def loops_itself(self) -> bool:
        """True if the layers map [N, ...] and keep their time steps to themselves."""
        return isinstance(self.encoder, OwnTime)

    @property
    def steps(self) -> int | None:
        """Time steps T, where the encoder has a number of them, or a pass has shown one."""
        return getattr(self.encoder, "steps", None) or self.traits.steps

    def describe_time(self) -> str:
        """Time steps and encoder in words, as far as they are known."""
        steps = "" if self.steps is None else f"T = {self.steps}, "
        single = ", one step in a call" if self.traits.single else ""
        return steps + describe_encoder(self.encoder) + single

    @abstractmethod
    def digest_parts(self) -> tuple[Any, ...]:
        """Objects whose reprs tell the network from others, without its weights: for digests."""

    @property
    def _snapshot(self) -> Snapshot | None:
        """The layers as this pass has seen them, where weights can be constants directly."""
        snapshot: Snapshot | None = (self.context.snapshots or {}).get(self.layers)
        if (
            snapshot is None
            or type(self.encoder) not in KNOWN
            or snapshot.constant is None
        ):
            return None
        return snapshot

    def remembered(self, question: Hashable, answer: Callable[[], Any]) -> Any:
        snapshot = self._snapshot
        if snapshot is None:
            return answer()
        if question not in snapshot.answers:
            snapshot.answers[question] = answer()
        return snapshot.answers[question]

    def encode(self, x: Tensor) -> Tensor:
        with weights_fixed() if self._snapshot is None else nullcontext():
            encoded: Tensor = self.encoder(x)
        self.change(length=len(encoded))
        return encoded

    @property
    def affine(self) -> bool:
        return self._snapshot is not None and self._snapshot.affine

    def averaging_objection(self) -> str | None:
        modules = [] if self.affine else self.named_modules()
        for name, module in modules:
            if varies(module):
                return (
                    f"the output of {name} differs from call to call, "
                    "or from step to step"
                )
        objection = self.bounds_objection()
        if objection is None and callable(self.readout):
            return "the readout is a function"
        return objection

    def objection(self, rule: Gradient, samples: Any = None) -> str | None:
        """Why the network cannot be differentiated under a rule, or None.

        :param samples: numpy or torch [n, ...], of which a pass of the first eight is checked.
            None: the reason why the rule does not apply to neurons or encoder."""
        if samples is None:
            return objection(rule, self.neurons(), self.encoder)
        x = torch.as_tensor(samples[:VERIFIED], device=device_of(self.layers)).detach()
        try:
            with keep_modes(self.layers, False), self.opened():
                self.check(rule, x.to(dtype_of(self.layers), copy=True).requires_grad_())
        except ValueError as error:
            return str(error)
        return None

    def with_steps(self, steps: int) -> "NetworkBody":
        """The same body over another number T of time steps, in the same attack.

        :raises ValueError: when the encoder cannot give another number of steps, or steps < 1."""
        change: Any = getattr(self.encoder, "with_steps", None)
        require(
            callable(change),
            "encoder",
            "one that can give any number of time steps, such as Direct or Poisson",
            repr(self.encoder),
            "Event frames have their steps; one of your own needs with_steps(steps).",
        )
        for gains in (m.gain for m in self.layers.modules() if isinstance(m, Gains)):
            require(
                len(gains) == steps,
                "steps",
                f"{len(gains)}, for which it has gains",
                steps,
                "Train another network.",
            )
        twin: NetworkBody = self.share()
        twin.encoder = change(steps)
        twin.context = replace(self.context, rule=None)
        return twin

    @property
    def layer_names(self) -> list[str]:
        """Names of all modules whose output has the time axis first, in order of definition."""
        modules = list(self.layers.named_modules(prefix="layers"))
        inside = tuple(f"{n}." for n, m in modules if isinstance(m, TimeDistributed))
        return [n for n, _ in modules[1:] if not n.startswith(inside)] or ["layers"]

    def named_modules(self) -> list[tuple[str, Module]]:
        """All modules of the layers, and of encoder and readout, by name in the network."""
        parts = {"layers": self.layers, "encoder": self.encoder, "readout": self.readout}
        return [
            pair
            for name, part in parts.items()
            if isinstance(part, Module)
            for pair in part.named_modules(prefix=name)
        ]

    def version_key(self, *, exact: bool) -> Hashable:
        tensors = list[Tensor]()
        for _, module in self.named_modules():
            tensors += module.parameters(recurse=False)
            if not (exact and module.training):
                tensors += module.buffers(recurse=False)

        def read() -> Hashable:
            values = digest_tensors(tensors) if exact else None
            modules = list(self.layers.named_modules())
            plain = frozenset(settings(modules, self.volatile).items())
            # Dynamics may be read off what is no setting of the neuron.
            dynamics = tuple(layer.site for layer in self.neuron_layers())
            form = (structure(modules), plain, dynamics, comparable(self.readout))
            return form, count_writes(tensors), values

        return self.remembered("version", read) if exact else read()

    @contextmanager
    def observe_writes(self) -> Iterator[None]:
        modules = dict(self.layers.named_modules())
        before = settings(modules.items(), self.volatile)
        yield
        for (name, attribute), held in settings(modules.items(), self.volatile).items():
            if before.get((name, attribute), ...) != held:
                self.volatile.add((type(modules[name]), attribute))


class LayeredBody(NetworkBody):
    """The body of a network of our own: an encoder, layers, and the mean over time.

    :raises ValueError: when the layers contain no neuron."""

    def __init__(self, layers: Module, encoder: Encoder) -> None:
        super().__init__(layers, encoder)
        require(
            any(isinstance(child, Neuron) for child in layers.modules()),
            "layers",
            "at least one spiking neuron",
            "none",
            "Put LIF() or IF() between the layers.",
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        snapshots = self.context.snapshots
        if snapshots is None:
            if not torch.is_grad_enabled():
                yield
                return
            snapshots = {}
        earlier = snapshots.get(self.layers)
        if earlier is None or not earlier.holds():
            snapshots[self.layers] = Snapshot(self.layers, watches=self.context.attacking)
        with self.changed(snapshots=snapshots):
            yield

    def require_applicable(self, rule: Gradient, argument: str) -> None:
        check_applicable(rule, self.neurons(), argument, self.encoder)

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        return self.outputs(encoded, firing).mean(0, dtype=readout_dtype(encoded))

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        now = self._snapshot
        constant = RUN.get().constant_weights or not torch.is_grad_enabled()
        forms = now.constant if now and constant and type(encoded) is Tensor else None
        now = now or Snapshot(self.layers)
        run = change_run(firing=firing, names=now.neurons, plain=now.plain, forms=forms)
        with run, weights_fixed() if forms is None else nullcontext():
            return self.layers(encoded)  # type: ignore[no-any-return]  # torch gives Any.

    def neurons(self) -> list[NeuronRef]:
        return [layer.site for layer in self.neuron_layers()]

    def neuron_layers(self) -> list[NeuronLayer]:
        return [
            NeuronLayer(name, module, "steps", NeuronRef(name, module.dynamics))
            for name, module in self.layers.named_modules(prefix="layers")
            if isinstance(module, Neuron)
        ]

    def digest_parts(self) -> tuple[Any, ...]:
        parts = (self.encoder, self.layers)
        return (*parts, self.origin) if self.origin else parts


def readout_dtype(x: Tensor) -> torch.dtype:
    """Precision of the logits: single at least."""
    return torch.promote_types(x.dtype, torch.float32)
