"""AdaptedNetwork: a model of another framework, or one written by hand, as a SpikingNetwork."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from art_snn.activations import Call, NeuronLayer, calls_of
from art_snn.checks import invalid, require, require_count, shown
from art_snn.context import PerContext
from art_snn.encoders import Direct, Encoder
from art_snn.gradients import Composite, Conversion, Firing, Gradient, Native, Site, objection
from art_snn.gradients.base import native_firing, simulation
from art_snn.gradients.fixed import unhandled, weights_fixed, weights_held
from art_snn.gradients.rules.rga import RGA
from art_snn.interop.adapted import Firings, Traits
from art_snn.interop.dynamics import Unknown
from art_snn.interop.forms import (
    OwnTime,
    Readout,
    looped,
    mean_over_time,
    read_logits,
    require_readout,
)
from art_snn.interop.members import Look, Members, members_of, to_steps
from art_snn.interop.passes import Exchange, ModelPass, running
from art_snn.interop.steps import StepPass, by_steps, weights_of
from art_snn.interop.verify import verify
from art_snn.interop.watch import Watch
from art_snn.layers import hooked_everywhere, is_plain
from art_snn.network import SpikingNetwork, require_encoder
from art_snn.neurons import Neuron
from art_snn.state import value


class AdaptedNetwork(SpikingNetwork):
    """A spiking network around a model of another framework: made by :func:`adapt`.

    The model is `model`; nothing is changed or left on it. Without a graph it runs by itself. Under
    a rule its neurons fire by the rule's engine, as their own equations say, or are differentiated
    where they stand; the first pass of every shape of input and every state of the weights verifies
    that nothing else is computed than the model computes by itself."""

    look: PerContext[Look | None] = PerContext(lambda: None)
    """What was found in the model and read off its neurons, for the time of one forward pass."""
    length: PerContext[int] = PerContext(lambda: 1)
    """Time steps of the last input that was encoded."""

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder | None,
        readout: Readout,
        *,
        steps: int | None,
        merged: bool,
        harmless: tuple[type, ...],
        elsewhere: Literal["native"] | None,
        gradient: Gradient | str | None,
        training_gradient: Gradient | str,
        input_shape: tuple[int | None, ...] | None,
    ) -> None:
        nn.Module.__init__(self)
        self.layers = model
        self.encoder = OwnTime() if encoder is None else require_encoder(encoder)
        self.readout, self.own_steps, self.merged = readout, steps, merged
        self.harmless, self.elsewhere = harmless, elsewhere
        self.traits, self.watch = Traits(), Watch()
        self.input_span = 1.0
        self.obstacles: dict[Hashable, str | None] = {}
        self.matches: dict[Hashable, bool] = {}
        self.written: set[tuple[type, str]] = set()
        self.verified: dict[Hashable, Any] = {}
        self.exact, self._half, self.attack_dtype = None, {}, None
        if gradient is None:
            gradient = Native() if objection(RGA(), self.sites(), self.encoder) else RGA()
        self.gradient = gradient
        self.training_gradient = training_gradient
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self.initialise = None

    @property
    def model(self) -> nn.Module:
        """The model as it was given."""
        return self.layers

    @property
    def module(self) -> nn.Module:
        """The network as a module: its model, and its readout where that is one."""
        return self

    @property
    def makes_own_time(self) -> bool:
        """Whether the model maps [N, ...] and keeps its time steps to itself."""
        return isinstance(self.encoder, OwnTime)

    def members(self) -> Members:
        """Every module of the model that is recognised."""
        return self._looked().members

    def sites(self) -> list[Site]:
        """Every neuron that rules differentiate, by its name, with its dynamics at present.

        Neurons without a reset that return their potential are not among them: mostly they are
        read out, and whether their spikes matter shows in a pass."""
        ruled, natives = self.ruled(), self.natives()
        if not ruled:
            reason = "no neuron of the model is recognised; register_neuron makes one known"
            return [Site("of the model", Unknown(reason=next(iter(natives.values()), reason)))]
        read_out = {m.name for m in self.members().values() if m.kind.returns(m.module)}
        return [
            site
            for name, site in ruled.items()
            if site.dynamics.reset != "none" or name not in read_out
        ]

    def ruled(self) -> dict[str, Site]:
        """Every neuron that rules of ours differentiate, by its name."""
        return self._looked().ruled

    def natives(self) -> dict[str, str]:
        return self._looked().natives

    def remarks(self) -> dict[str, str]:
        gradients = {f"own gradient of {name}": why for name, why in self.natives().items()}
        return {"draws at random": "yes" if self.traits.random else "no"} | gradients

    def neuron_layers(self) -> list[NeuronLayer]:
        neurons = [member for member in self.members().values() if member.fires]
        names = [f"layers.{m.name}".removesuffix(".") for m in neurons]
        pairs = zip(names, neurons, strict=True)
        return [NeuronLayer(name, m.module, m.layout, m.site) for name, m in pairs]

    def in_time(self, layer: NeuronLayer, calls: Sequence[Call]) -> tuple[Tensor, Tensor]:
        pairs = [(x, spikes[0] if isinstance(spikes, tuple) else spikes) for x, spikes in calls]
        if layer.layout == "step":
            currents, spikes = zip(*pairs, strict=True)
            return torch.stack(currents), torch.stack(spikes)
        member, steps = self.members()[layer.module], self._steps_in(layer, calls)
        x, y = (to_steps(part, member.layout, member.module, steps) for part in pairs[0])
        return x, y

    def _steps_in(self, layer: NeuronLayer, calls: Sequence[Call]) -> int | None:
        """Time steps T of the pass that called a layer of neurons; None where nobody knows."""
        if not self.makes_own_time:
            return self.length
        if self.own_steps is not None or layer.layout in ("step", "merged") or not calls:
            return self.own_steps
        member = self.members()[layer.module]
        return len(to_steps(calls[-1][0], member.layout, member.module, None))

    def averages(self, name: str, batches: Sequence[Tensor]) -> list[Tensor]:
        first, graph, by_steps = self.neuron_layers()[0], torch.is_grad_enabled(), self.steps_alone
        remedy = 'Set gradient="native", or take the activations without a graph.'
        fits = isinstance(self.rule, Native) or not (graph and by_steps)
        expected = "an x without a graph, since the model calls its neurons step by step"
        require(fits, "x", expected, "one that requires a gradient", remedy)
        samples_first = any(m.layout.startswith("samples") for m in self.members().values())
        averages = []
        with calls_of(self.get_submodule(name)) as calls, calls_of(first.module) as clock:
            for batch in batches:
                # The first pass with a graph verifies the model, by passes of its own.
                for _ in range(2 if graph and by_steps else 1):
                    calls.clear()
                    clock.clear()
                    self(batch)
                got, expected = f"{name!r}, which was not called", "a layer that the model calls"
                require(calls, "layer", expected, got, "Choose another layer.")
                outputs = [y[0] if isinstance(y, tuple) else y for _, y in calls]
                tensors = all(isinstance(y, Tensor) and y.ndim for y in outputs)
                expected, remedy = "a layer that returns tensors", "Choose one inside or around it."
                require(tensors, "layer", expected, repr(name), remedy)
                steps = self._steps_in(first, clock)
                order = {"by_steps": by_steps, "samples_first": samples_first}
                mean = mean_over_time(outputs, len(batch), steps, **order)
                shape = list(outputs[-1].shape)
                got = f"{name!r}, whose output {shape} has another batch axis"
                expected = f"a layer whose output is [T, {len(batch)}, ...]"
                if mean is None:
                    raise invalid("layer", expected, got, "Choose a layer inside or around it.")
                averages.append(mean)
        return averages

    def _looked(self) -> Look:
        if self.look is not None:
            return self.look
        return Look.at(members_of(self.layers, merged=self.merged), self.elsewhere)

    @property
    def plain(self) -> bool:
        neurons = [member.module for member in self.members().values()]
        others = (m for m in self.layers.modules() if not any(m is n for n in neurons))
        return not hooked_everywhere() and all(map(is_plain, others))

    @property
    def form(self) -> tuple[Any, ...]:
        # Modules of other frameworks need not tell their equations in their repr.
        members = [(m.name, m.layout, m.site) for m in self.members().values() if m.fires]
        return (self.encoder, self.layers, self.readout, members)

    @property
    def layer_names(self) -> list[str]:
        """Names of all neurons of the model, and of the other modules that hold none."""
        neurons = [f"layers.{m.name}".removesuffix(".") for m in self.members().values() if m.fires]
        inside = tuple(f"{name}." for name in neurons)
        names = []
        for name, module in self.layers.named_modules(prefix="layers"):
            whole = name in neurons or not list(module.children())
            if whole and not name.startswith(inside):
                names.append(name)
        return names or ["layers"]

    def forward(self, x: Tensor) -> Tensor:
        """As of :class:`~art_snn.SpikingNetwork`; what the model computes is verified at first."""
        self.look = None
        self.look = self._looked()
        try:
            checked = self._checked(x)
            if not torch.is_grad_enabled():
                verify(self, None, checked)
            logits = super().forward(x)
            if not torch.is_grad_enabled():
                self.watch.predicted(self, checked, logits)
            else:
                self._compare(x, checked, logits)
            return logits
        finally:
            self.look = None

    def _compare(self, x: Tensor, checked: Tensor, logits: Tensor) -> None:
        """Refuse logits of a gradient pass that are not those of the model."""
        rule = self.rule if x.requires_grad else self._override or self.training_gradient
        half = x.requires_grad and not self.predicts(x.device)
        if rule.exact_logits and not half:
            self.watch.compare(self, rule, checked, logits, super().forward)

    def lowering_objection(self, rule: Gradient) -> str | None:
        if isinstance(rule, Composite):
            return next(filter(None, map(self.lowering_objection, rule.parts)), None)
        if self.steps_alone or self.natives() or isinstance(rule, Native):
            return "the model's neurons run by themselves"
        return None

    def kept_precise(self) -> Collection[str]:
        return [member.name for member in self.members().values()]

    def __getstate__(self) -> dict[str, Any]:
        """What was verified of the weights here is not known of a copy."""
        return super().__getstate__() | {"verified": {}}

    def _form_key(self) -> Hashable:
        # Dynamics may be read off what is no setting of the neuron.
        return super()._form_key(), tuple(self.ruled().values()), value(self.readout)

    def check(self, rule: Gradient, x: Tensor) -> None:
        super().check(rule, x)
        self._refuse_conversion(rule, "gradient")
        verify(self, rule, x)

    def _resolved(self, rule: Gradient | str, argument: str) -> Gradient:
        resolved = super()._resolved(rule, argument)
        self._refuse_conversion(resolved, argument)
        return resolved

    def _ways(self) -> dict[str, Any]:
        known = any(site.dynamics.unknown is None for site in self.ruled().values())
        hint = " adapt(..., elsewhere='native') leaves that neuron its own gradient."
        excluded = (Conversion,) if self.steps_alone or self.natives() else ()
        return {"excluded": excluded, "hint": hint if known else ""}

    def _refuse_conversion(self, rule: Gradient, argument: str) -> None:
        if isinstance(rule, Composite):
            for part in rule.parts:
                self._refuse_conversion(part, argument)
        elif isinstance(rule, Conversion) and (self.steps_alone or self.natives()):
            got = f"{rule}, whose ANN fires no spikes, and the model's own loop needs them"
            expected = "a rule for models that call their neurons step by step"
            if not self.steps_alone:
                got = f"{rule}, whose ANN fires no spikes, and {next(iter(self.natives()))} does"
                expected = "a rule for models of which neurons keep their own gradient"
            remedy = "All other rules are, where their neurons suit them."
            raise invalid(argument, expected, got, remedy)

    def averaging_objection(self) -> str | None:
        reason = super().averaging_objection()
        if reason is not None:
            return reason
        if self.steps_alone:
            return "the model calls its neurons step by step"
        if self.natives():
            return f"{next(iter(self.natives()))} is differentiated by its own gradient"
        if self.makes_own_time:
            return "the model makes its time steps itself"
        return "the readout is a function" if callable(self.readout) else None

    def encode(self, x: Tensor) -> Tensor:
        encoded = super().encode(x)
        self.length = len(encoded)
        return encoded

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        if firing is simulation or firing is native_firing:
            return self.run_by_itself(encoded, native=firing is native_firing)
        if self.steps_alone:
            this = self.firing_pass(StepPass, encoded, firing)
            weights = [] if weights_held() else weights_of(self.module)
            return by_steps(this, self.logits, weights, encoded)
        return self.run_in(self.firing_pass(Exchange, encoded, firing), encoded)

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """Encoded input -> logits [N, K] of the model as it is, from its start.

        :param native: differentiable by its own surrogates."""
        return self.run_in(
            ModelPass(
                self.members(), self.steps_of(encoded), native=native, preludes=self.traits.preludes
            ),
            encoded,
        )

    def run_in(self, this: ModelPass, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], calls of neurons being answered by the pass."""
        with running(this):
            logits = self.logits(encoded)
        this.ended()
        return logits

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        this = self.firing_pass(Exchange, encoded, firing)
        with running(this):
            outputs: Tensor = self._output(encoded)
        this.ended()
        return outputs[None] if self.readout is None else outputs

    @property
    def steps_alone(self) -> bool:
        """Whether the model calls its neurons once per time step."""
        ruled = self.ruled() or [m.name for m in self.members().values() if m.fires]
        return any(m.layout == "step" for m in self.members().values() if m.name in ruled)

    def firing_pass(self, kind: type[Firings], encoded: Tensor, firing: Firing) -> Firings:
        """A pass of a kind in which neurons fire, or are differentiated, by the firing."""
        steps = self.steps_of(encoded)
        return kind(self.members(), self.ruled(), steps, unhandled(firing), self.traits.preludes)

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        return self.own_steps if self.makes_own_time else len(encoded)

    def time_steps(self) -> int | None:
        """Time steps T, where the encoder tells them, or a pass has shown them."""
        return super().time_steps() or self.traits.steps

    def timing(self) -> str:
        looped = ", one step in a call" if self.traits.single else ""
        return super().timing() + looped

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        steps = self.steps_of(encoded)
        length = None if self.makes_own_time else self.length
        return read_logits(self.readout, self._output(encoded), encoded.shape[1], steps, length)

    def _output(self, encoded: Tensor) -> Any:
        """Whatever the model returns."""
        given = encoded[0] if self.makes_own_time else encoded
        if self.makes_own_time or self.traits.writes:
            given = given.clone()
        with weights_fixed():
            return looped(self.layers, given) if self.traits.single else self.layers(given)


