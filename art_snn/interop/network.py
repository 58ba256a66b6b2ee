"""AdaptedNetwork: a model of another framework, or one written by hand, as a SpikingNetwork."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require, require_count, shown
from art_snn.encoders import Direct, Encoder
from art_snn.gradients import RGA, Composite, Conversion, Firing, Gradient, Native, Site
from art_snn.gradients.names import check_applicable, objection
from art_snn.interop.kinds import Unknown
from art_snn.interop.members import Member, members_of
from art_snn.interop.runner import READOUTS, AdaptOptions, OwnTime, Readout, Runner, Traits
from art_snn.interop.verify import Watch, settle, verify
from art_snn.layers import hooked_everywhere, is_plain
from art_snn.network import NeuronLayer, SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.passes import Call, PerContext, calls_of
from art_snn.state import comparable


class AdaptedNetwork(SpikingNetwork):
    """A spiking network around a model of another framework: made by :func:`adapt`.

    Nothing is changed or left on the :attr:`model`. Without a graph it runs by itself. Under a rule
    its neurons fire by the rule's engine, or are differentiated where they stand. The first pass of
    every shape of input and state of the weights verifies that it computes what the model does."""

    runner: PerContext[Runner | None] = PerContext(lambda: None)
    """The runner of the model, for the time of one forward pass."""
    length: PerContext[int] = PerContext(lambda: 1)
    """Time steps of the last input that was encoded."""

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        gradient: Gradient | str | None,
        training_gradient: Gradient | str,
        *,
        readout: Readout,
        options: AdaptOptions,
        input_shape: tuple[int | None, ...] | None,
    ) -> None:
        self.options, self.traits, self.watch = options, Traits(), Watch()
        self.verified: dict[Hashable, Any] = {}
        self.readout: Readout = None
        super().__init__(model, encoder, Native(), training_gradient, input_shape=input_shape)
        self.readout = readout  # A module is registered, and trained with the model.
        if gradient is None:
            gradient = Native() if objection(RGA(), self.sites(), self.encoder) else RGA()
        self.gradient = gradient

    def _take(self, layers: Any) -> None:
        self.layers = layers

    @property
    def model(self) -> nn.Module:
        """The model as it was given."""
        return self.layers

    @property
    def makes_own_time(self) -> bool:
        return isinstance(self.encoder, OwnTime)

    def _ready(self) -> Runner:
        """The runner of the present pass, or a new one outside of a pass."""
        settings = (self.readout, self.options, self.traits, self.verified)
        runner = self.runner or Runner(self, *settings)
        runner.length = self.length
        return runner

    def sites(self) -> list[Site]:
        """Every neuron that rules differentiate, by its name, with its dynamics at present.

        Left out are neurons without a reset that return their potential: mostly it is read out."""
        runner = self._ready()
        if not runner.ruled:
            reason = "no neuron of the model is recognised; register_neuron makes one known"
            reason = next(iter(runner.natives.values()), reason)
            return [Site("of the model", Unknown(reason=reason))]
        read_out = {m.name for m in runner.members.values() if m.returned}
        sites = runner.ruled.values()
        return [s for s in sites if s.dynamics.reset != "none" or s.name not in read_out]

    def natives(self) -> dict[str, str]:
        return self._ready().natives

    def remarks(self) -> dict[str, str]:
        gradients = {f"own gradient of {name}": why for name, why in self.natives().items()}
        return {"draws at random": "yes" if self.traits.random else "no"} | gradients

    def neuron_layers(self) -> list[NeuronLayer]:
        return [NeuronLayer(_path(m), m.module, m.layout, m.site) for m in self._ready().neurons]

    def in_time(self, layer: NeuronLayer, calls: Sequence[Call]) -> tuple[Tensor, Tensor]:
        return self._ready().in_time(layer, calls)

    def averages(self, name: str, batches: Sequence[Tensor]) -> list[Tensor]:
        first, runner = self.neuron_layers()[0], self._ready()
        fits = not (torch.is_grad_enabled() and runner.steps_alone)
        expected = "an x without a graph, since the model calls its neurons step by step"
        remedy = "Take the activations without a graph."
        require(fits, "x", expected, "one that requires a gradient", remedy)
        averages = []
        with calls_of(self.get_submodule(name)) as calls, calls_of(first.module) as clock:
            for batch in batches:
                calls.clear()
                clock.clear()
                self(batch)
                runner = self._ready()
                steps = runner.steps_in(first, clock)
                averages.append(runner.average(name, calls, len(batch), steps))
        return averages

    @property
    def plain(self) -> bool:
        neurons = {member.module for member in self._ready().members.values()}
        others = (module for module in self.layers.modules() if module not in neurons)
        return not hooked_everywhere() and all(map(is_plain, others))

    @property
    def form(self) -> tuple[Any, ...]:
        # Modules of other frameworks need not show their equations in their repr.
        members = [(m.name, m.layout, m.site) for m in self._ready().neurons]
        return (self.encoder, self.layers, self.readout, members)

    @property
    def layer_names(self) -> list[str]:
        """Names of all neurons of the model, and of the other modules that hold none."""
        neurons = list(map(_path, self._ready().neurons))
        inside = tuple(f"{name}." for name in neurons)
        modules = self.layers.named_modules(prefix="layers")
        names = [name for name, m in modules if name in neurons or not list(m.children())]
        return [name for name in names if not name.startswith(inside)] or ["layers"]

    def forward(self, x: Tensor) -> Tensor:
        """As :meth:`art_snn.SpikingNetwork.forward`, once what the model computes is verified."""
        self.runner = None
        with AdaptedNetwork.runner.within(self, self._ready()):
            checked = self._checked(x)
            if not torch.is_grad_enabled():
                self._verify(None, checked)
            logits = super().forward(x)
            if not torch.is_grad_enabled():
                self.watch.predicted(self._ready(), checked, logits)
                return logits
            rule = self.rule if x.requires_grad else self._override or self.training_gradient
            exact = self.predicts(x.device) if x.requires_grad else rule.exact_logits
            if exact:
                self.watch.compare(self._ready(), rule, checked, logits, super().forward)
            return logits

    def _verify(self, rule: Gradient | None, x: Tensor) -> None:
        runner = self._ready()
        setup = settle(runner, x)
        self.traits = runner.traits
        verify(runner, rule, x, setup)

    def lowering_objection(self, rule: Gradient) -> str | None:
        runner = self._ready()
        if runner.steps_alone or runner.natives or _find(Native, rule) is not None:
            return "the model's neurons run by themselves"
        return None

    def kept_precise(self) -> Collection[str]:
        return [member.name for member in self._ready().members.values()]

    def __getstate__(self) -> dict[str, Any]:
        """A copy verifies its weights again."""
        return super().__getstate__() | {"verified": {}}

    def _form_key(self) -> Hashable:
        # Dynamics may be read off what is no setting of the neuron.
        return super()._form_key(), tuple(self._ready().ruled.values()), comparable(self.readout)

    def check(self, rule: Gradient, x: Tensor) -> None:
        super().check(rule, x)
        self._verify(rule, x)

    def _require_applicable(self, rule: Gradient, argument: str) -> None:
        runner = self._ready()
        excluded = (Conversion,) if runner.steps_alone or runner.natives else ()
        some = any(site.dynamics.unknown is None for site in runner.ruled.values())
        hint = " adapt(..., elsewhere='native') leaves that neuron its own gradient."
        where = (self.sites(), argument, self.encoder)
        check_applicable(rule, *where, excluded=excluded, hint=hint if some else "")
        conversion = _find(Conversion, rule) if excluded else None
        if conversion is not None:
            loops = "call their neurons step by step", "the model's own loop needs them"
            keeps = "have neurons with their own gradient", f"{next(iter(runner.natives), '')} does"
            models, needs = loops if runner.steps_alone else keeps
            got = f"{conversion}, whose ANN fires no spikes, and {needs}"
            remedy = "All other rules are, where their neurons suit them."
            raise invalid(argument, f"a rule for models that {models}", got, remedy)

    def averaging_objection(self) -> str | None:
        reason = super().averaging_objection() or self.bounds_objection()
        return reason or ("the readout is a function" if callable(self.readout) else None)

    def bounds_objection(self) -> str | None:
        runner = self._ready()
        if runner.steps_alone:
            return "the model calls its neurons step by step"
        if runner.natives:
            return f"{next(iter(runner.natives))} is differentiated by its own gradient"
        return "the model makes its time steps itself" if self.makes_own_time else None

    def encode(self, x: Tensor) -> Tensor:
        encoded = super().encode(x)
        self.length = len(encoded)
        return encoded

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        return self._ready().run(encoded, firing)

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        return self._ready().outputs(encoded, firing)

    def time_steps(self) -> int | None:
        """Time steps T, where the encoder has a number of them, or a pass has shown one."""
        return super().time_steps() or self.traits.steps

    def timing(self) -> str:
        return super().timing() + (", one step in a call" if self.traits.single else "")


def _find(kind: type[Any], rule: Gradient) -> Gradient | None:
    """The first rule of a kind among those that a rule is made of."""
    if isinstance(rule, Composite):
        return next(filter(None, (_find(kind, part) for part in rule.parts)), None)
    return rule if isinstance(rule, kind) else None


def _path(member: Member) -> str:
    """Name of a layer in the network."""
    return f"layers.{member.name}".removesuffix(".")


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

        adapt(model, steps=8)                     # maps [T, N, ...] -> [T, N, K]
        adapt(model, steps=8, readout="sum")
        adapt(model, encoder=None)                # maps [N, ...] -> [N, K], with its own time steps
        adapt(model, steps=25, readout="spikes")  # one step: [N, ...] -> (spikes, potential) [N, K]

    A model that computes one time step is recognised, and called once for every step. The network
    shares its parameters, state dict and device. Every pass starts from rest and leaves no trace.

    :param model: its neurons are recognised by the names of their classes; those of your own by
        :func:`register_neuron`.
    :param steps: time steps T of the encoder Direct. With encoder=None: the steps that the model
        makes itself, which neurons that take its rows of all steps at once need; 1 says that a
        model of one time step is meant as it is.
    :param encoder: maps the input [N, ...] to the model's input [T, N, ...]; "direct" repeats it.
        None: the model takes [N, ...].
    :param readout: "mean" or "sum" over the time axis of the output [T, N, K]; "spikes" or
        "potential": the mean of the first or the last of several outputs; a function from whatever
        the model returns, of a model of one time step the list of all steps, to logits [N, K];
        None: the model returns logits. Left out: "mean", and None with encoder=None.
    :param merged: whether neurons that take all steps in one call take them as [T * N, ...].
    :param gradient: rule for gradients at the input. None: RGA where it applies, else native; also
        native where no neuron is recognised.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input, as :class:`~art_snn.SpikingNetwork` takes it.
    :param harmless: autograd functions of the model that are no spikes; rules of ours refuse
        others, whose slope the rule did not choose.
    :param elsewhere: "native": neurons whose equations no rule knows keep their own gradient, and
        the rule differentiates all others. None: such a neuron is refused.
    :raises TypeError: when `model` is no module, or one of art_snn already.
    :raises ValueError: when no neuron is recognised in the model, or it is compiled by torch.jit or
        on the meta device; when arguments contradict each other, or a rule does not apply."""
    _check_model(model, native=str(gradient).lower() in ("native", "native()"))
    fits = input_shape is None or isinstance(input_shape, tuple | list)
    remedy = "For example (3, 32, 32)."
    require(fits, "input_shape", "a tuple of sizes", repr(input_shape), remedy)
    made = _encoder(encoder, steps)
    if isinstance(readout, str) and readout == "default":
        readout = None if encoder is None else "mean"
    fits = readout is None or callable(readout) or readout in READOUTS
    expected = f"{', '.join(map(repr, READOUTS))}, None or a function"
    remedy = "A function gets what the model returns, and gives [N, K]."
    require(fits, "readout", expected, repr(readout), remedy)
    fits = isinstance(merged, bool)
    require(fits, "merged", "True or False", repr(merged), "Leave it out.")
    functions: tuple[Any, ...] = tuple(harmless) if isinstance(harmless, Iterable) else (harmless,)
    fits = all(isinstance(f, type) and issubclass(f, torch.autograd.Function) for f in functions)
    remedy = "For example harmless=[RoundSTE]."
    require(fits, "harmless", "classes of autograd functions", repr(harmless), remedy)
    remedy = "'native' lets neurons that no rule knows keep their own gradient."
    fits = elsewhere in (None, "native")
    require(fits, "elsewhere", "'native' or None", shown(elsewhere), remedy)
    return AdaptedNetwork(
        model,
        made,
        gradient,
        training_gradient,
        readout=readout,
        options=AdaptOptions(steps if encoder is None else None, merged, functions, elsewhere),
        input_shape=input_shape,
    )


