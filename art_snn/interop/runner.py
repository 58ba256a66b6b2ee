"""How a model is run: what it takes, who loops over time, and how its output is read."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require
from art_snn.gradients.again import weights_of
from art_snn.gradients.base import Firing, Site, native_firing, simulation
from art_snn.gradients.fixed import WEIGHTS_HELD, pause_in, weights_fixed
from art_snn.interop.frameworks.norse import SEQUENTIAL
from art_snn.interop.members import Members, members_of, restoring, running
from art_snn.interop.passes import Exchange, FiringPass, ModelPass
from art_snn.interop.steps import StepPass, by_steps
from art_snn.network import NeuronLayer, SpikingNetwork
from art_snn.passes import Call

READOUTS = ("mean", "sum", "spikes", "potential")
Readout = Literal["mean", "sum", "spikes", "potential"] | Callable[[Any], Tensor] | None
_Firings = TypeVar("_Firings", bound=FiringPass)


class OwnTime:
    """Stands for the encoder of a model that makes its time steps from an input [N, ...] itself."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[None]

    def __repr__(self) -> str:
        return "the model's own time"


@dataclass(frozen=True)
class AdaptOptions:
    """How a model is taken, as :func:`~art_snn.interop.adapt` says; `steps` are the model's own."""

    steps: int | None
    merged: bool
    harmless: tuple[type, ...]
    elsewhere: Literal["native"] | None


@dataclass
class Traits:
    """Traits of a model that the first passes have shown.

    :param single: whether a call computes one time step, so that the loop over them is ours.
    :param writes: whether it writes into its input.
    :param random: whether it draws at random.
    :param preludes: calls of every neuron before the first time step.
    :param silent: neurons that no pass calls."""

    single: bool = False
    writes: bool = False
    random: bool = False
    steps: int | None = None
    preludes: int = 0
    silent: list[str] = field(default_factory=list)