def adapt(
    model: nn.Module,
    steps: int | None = None,
    *,
    encoder: Encoder | Literal["direct"] | None = "direct",
    readout: Readout | Literal["default"] = "default",
    merged: bool = False,
    gradient: Gradient | str | None = None,
    training_gradient: Gradient | str = "native",
    input_shape: tuple[int | None, ...] | None = None,
    harmless: Iterable[type[torch.autograd.Function]] = (),
    elsewhere: Literal["native"] | None = None,
) -> AdaptedNetwork:
    """A model of SpikingJelly, snnTorch, Norse or sinabs, or your own, as a SpikingNetwork::

        adapt(model, steps=8)                 # model maps [T, N, ...] -> [T, N, K]
        adapt(model, steps=8, readout="sum")
        adapt(model, encoder=None)            # model maps [N, ...] -> [N, K], its time its own

    A model that computes one time step, [N, ...] -> [N, K], is recognised, and called once for
    every step::

        adapt(model, steps=25, readout="spikes")  # it returns (spikes, potential) in every step

    The model stays as it is: its forward, parameters, state dict and device are its own, shared
    with the network, and every pass starts from its neurons' rest and leaves nothing on it.

    :param model: the model. Its neurons are recognised by the names of their classes; those of
        your own by :func:`register_neuron`.
    :param steps: time steps T of the encoder Direct. With encoder=None the number that the model
        makes itself, which has to be told where neurons take its rows of all steps at once; 1 says
        that a model of one time step is meant as it is.
    :param encoder: maps the input [N, ...] to the model's input [T, N, ...]; "direct" repeats it.
        None: the model takes [N, ...].
    :param readout: "mean" or "sum" over the time axis of [T, N, K], "spikes" or "potential" for the
        mean of the first or the last of several things that are returned, a function of whatever
        the model returns to logits [N, K], or None where the model returns logits. Of a model of
        one time step a function is given the list of what it has returned at every step. Left out
        it is "mean", and None with encoder=None.
    :param merged: whether neurons that take all steps in one call take them as [T * N, ...].
    :param gradient: rule for gradients at the input; None: RGA where it applies, else native.
        "native" is taken for models, too, of which no neuron is recognised.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input, as :class:`~art_snn.SpikingNetwork` takes it.
    :param elsewhere: "native" lets neurons whose equations no rule knows keep the gradient of their
        own, while all others are differentiated by the rule. None: such a neuron is refused.
    :param harmless: autograd functions of the model that are no spikes. Others are refused under
        our rules, since they would be differentiated by a slope that the rule did not choose.
    :raises TypeError: when `model` is no module, or one of art_snn already.
    :raises ValueError: when no neuron is recognised in the model, or it is compiled by torch.jit or
        on the meta device; when arguments contradict each other, or a rule does not apply."""
    _check_model(model, native=str(gradient).lower() in ("native", "native()"))
    harmless = _functions(harmless)
    require(isinstance(merged, bool), "merged", "True or False", repr(merged), "Leave it out.")
    shaped = input_shape is None or isinstance(input_shape, tuple | list)
    remedy = "For example (3, 32, 32)."
    require(shaped, "input_shape", "a tuple of sizes", repr(input_shape), remedy)
    if isinstance(encoder, str):
        require(
            encoder == "direct", "encoder", "an encoder or 'direct'", repr(encoder), "Leave it."
        )
        remedy = "With encoder=None the model makes its time steps itself."
        encoder = Direct(require_count("steps", steps, remedy=remedy))
    elif encoder is not None:
        remedy = "The encoder tells the steps: leave steps out."
        require(steps is None, "steps", "None beside an encoder", steps, remedy)
    elif steps is not None:
        require_count("steps", steps, remedy="Leave it out where the model knows it.")
    if isinstance(readout, str) and readout == "default":
        readout = None if encoder is None else "mean"
    require_readout(readout)
    remedy = "'native' lets neurons that no rule knows keep their own gradient."
    require(
        elsewhere in (None, "native"), "elsewhere", "'native' or None", shown(elsewhere), remedy
    )
    return AdaptedNetwork(
        model,
        encoder,
        readout,
        steps=steps if encoder is None else None,
        merged=merged,
        harmless=harmless,
        elsewhere=elsewhere,
        gradient=gradient,
        training_gradient=training_gradient,
        input_shape=input_shape,
    )