def _encoder(encoder: Encoder | str | None, steps: int | None) -> Encoder:
    if isinstance(encoder, str):
        expected = "an encoder or 'direct'"
        require(encoder == "direct", "encoder", expected, repr(encoder), "Leave it.")
        remedy = "With encoder=None the model makes its time steps itself."
        return Direct(require_count("steps", steps, remedy=remedy))
    if encoder is not None:
        remedy = "The encoder has the steps: leave steps out."
        require(steps is None, "steps", "None with an encoder", steps, remedy)
        return encoder
    if steps is not None:
        require_count("steps", steps, remedy="Leave it out where the model knows it.")
    return OwnTime()


def _check_model(model: object, *, native: bool) -> None:
    """Refuse what is no model of another framework, or cannot be put back after a pass."""
    if not isinstance(model, nn.Module) or isinstance(model, SpikingNetwork):
        raise TypeError(
            f"model: expected a torch module of another framework, got {type(model).__name__}. "
            "Pass an instance; a SpikingNetwork needs no adapting."
        )
    ours = [name for name, module in model.named_modules() if isinstance(module, Neuron)]
    remedy = "Build a SpikingNetwork of it."
    require(not ours, "model", "neurons of one framework", f"art_snn's {ours[:1]}", remedy)
    modules = list(model.named_modules())
    names = [name or "the model" for name, m in modules if isinstance(m, torch.jit.ScriptModule)]
    got = f"{', '.join(names)} compiled by torch.jit"
    remedy = "Give the model as it was before torch.jit.script or torch.jit.trace."
    require(not names, "model", "modules of Python", got, remedy)
    tensors = (*model.named_parameters(), *model.named_buffers())
    names = [name for name, tensor in tensors if tensor.is_meta]
    got = f"{', '.join(names)} on the meta device"
    remedy = "Build it on the CPU or a GPU, and load its weights there."
    require(not names, "model", "weights that have values", got, remedy)
    if native or any(member.fires for member in members_of(model).values()):
        return
    names = sorted({type(m).__qualname__ for m in model.modules() if not list(m.children())})
    got = f"none among {', '.join(names)}"
    remedy = (
        "art_snn.interop.register_neuron(cls, dynamics=function) makes neurons of your own known. "
        "Those that are written into a forward have no class, and the model has its own gradient "
        "alone: adapt(..., gradient='native')."
    )
    raise invalid("model", "at least one spiking neuron that is known", got, remedy)
