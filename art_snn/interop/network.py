"""AdaptedNetwork: a model of another framework, or one written by hand, as a SpikingNetwork."""

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require, require_count
from art_snn.context import PerContext
from art_snn.encoders import Direct, Encoder
from art_snn.gradients import Composite, Conversion, Firing, Gradient, Native, Site, objection
from art_snn.gradients.base import own, simulation
from art_snn.gradients.fixed import held, unhandled, weights_fixed
from art_snn.gradients.rga import RGA
from art_snn.interop.dynamics import Unknown
from art_snn.interop.members import Members, members_of
from art_snn.interop.passes import Exchange, FiringPass, ModelPass, running
from art_snn.interop.steps import StepPass, by_steps, weights_of
from art_snn.interop.verify import Firings, verify
from art_snn.layers import hooked_everywhere, plain
from art_snn.network import SpikingNetwork, require_encoder
from art_snn.neurons import Neuron
from art_snn.state import value

Readout = Literal["mean", "sum"] | Callable[[Tensor], Tensor] | None


class OwnTime:
    """Stands for the encoder of a model that makes its time steps from an input [N, ...] itself."""

    def __call__(self, x: Tensor) -> Tensor:
        """[N, ...] -> [1, N, ...]."""
        return x[None]

    def __repr__(self) -> str:
        return "the model's own time"