class Runner:
    """A model as it is at present, with its neurons, ready to run.

    :param network: around the model.
    :param verified: what is known of the model, by what it depends on."""

    length = 1
    """Time steps of the last input that was encoded."""

    def __init__(
        self,
        network: SpikingNetwork,
        readout: Readout,
        options: AdaptOptions,
        traits: Traits,
        verified: dict[Hashable, Any],
    ) -> None:
        self.network, self.readout, self.options = network, readout, options
        self.traits, self.verified = traits, verified
        self.members: Members = members_of(self.model, merged=options.merged)
        self.neurons = [member for member in self.members.values() if member.fires]

    @cached_property
    def _sites(self) -> dict[str, Site]:
        return {member.name: member.site for member in self.neurons}

    @cached_property
    def natives(self) -> dict[str, str]:
        """Neurons that keep their own gradient under rules of ours, each with the reason."""
        if self.options.elsewhere is None:
            return {}
        sites = self._sites.items()
        natives = {name: s.dynamics.unknown for name, s in sites if s.dynamics.unknown}
        layouts = {m.name: m.layout for m in self.neurons if m.name not in natives}
        if len({layout == "step" for layout in layouts.values()}) > 1:
            reason = "it takes one time step in a call, and others take all of them"
            steps = [name for name, layout in layouts.items() if layout == "step"]
            natives |= dict.fromkeys(steps, reason)
        return natives

    @cached_property
    def ruled(self) -> dict[str, Site]:
        """Neurons that rules of ours differentiate, with their dynamics at present."""
        return {name: site for name, site in self._sites.items() if name not in self.natives}

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.network.layers

    @property
    def makes_own_time(self) -> bool:
        """True if the model maps [N, ...] and keeps its time steps to itself."""
        return isinstance(self.network.encoder, OwnTime)

    @property
    def steps_alone(self) -> bool:
        """True if the model calls its neurons once per time step."""
        names = self.ruled or [m.name for m in self.neurons]
        return any(m.layout == "step" for m in self.neurons if m.name in names)

    def encode(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> [T, N, ...], or [1, N, ...] where the model makes its time steps."""
        encoded = self.network.encode(x)
        self.length = len(encoded)
        return encoded

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        return self.options.steps if self.makes_own_time else len(encoded)

    def restoring(self) -> AbstractContextManager[None]:
        """A block after which modules keep what they kept before."""
        return restoring(self.model, self.members, self.network.written)

    def refresh(self, encoded: Tensor) -> None:
        """Put the modules' own states back to the start of a pass."""
        for member in self.members.values():
            member.kind.refresh(member.module, self.steps_of(encoded))

    def firing_pass(self, kind: type[_Firings], encoded: Tensor, firing: Firing) -> _Firings:
        """A pass of a kind in which neurons fire, or are differentiated, by the firing."""
        steps = self.steps_of(encoded)
        return kind(self.members, self.ruled, steps, pause_in(firing), self.traits.preludes)

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input -> logits [N, K], neurons firing by the firing."""
        if firing is simulation or firing is native_firing:
            return self.run_by_itself(encoded, native=firing is native_firing)
        if self.steps_alone:
            this = self.firing_pass(StepPass, encoded, firing)
            weights = [] if WEIGHTS_HELD.get() else weights_of(self.network)
            return by_steps(this, self.logits, weights, encoded)
        return self.run_in(self.firing_pass(Exchange, encoded, firing), encoded)

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """Logits [N, K] of the model as it is, from rest; `native`: by its own surrogates."""
        steps, preludes = self.steps_of(encoded), self.traits.preludes
        this = ModelPass(self.members, steps, native=native, preludes=preludes)
        return self.run_in(this, encoded)

    def run_in(self, this: ModelPass, encoded: Tensor) -> Tensor:
        """Logits [N, K] of a pass, which answers the calls of neurons."""
        with running(this):
            logits = self.logits(encoded)
        this.ended()
        return logits

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Output of the model at every step [T, N, K], neurons firing by the firing."""
        this = self.firing_pass(Exchange, encoded, firing)
        with running(this):
            outputs: Tensor = self._output(encoded)
        this.ended()
        return outputs[None] if self.readout is None else outputs

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        steps = self.steps_of(encoded)
        length = None if self.makes_own_time else self.length
        return _read_logits(self.readout, self._output(encoded), encoded.shape[1], steps, length)

    def _output(self, encoded: Tensor) -> Any:
        """The answer of the model, whatever it is."""
        x = encoded[0] if self.makes_own_time else encoded
        if self.makes_own_time or self.traits.writes:
            x = x.clone()
        with weights_fixed():
            return self.loop(x) if self.traits.single else self.model(x)

    def loop(self, encoded: Tensor) -> list[Any]:
        """Outputs of a model of one time step for an input [T, N, ...], one per step."""
        mro = type(self.model).__mro__
        if all(f"{cls.__module__}.{cls.__qualname__}" != SEQUENTIAL for cls in mro):
            return [self.model(x) for x in encoded]
        # It returns its states, and takes them at the next step.
        outputs, states = [], None
        for x in encoded:
            output, states = self.model(x, states)
            outputs.append(output)
        return outputs

    def in_time(self, layer: NeuronLayer, calls: Sequence[Call]) -> tuple[Tensor, Tensor]:
        """Currents and spikes [T, N, ...] of a layer of neurons in one pass."""
        pairs = [(x, spikes[0] if isinstance(spikes, tuple) else spikes) for x, spikes in calls]
        if layer.layout == "step":
            currents, spikes = zip(*pairs, strict=True)
            return torch.stack(currents), torch.stack(spikes)
        steps = self.steps_in(layer, calls)
        x, y = (self.members[layer.module].to_steps(part, steps) for part in pairs[0])
        return x, y

    def steps_in(self, layer: NeuronLayer, calls: Sequence[Call]) -> int | None:
        """Time steps T of the pass that called a layer of neurons; None where it is unknown."""
        if not self.makes_own_time:
            return self.length
        if self.options.steps is not None or layer.layout in ("step", "merged") or not calls:
            return self.options.steps
        return len(self.members[layer.module].to_steps(calls[-1][0], None))

    def average(self, name: str, calls: Sequence[Call], samples: int, steps: int | None) -> Tensor:
        """Output [N, ...] of a layer, averaged over the time steps T of the last pass in calls."""
        expected, got = "a layer that the model calls", f"{name!r}, which was not called"
        require(calls, "layer", expected, got, "Choose another layer.")
        outputs = [output[0] if isinstance(output, tuple) else output for _, output in calls]
        tensors = all(isinstance(output, Tensor) and output.ndim for output in outputs)
        expected, remedy = "a layer that returns tensors", "Choose one inside or around it."
        require(tensors, "layer", expected, repr(name), remedy)
        average = self._average(outputs, samples, steps)
        if average is None:
            got = f"{name!r}, whose output {list(outputs[-1].shape)} has another batch axis"
            expected = f"a layer whose output is [T, {samples}, ...]"
            raise invalid("layer", expected, got, "Choose a layer inside or around it.")
        return average

    def _average(self, outputs: list[Tensor], samples: int, steps: int | None) -> Tensor | None:
        if self.steps_alone or (steps is not None and len(outputs) == steps > 1):
            if all(len(output) == samples for output in outputs):
                return torch.stack(outputs).mean(0)
            if self.steps_alone:
                return None
        samples_first = any(m.layout.startswith("samples") for m in self.members.values())
        output, axis = outputs[-1], 1 if samples_first else 0
        # In a replay one step stands for all of them.
        for length in dict.fromkeys((steps or 1, 1)):
            shape = (samples, length) if samples_first else (length, samples)
            if tuple(output.shape[:2]) == shape:
                return output.mean(axis)
            if length > 1 and len(output) == length * samples:
                return output.reshape(*shape, *output.shape[1:]).mean(axis)
        return output if len(output) == samples else None


def _read_logits(
    readout: Readout, output: Any, batch: int, steps: int | None, length: int | None = None
) -> Tensor:
    """Logits [N, K] of what a model has returned.

    :param output: whatever it returned; a list with an entry for every step of a model of one.
    :param steps: time steps T; None where the model alone knows.
    :param length: time steps that those of the output stand for, as one does in a replay."""
    if callable(readout):
        reduced: Tensor = readout(output)
        remedy = (
            "It is given what the model returns, and reduces it to logits. Where other batches "
            "were right, a layer has its own number of samples, as UnflattenTime of sinabs has."
        )
        expected = f"logits [{batch}, K] from the readout"
        right = isinstance(reduced, Tensor) and reduced.ndim == 2 and len(reduced) == batch
        require(right, "readout", expected, _describe(reduced), remedy)
        return reduced
    if isinstance(output, list):
        parts = [_part(readout, step) for step in output]
        for part in parts:
            _require_shape(part, (batch, "K"), " in a step")
        output = torch.stack(parts)
    else:
        output = _part(readout, output)
        _require_shape(output, (batch, "K") if readout is None else (steps or "T", batch, "K"))
    if readout == "sum":
        # In a replay one step stands for all of them.
        output = output.sum(0) * (1 if length is None else length / len(output))
    elif readout is not None:
        output = output.mean(0)
    logits: Tensor = output
    return logits


def _part(readout: Readout, output: Any) -> Any:
    """The spikes or the potential, where several things are returned and one of them is read."""
    if readout not in ("spikes", "potential"):
        return output
    several = isinstance(output, tuple | list) and len(output) > 1
    remedy = "Where it returns a single tensor, take 'mean' or 'sum'."
    expected = "one that returns (spikes, potential)"
    require(several, "model", expected, _describe(output), remedy)
    return output[0 if readout == "spikes" else -1]


def _require_shape(output: object, shape: tuple[int | str, ...], where: str = "") -> None:
    """Refuse an output of another shape, in which letters stand for any size."""
    sizes = tuple(output.shape) if isinstance(output, Tensor) else ()
    pairs = zip(shape, sizes, strict=False)
    right = len(sizes) == len(shape) and all(a == b or isinstance(a, str) for a, b in pairs)
    remedy = (
        "A readout reduces what the model returns to logits: 'mean' or 'sum' over [T, N, K], "
        "'spikes' or 'potential' where it returns both, None where it returns [N, K], or a "
        "function of yours. encoder=None is for models that make their time steps themselves."
    )
    expected = f"one that returns [{', '.join(map(str, shape))}]{where}"
    require(right, "model", expected, _describe(output), remedy)


def _describe(output: object) -> str:
    """The type and the shape of what a model has returned."""
    if isinstance(output, Tensor):
        return f"a tensor {list(output.shape)}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__
