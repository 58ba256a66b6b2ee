"""ModelBody: how a model is run, who loops over time, and how its output is read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import require
from art_snn.encoders import Encoder, draws
from art_snn.engine.body import NetworkBody
from art_snn.gradients import Conversion, Gradient
from art_snn.gradients.base import Firing, NeuronRef, flatten, native_firing, simulation
from art_snn.gradients.fixed import weights_fixed
from art_snn.gradients.names import check_applicable
from art_snn.interop.forward_pass import Exchange, ModelPass
from art_snn.interop.frameworks.norse import SEQUENTIAL
from art_snn.interop.kinds import Exchanged, Unknown
from art_snn.interop.slopes import SlopePass
from art_snn.interop.stateful_modules import Members, restoring, running
from art_snn.interop.steps import StepPass
from art_snn.layers import weights_of
from art_snn.neurons import NeuronLayer
from art_snn.running.context import RUN

READOUTS = ("mean", "sum", "spikes", "potential")
Readout = Literal["mean", "sum", "spikes", "potential"] | Callable[[Any], Tensor] | None
_NOBODY_KNOWS = "nobody knows the equations of its neurons; register_neuron states them"


class ModelBody(NetworkBody):
    """The body of a network around a model of another framework.

    :param encoder: None where the model maps [N, ...] and makes its time steps itself.
    :param own_steps: those that it makes, where it was told; not used with an encoder.
    :param readout, harmless, equations: as :func:`~art_snn.interop.adapt` takes them."""

    def __init__(
        self,
        model: Module,
        encoder: Encoder,
        *,
        own_steps: int | None,
        readout: Readout,
        harmless: tuple[type, ...],
        equations: bool,
    ) -> None:
        super().__init__(model, encoder)
        self.own_steps = own_steps
        self.readout = readout
        self.harmless = harmless
        self.equations = equations
        self.search: SlopePass | None = None
        """The pass that finds out where spikes are made, while it runs."""

    @property
    def members(self) -> Members:
        """Its neurons and other modules with a state, as they are in this pass, or now."""
        present = self.context.members
        return self._find_members() if present is None else present

    def _find_members(self) -> Members:
        unwanted = [] if self.equations else ["no equations of neurons are to be used"]
        return Members(self.layers, self.unused or unwanted)

    def opened(self) -> AbstractContextManager[None]:
        return self.changed(members=self._find_members())

    def require_applicable(self, rule: Gradient, argument: str) -> None:
        # Neurons whose slope is exchanged refuse conversions by themselves.
        excluded = (Conversion,) if self.members.steps_alone else ()
        check_applicable(rule, self.neurons(), argument, self.encoder, excluded=excluded)
        for one in flatten(rule):
            require(
                not isinstance(one, excluded),
                argument,
                "a rule that needs spikes of the model's neurons, since it calls them step by step",
                f"{one}, whose ANN fires no spikes",
                "All other rules are.",
            )

    def neurons(self) -> list[NeuronRef]:
        # Neurons without a reset that return their potential are left out: mostly it is read out.
        members = self.members
        if not members.ruled and not members.exchanged:
            classes = {type(module).__name__ for module in self.layers.modules()}
            if "OptimizedModule" in classes:
                reason = "torch.compile hides its spikes: give it as it was before"
                return [NeuronRef("", Unknown(unknown=reason))]
            return [NeuronRef("", Exchanged(unknown=_NOBODY_KNOWS))]
        read_out = {member.name for member in members.neurons if member.returned}
        neurons = []
        for name, site in members.sites.items():
            why = members.exchanged.get(name)
            if why is not None:
                neurons.append(NeuronRef(name, Exchanged(unknown=why)))
            elif site.dynamics.reset != "none" or name not in read_out:
                neurons.append(site)
        return neurons

    def notes(self) -> dict[str, str]:
        drawn = self.traits.draws or draws(self.encoder)
        notes = {"draws at random": "yes" if drawn else "no"}
        if self.unused:
            notes["equations"] = self.unused[0]
        for place, what in self.places.items():
            notes[f"slope exchanged at {place}"] = what
        return notes

    def neuron_layers(self) -> list[NeuronLayer]:
        members = self.members
        return [
            NeuronLayer(
                f"layers.{m.name}".rstrip("."), m.module, m.layout, members.sites[m.name]
            )
            for m in members.neurons
        ]

    def digest_parts(self) -> tuple[Any, ...]:
        # Modules of other frameworks need not show their equations in their repr.
        members = [
            (layer.site.name, layer.layout, layer.site) for layer in self.neuron_layers()
        ]
        parts = (self.encoder, self.layers, self.readout, members)
        return (*parts, self.origin) if self.origin else parts

    def bounds_objection(self) -> str | None:
        members = self.members
        if self.traits.reads:
            return "the model reads the state of its neurons"
        if members.steps_alone:
            return "the model calls its neurons step by step"
        if not members.neurons:
            return _NOBODY_KNOWS
        if members.exchanged:
            name, why = next(iter(members.exchanged.items()))
            return f"the equations of {name} are not used: {why}"
        return "the model makes its time steps itself" if self.loops_itself else None

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        return self.own_steps if self.loops_itself else len(encoded)

    def restoring(self) -> AbstractContextManager[None]:
        """A block after which modules keep what they kept before."""
        return restoring(self.layers, self.members, self.volatile)

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        if firing is simulation or firing is native_firing:
            return self.run_by_itself(encoded, native=firing is native_firing)
        if self.context.members is None:  # In a twin, such as that of Extended.
            with self.opened():
                return self.run(encoded, firing)
        if self.members.steps_alone:
            weights = [] if RUN.get().constant_weights else self.weights()
            return StepPass(self, encoded, firing).run(self.logits, weights, encoded)
        return self.run_in(Exchange(self, encoded, firing), self.logits, encoded)

    def weights(self) -> list[Tensor]:
        """Weights of the model and of a readout that has some, which take gradients."""
        parts = (self.layers, self.readout)
        return weights_of(nn.ModuleList(p for p in parts if isinstance(p, Module)))

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """Logits [N, K] of the model as it is, from rest; `native`: by its own surrogates."""
        return self.run_in(ModelPass(self, encoded, native=native), self.logits, encoded)

    def run_in(
        self, this: ModelPass, model: Callable[[Tensor], Tensor], encoded: Tensor
    ) -> Tensor:
        """Output of the model in a pass, which answers the calls of neurons."""
        with running(this):
            output = model(encoded)
        this.ended()
        return output

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        outputs = self.run_in(Exchange(self, encoded, firing), self._output, encoded)
        return outputs[None] if self.readout is None else outputs

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        # Whatever it returned; a list with an entry for every step of a model of one.
        output = self._output(encoded)
        readout = self.readout
        batch = encoded.shape[1]
        if callable(readout):
            logits: Tensor = readout(output)
            require(
                isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == batch,
                "readout",
                f"logits [{batch}, K] from the readout",
                _describe(logits),
                f"It is given what the model returns, {_describe(output)}, and must keep the axis "
                f"of the {batch} samples and that of the classes. Where that axis has another "
                "size, the model has a number of samples of its own, as sinabs' UnflattenTime.",
            )
            return logits
        if isinstance(output, list):
            shape = (batch, "K")
            outputs = torch.stack(
                [_read(readout, step, shape, " in a step") for step in output]
            )
        else:
            steps = () if readout is None else (self.steps_of(encoded) or "T",)
            outputs = _read(readout, output, (*steps, batch, "K"))

        if readout is None:
            return outputs
        if readout == "sum":
            # In a replay one step stands for all of them.
            repeats = 1 if self.loops_itself else self.context.length / len(outputs)
            return outputs.sum(0) * repeats
        return outputs.mean(0)

    def _output(self, encoded: Tensor) -> Any:
        """The answer of the model, whatever it is."""
        x = encoded[0] if self.loops_itself else encoded
        if self.loops_itself or self.traits.writes:
            x = x.clone()
        with weights_fixed():
            return self.loop(x) if self.traits.single else self.layers(x)

    def loop(self, encoded: Tensor) -> list[Any]:
        """Outputs of a model of one time step for an input [T, N, ...], one per step."""
        mro = type(self.layers).__mro__
        if all(f"{cls.__module__}.{cls.__qualname__}" != SEQUENTIAL for cls in mro):
            return [self.layers(x) for x in encoded]
        # It returns its states, and takes them at the next step.
        outputs = []
        states = None
        for x in encoded:
            output, states = self.layers(x, states)
            outputs.append(output)
        return outputs


def _read(
    readout: Readout, output: Any, shape: tuple[int | str, ...], where: str = ""
) -> Any:
    """The tensor that is read of an output: its spikes, its potential, or all of it.

    :param shape: that it must have, in which letters stand for any size."""
    if readout in ("spikes", "potential"):
        require(
            isinstance(output, tuple | list) and len(output) > 1,
            "model",
            "one that returns (spikes, potential)",
            _describe(output),
            "Where it returns a single tensor, take 'mean' or 'sum'.",
        )
        output = output[0 if readout == "spikes" else -1]
    sizes = tuple(output.shape) if isinstance(output, Tensor) else ()
    pairs = zip(shape, sizes, strict=False)
    right = len(sizes) == len(shape) and all(
        a == b or isinstance(a, str) for a, b in pairs
    )
    require(
        right,
        "model",
        f"one that returns [{', '.join(map(str, shape))}]{where}",
        _describe(output),
        "Where the model repeats the input, and the encoder does so too, leave it to the model: "
        "encoder=None, and readout='mean' of [T, N, K]. Otherwise a readout reduces what the model "
        "returns to logits: 'mean' or 'sum' over [T, N, K], 'spikes' or 'potential' where it "
        "returns both, None where it returns [N, K], or a function of yours, as "
        "lambda out: out.mean(1) of [N, T, K].",
    )
    return output


def _describe(output: object) -> str:
    """The type and the shape of what a model has returned."""
    if isinstance(output, Tensor):
        return f"a tensor {list(output.shape)}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__