def _functions(harmless: object) -> tuple[type, ...]:
    every: tuple[Any, ...] = tuple(harmless) if isinstance(harmless, Iterable) else (harmless,)
    right = all(isinstance(f, type) and issubclass(f, torch.autograd.Function) for f in every)
    remedy = "For example harmless=[RoundSTE]."
    require(right, "harmless", "classes of autograd functions", repr(harmless), remedy)
    return every


def _check_kinds(model: nn.Module) -> None:
    """Refuse modules whose state cannot be put back after a pass, and weights without values."""
    kind = torch.jit.ScriptModule
    names = [name or "the model" for name, m in model.named_modules() if isinstance(m, kind)]
    remedy = "Give the model as it was before torch.jit.script or torch.jit.trace."
    got = f"{', '.join(names)} compiled by torch.jit"
    require(not names, "model", "modules of Python", got, remedy)
    tensors = (*model.named_parameters(), *model.named_buffers())
    names = [name for name, tensor in tensors if tensor.is_meta]
    remedy = "Build it on the CPU or a GPU, and load its weights there."
    got = f"{', '.join(names)} on the meta device"
    require(not names, "model", "weights that have values", got, remedy)


def _check_model(model: object, *, native: bool) -> None:
    if (
        isinstance(model, type)
        or not isinstance(model, nn.Module)
        or isinstance(model, SpikingNetwork)
    ):
        raise TypeError(
            f"model: expected a torch module of another framework, got {type(model).__name__}. "
            "Pass an instance; a SpikingNetwork needs no adapting."
        )
    ours = [name for name, module in model.named_modules() if isinstance(module, Neuron)]
    remedy = "Build a SpikingNetwork of it."
    require(not ours, "model", "neurons of one framework", f"art_snn's {ours[:1]}", remedy)
    _check_kinds(model)
    found = [member for member in members_of(model).values() if member.fires]
    if not found and not native:
        names = sorted({type(m).__qualname__ for m in model.modules() if not list(m.children())})
        remedy = (
            "Neurons of your own become known by art_snn.interop.register_neuron(cls, "
            "dynamics=function). Those that are written into a forward have no class, and the "
            "model its own gradient alone: adapt(..., gradient='native')."
        )
        got = f"none among {', '.join(names)}"
        raise invalid("model", "at least one spiking neuron that is known", got, remedy)