class AdaptedNetwork(SpikingNetwork):
    """A spiking network around a model of another framework: made by :func:`adapt`.

    The model is `model`; nothing is changed or left on it. Without a graph it runs by itself. Under
    a rule its neurons fire by the rule's engine, as their own equations say, or are differentiated
    where they stand; the first pass of every shape of input and every state of the weights verifies
    that nothing else is computed than the model computes by itself."""

    look: PerContext[tuple[Members, dict[str, Site]] | None] = PerContext(lambda: None)
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
        gradient: Gradient | str | None,
        training_gradient: Gradient | str,
        input_shape: tuple[int | None, ...] | None,
    ) -> None:
        nn.Module.__init__(self)
        self.layers = model
        self.encoder = OwnTime() if encoder is None else require_encoder(encoder)
        self.readout, self.own_steps, self.merged = readout, steps, merged
        self.harmless = harmless
        self.input_span = 1.0
        self.obstacles: dict[Hashable, str | None] = {}
        self.matches: dict[Hashable, bool] = {}
        self.written: set[tuple[type, str]] = set()
        self.verified: dict[Hashable, int] = {}
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
        if self.look is not None:
            return self.look[0]
        return members_of(self.layers, merged=self.merged)

    def sites(self) -> list[Site]:
        """Every neuron by its name in the model, with its dynamics at present.

        Neurons without a reset that return their potential are not among them: mostly they are
        read out, and whether their spikes matter shows in a pass."""
        every = self.every_site()
        if not every:
            reason = "no neuron of the model is recognised; register_neuron makes one known"
            return [Site("of the model", Unknown(reason=reason))]
        read_out = {m.name for m in self.members().values() if m.kind.returns(m.module)}
        return [
            site
            for name, site in every.items()
            if site.dynamics.reset != "none" or name not in read_out
        ]

    def every_site(self) -> dict[str, Site]:
        """All of them."""
        if self.look is not None:
            return self.look[1]
        return {m.name: m.site for m in self.members().values() if m.fires}

    @property
    def plain(self) -> bool:
        neurons = [member.module for member in self.members().values()]
        others = (m for m in self.layers.modules() if not any(m is n for n in neurons))
        return not hooked_everywhere() and all(map(plain, others))

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
        members = self.members()
        self.look = members, {m.name: m.site for m in members.values() if m.fires}
        try:
            if not torch.is_grad_enabled():
                verify(self, None, self._checked(x))
            return super().forward(x)
        finally:
            self.look = None

    def unlowered(self, rule: Gradient) -> str | None:
        if isinstance(rule, Composite):
            return next(filter(None, map(self.unlowered, rule.parts)), None)
        if self.steps_alone or isinstance(rule, Native):
            return "the model's neurons run by themselves"
        return None

    def kept_precise(self) -> Collection[str]:
        return [member.name for member in self.members().values()]

    def __getstate__(self) -> dict[str, Any]:
        """What was verified of the weights here is not known of a copy."""
        return super().__getstate__() | {"verified": {}}

    def _form_key(self) -> Hashable:
        # Dynamics may be read off what is no setting of the neuron.
        return super()._form_key(), tuple(self.every_site().values()), value(self.readout)

    def check(self, rule: Gradient, x: Tensor) -> None:
        super().check(rule, x)
        self._refuse_conversion(rule, "gradient")
        verify(self, rule, x)

    def _resolved(self, rule: Gradient | str, argument: str) -> Gradient:
        resolved = super()._resolved(rule, argument)
        self._refuse_conversion(resolved, argument)
        return resolved

    def _refuse_conversion(self, rule: Gradient, argument: str) -> None:
        if isinstance(rule, Composite):
            for part in rule.parts:
                self._refuse_conversion(part, argument)
        elif isinstance(rule, Conversion) and self.steps_alone:
            got = f"{rule}, whose ANN fires no spikes, and the model's own loop needs them"
            expected = "a rule for models that call their neurons step by step"
            remedy = "All other rules are, where their neurons suit them."
            raise invalid(argument, expected, got, remedy)

    def unaveraged(self) -> str | None:
        reason = super().unaveraged()
        if reason is not None:
            return reason
        if self.steps_alone:
            return "the model calls its neurons step by step"
        if self.makes_own_time:
            return "the model makes its time steps itself"
        return "the readout is a function" if callable(self.readout) else None

    def encode(self, x: Tensor) -> Tensor:
        encoded = super().encode(x)
        self.length = len(encoded)
        return encoded

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        if firing is simulation or firing is own:
            return self.run_by_itself(encoded, native=firing is own)
        if self.steps_alone:
            this = self.firing_pass(StepPass, encoded, firing)
            weights = [] if held() else weights_of(self.module)
            return by_steps(this, self.logits, weights, encoded)
        return self.run_in(self.firing_pass(Exchange, encoded, firing), encoded)

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """Encoded input -> logits [N, K] of the model as it is, from its start.

        :param native: differentiable by its own surrogates."""
        this = ModelPass(self.members(), self.steps_of(encoded), native=native)
        with running(this):
            logits = self.logits(encoded)
        this.ended()
        return logits

    def run_in(self, this: FiringPass, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], calls of neurons being answered by the pass."""
        with running(this):
            logits = self.logits(encoded)
        this.ended()
        return logits

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        this = self.firing_pass(Exchange, encoded, firing)
        with running(this):
            outputs: Tensor = self._model(encoded)
        this.ended()
        return outputs[None] if self.readout is None else outputs

    @property
    def steps_alone(self) -> bool:
        """Whether the model calls its neurons once per time step."""
        return any(member.layout == "step" for member in self.members().values() if member.fires)

    def firing_pass(self, kind: type[Firings], encoded: Tensor, firing: Firing) -> Firings:
        """A pass of a kind in which neurons fire, or are differentiated, by the firing."""
        steps = self.steps_of(encoded)
        return kind(self.members(), self.every_site(), steps, unhandled(firing))

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        return self.own_steps if self.makes_own_time else len(encoded)

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        return self._read(self._model(encoded), encoded)

    def _model(self, encoded: Tensor) -> Any:
        with weights_fixed():
            output = self.layers(encoded[0] if self.makes_own_time else encoded)
        if callable(self.readout):
            return output
        batch, steps = encoded.shape[1], self.steps_of(encoded)
        expected = f"[{batch}, K]"
        if self.readout is not None:
            expected = f"[{'T' if steps is None else steps}, {batch}, K]"
        _require_shape(output, expected, batch, None if self.readout is None else steps)
        return output

    def _read(self, outputs: Any, encoded: Tensor) -> Tensor:
        """Output of the model -> logits [N, K]."""
        logits: Tensor = outputs
        if self.readout == "mean":
            logits = outputs.mean(0)
        elif self.readout == "sum":
            # In a replay one step stands for all of them.
            logits = outputs.sum(0) * (1 if self.makes_own_time else self.length / len(outputs))
        elif callable(self.readout):
            logits, batch = self.readout(outputs), encoded.shape[1]
            remedy = "It is given what the model returns, and reduces it to logits."
            told = f"logits [{batch}, K] from the readout"
            right = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == batch
            require(right, "readout", told, _shape_of(logits), remedy)
        return logits


def _require_shape(output: object, expected: str, batch: int, steps: int | None) -> None:
    right = isinstance(output, Tensor) and output.ndim == expected.count(",") + 1
    if right:
        assert isinstance(output, Tensor)
        right = output.shape[-2] == batch and steps in (None, len(output))
    remedy = (
        "A readout reduces what the model returns to logits: 'mean' or 'sum' over [T, N, K], None "
        "where it returns [N, K], or a function of yours. encoder=None is for models that make "
        "their time steps themselves."
    )
    require(right, "model", f"one that returns {expected}", _shape_of(output), remedy)


def _shape_of(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor {list(output.shape)}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


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
) -> AdaptedNetwork:
    """A model of SpikingJelly, snnTorch, Norse or sinabs, or your own, as a SpikingNetwork::

        adapt(model, steps=8)                 # model maps [T, N, ...] -> [T, N, K]
        adapt(model, steps=8, readout="sum")
        adapt(model, encoder=None)            # model maps [N, ...] -> [N, K], its time its own

    The model stays as it is: its forward, parameters, state dict and device are its own, shared
    with the network, and every pass starts from its neurons' rest and leaves nothing on it.

    :param model: the model. Its neurons are recognised by the names of their classes; those of
        your own by :func:`register_neuron`.
    :param steps: time steps T of the encoder Direct. With encoder=None the number that the model
        makes itself, which has to be told where neurons take its rows of all steps at once.
    :param encoder: maps the input [N, ...] to the model's input [T, N, ...]; "direct" repeats it.
        None: the model takes [N, ...].
    :param readout: "mean" or "sum" over the time axis of [T, N, K], a function of whatever the
        model returns to logits [N, K], or None where the model returns logits. Left out it is
        "mean", and None with encoder=None.
    :param merged: whether neurons that take all steps in one call take them as [T * N, ...].
    :param gradient: rule for gradients at the input; None: RGA where it applies, else native.
        "native" is taken for models, too, of which no neuron is recognised.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input, as :class:`~art_snn.SpikingNetwork` takes it.
    :param harmless: autograd functions of the model that are no spikes. Others are refused under
        our rules, since they would be differentiated by a slope that the rule did not choose.
    :raises TypeError: when `model` is no module, or one of art_snn already.
    :raises ValueError: when no neuron is recognised in the model, arguments contradict each other,
        or a rule does not apply."""
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
    known = readout is None or callable(readout) or readout in ("mean", "sum")
    remedy = "A function gets what the model returns, and gives [N, K]."
    require(known, "readout", "'mean', 'sum', None or a function", repr(readout), remedy)
    return AdaptedNetwork(
        model,
        encoder,
        readout,
        steps=steps if encoder is None else None,
        merged=merged,
        harmless=harmless,
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
    found = [member for member in members_of(model).values() if member.fires]
    if not found and not native:
        names = sorted({type(m).__qualname__ for m in model.modules() if not list(m.children())})
        remedy = (
            "Neurons of your own become known by art_snn.interop.register_neuron(cls, "
            "dynamics=function). Without, a model has its own gradient alone: "
            "adapt(..., gradient='native')."
        )
        got = f"none among {', '.join(names)}"
        raise invalid("model", "at least one spiking neuron that is known", got, remedy)
