"""SpikingNetwork: encoder, layers, mean over time, and the choice of how it is differentiated."""

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from art_snn.checks import invalid, require, require_number
from art_snn.encoders import KNOWN, Direct, Encoder, describe_encoder
from art_snn.gradients import STBP, Execution, Firing, Gradient, NeuronRef, choose_rule
from art_snn.gradients.base import kept, simulation
from art_snn.gradients.fixed import WEIGHTS_HELD, weights_fixed
from art_snn.gradients.names import check_applicable, objection, parse_rule
from art_snn.gradients.shared import without_graph
from art_snn.layers import Snapshot, TimeDistributed, device_of, varies
from art_snn.modulation import Gains
from art_snn.neurons import PASS, Neuron, NeuronLayer, Pass
from art_snn.passes import PerContext, hook_here, keep_modes, set_in_block
from art_snn.state import counted, settings, structure, tensors_digest

VERIFIED = 8
"""Samples on which the model of an adapted network is verified at first."""


THROUGH: ContextVar[Callable[[Any, Tensor], Tensor] | None] = ContextVar("through", default=None)
"""How calls of a network give logits [N, K] of an input [N, ...], if not by its rules."""
SNAPSHOTS: ContextVar[dict[nn.Module, Snapshot] | None] = ContextVar("snapshots", default=None)
"""Layers as the last pass has seen them: within a pass, and within a block of `attacking`."""


class SpikingNetwork(nn.Module):
    """A spiking classifier whose gradient is chosen, not built in.

    The choice lives in the network's own graph, for any attack and trainer. At every call:

    * gradients disabled: plain simulation;
    * the input requires a gradient: ``gradient``, the attack gradient, with the weights
      :meth:`fixed`;
    * otherwise: ``training_gradient``.

    :param layers: a module, or a sequence of modules, on tensors [T, N, ...]; neurons are
        :class:`LIF` and :class:`IF`, and layers without state are wrapped in
        :class:`TimeDistributed`. The last layer is affine and gives [T, N, K].
    :param encoder: maps the input [N, ...] to [T, N, ...].
    :param gradient: rule for gradients at the input, an instance or a name of GRADIENTS. None:
        :func:`~art_snn.gradients.choose_rule` by the equations alone, which is STBP.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input; calls with another shape are refused. None for
        an axis takes any size there, None for the shape any shape.
    :param initialise: draws the weights of the network, at :meth:`reset_parameters`. None: torch's
        own draws.
    :raises TypeError: when `layers` are no modules or `encoder` cannot be called.
    :raises ValueError: when `layers` contain no neuron, or a rule is unknown or does not apply."""

    # Of a thread or task, not of the network: several may run passes through it at once.
    execution: PerContext[Execution | None] = PerContext(lambda: None)
    memory: PerContext[dict[Gradient, Any]] = PerContext(dict)
    budget: PerContext[tuple[float | None] | None] = PerContext(lambda: None)
    """The radius of :meth:`attacking`, in a tuple; None outside of it."""
    _override: PerContext[Gradient | None] = PerContext(lambda: None)
    _fixed: PerContext[bool | None] = PerContext(lambda: None)

    def __init__(
        self,
        layers: nn.Module | Sequence[nn.Module],
        encoder: Encoder = Direct(steps=8),  # noqa: B008
        gradient: Gradient | str | None = None,
        training_gradient: Gradient | str = STBP(),  # noqa: B008
        *,
        input_shape: tuple[int | None, ...] | None = None,
        initialise: Callable[[nn.Module], object] | None = None,
    ) -> None:
        super().__init__()
        self._take(layers)
        if isinstance(encoder, type) or not callable(encoder):
            raise TypeError(
                f"encoder: expected an instance such as Direct(steps=8), got {encoder!r}. "
                "Any callable that maps [N, ...] to [T, N, ...] will do."
            )
        self.encoder = encoder
        self.input_span = 1.0
        self.gradient = choose_rule(self) if gradient is None else gradient
        self.training_gradient = training_gradient
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self.initialise = initialise
        self.probe_results: dict[Hashable, str | None] = {}
        self.volatile: set[tuple[type, str]] = set()
        self._notes: dict[str, str] = {}  # How a NIR file is read.

    def _take(self, layers: Any) -> None:
        """Keep the module whose gradient is to be chosen, and what belongs to it."""
        if isinstance(layers, type) or not isinstance(layers, nn.Module | Iterable):
            raise TypeError(
                f"layers: expected a torch module or a sequence of modules, got {layers!r}. "
                "Pass instances, for example [LIF(), TimeDistributed(nn.Linear(32, 10))]."
            )
        module = layers if isinstance(layers, nn.Module) else nn.Sequential(*layers)
        neurons = any(isinstance(child, Neuron) for child in module.modules())
        remedy = "Put LIF() or IF() between the layers."
        require(neurons, "layers", "at least one spiking neuron", "none", remedy)
        self.layers: nn.Module = module

    @property
    def gradient(self) -> Gradient:
        """Rule for gradients at the input; set it to an instance or to a name."""
        return self._gradient

    @gradient.setter
    def gradient(self, rule: Gradient | str) -> None:
        self._gradient = self._resolved(rule, "gradient")
        self.forget()

    @property
    def rule(self) -> Gradient:
        """The rule that holds at present for gradients at the input: :meth:`using` overrides it."""
        return self._override or self.gradient

    @property
    def training_gradient(self) -> Gradient:
        """Rule for gradients at the weights; set it to an instance or to a name."""
        return self._training_gradient

    @training_gradient.setter
    def training_gradient(self, rule: Gradient | str) -> None:
        self._training_gradient = self._resolved(rule, "training_gradient")

    @contextmanager
    def using(self, gradient: Gradient | str) -> "Iterator[SpikingNetwork]":
        """Within the block, differentiate by `gradient` only, at the input and at the weights.

        That holds for the thread or asynchronous task of the block, and for tasks that it starts,
        but not for threads."""
        rule = self._resolved(gradient, "gradient")
        with SpikingNetwork._override.set_in_block(self, rule):
            yield self

    def with_gradient(self, gradient: Gradient | str) -> "SpikingNetwork":
        """A network of the same layers and weights, not copied, under another attack gradient."""
        twin = self.share()
        twin.gradient = gradient
        return twin

    def with_steps(self, steps: int) -> "SpikingNetwork":
        """A network of the same layers and weights, not copied, over another number T of steps.

        :raises ValueError: when the encoder cannot give another number of steps, or steps < 1."""
        change: Any = getattr(self.encoder, "with_steps", None)
        remedy = "Event frames have their steps; one of your own needs with_steps(steps)."
        expected = "one that can give any number of time steps, such as Direct or Poisson"
        require(callable(change), "encoder", expected, repr(self.encoder), remedy)
        for gains in (m.gain for m in self.layers.modules() if isinstance(m, Gains)):
            expected, remedy = f"{len(gains)}, for which it has gains", "Train another network."
            require(len(gains) == steps, "steps", expected, steps, remedy)
        twin = self.share()
        twin.encoder = change(steps)
        return twin

    def forget(self) -> None:
        """Drop what rules such as ASSG remember of earlier gradients, and free its memory."""
        self.memory = {}

    def keep(self, samples: Tensor) -> None:
        """Let rules remember only the samples, bool [N], of the last batch that an attack keeps."""
        self.memory = kept(self.memory, samples)

    def share(self) -> "SpikingNetwork":
        """Another network object around the same modules, which remembers nothing."""
        twin = copy.copy(self)
        twin._modules = dict(self._modules)
        twin.probe_results, twin.volatile = self.probe_results, self.volatile
        return twin

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K], the time mean of the last layer's output.

        The input is cast to the dtype of the network's parameters.

        :raises TypeError: when x is no tensor.
        :raises ValueError: when x has another shape than `input_shape`."""
        if SNAPSHOTS.get() is None and torch.is_grad_enabled():
            with set_in_block(SNAPSHOTS, {}):
                return SpikingNetwork.forward(self, x)
        self.look()
        checked, through = self._checked(x), THROUGH.get()
        if through is not None:
            return through(self, checked)
        if not torch.is_grad_enabled():
            return self.run(self.encode(checked), simulation)
        rule = self.rule if x.requires_grad else self._override or self.training_gradient
        self.check(rule, checked)
        if not x.requires_grad:
            return rule.logits(self, checked)
        if isinstance(checked, nn.Parameter):
            # An alias: the parameter itself would be a constant.
            checked = checked.view_as(checked)
        fixed = not self.training if self._fixed is None else self._fixed
        fixed = fixed and not getattr(parametrize, "_cache_enabled", 0)
        with set_in_block(WEIGHTS_HELD, fixed):
            logits = rule.logits(self, checked)
        # Weights would be missing from a graph of the gradient, and nobody has asked for that.
        unasked = fixed and self._fixed is None and rule.second_derivative
        return without_graph(logits) if unasked and logits.requires_grad else logits

    def fixed(self, weights: bool = True) -> AbstractContextManager[None]:
        """Within the block, and in the present thread or task, weights are constants, or are not.

        Attacks do not need the gradient at the weights, which costs memory and time. So weights
        take none where the input requires one, unless the network is in training mode. Whoever
        needs both runs the forward pass in ``with network.fixed(False): ...``. So does whoever
        differentiates the gradient again, at the weights as well; in ``with network.fixed(): ...``
        that is possible at the input alone."""
        return SpikingNetwork._fixed.set_in_block(self, bool(weights))

    @contextmanager
    def attacking(self, radius: float | None) -> Iterator[None]:
        """Within the block, and in the present thread or task, an attack within this radius.

        Rules that remember, such as ASSG, must distinguish the next step of an attack from a new
        sample. That is one with an input value farther than twice the radius, and rounding, from
        the first that was differentiated. What they remember is forgotten on entry and on exit.

        :param radius: the largest change of an input value, in the unit of the network's input; a
            budget in any other norm also bounds it. None: the block is for a single batch.
        :raises ValueError: when `radius` is neither None nor a finite number of at least 0."""
        if radius is not None:
            remedy = "A usual radius is 8/255; None where it is not known."
            radius = require_number("radius", radius, at_least=0, remedy=remedy)
        self.forget()
        try:
            with SpikingNetwork.budget.set_in_block(self, (radius,)), set_in_block(SNAPSHOTS, {}):
                yield
        finally:
            self.forget()

    def check(self, rule: Gradient, x: Tensor) -> None:
        """Refuse, by a ValueError, a rule that does not apply to a pass of an input [N, ...]."""
        require = partial(self._require_applicable, rule, "gradient")
        self.remembered((rule, self.encoder) if self._snapshot else None, require)

    def objection(self, rule: Gradient, samples: Any = None) -> str | None:
        """Why the network cannot be differentiated under a rule, or None.

        :param samples: numpy or torch [n, ...], of which a pass of the first eight is checked, as
            :meth:`check` does. None: the reason why it does not apply to neurons or encoder."""
        if samples is None:
            return objection(rule, self.sites(), self.encoder)
        x = torch.as_tensor(samples[:VERIFIED], device=device_of(self)).detach()
        dtype = self.dtype or torch.get_default_dtype()
        try:
            with keep_modes(self, False):
                self.check(rule, x.to(dtype, copy=True).requires_grad_())
        except ValueError as error:
            return str(error)
        return None

    def own_gradient_neurons(self) -> dict[str, str]:
        """Neurons that keep a gradient of their own under any rule, by name, and why."""
        return {}

    def notes(self) -> dict[str, str]:
        """Further facts of how the network runs, in words, by name."""
        return self._notes

    @property
    def loops_itself(self) -> bool:
        """True if the layers map [N, ...] and keep their time steps to themselves."""
        return False

    def neuron_layers(self) -> list[NeuronLayer]:
        """Every layer of neurons, in order of definition."""
        modules = self.named_modules()
        neurons = [(name, module) for name, module in modules if isinstance(module, Neuron)]
        return [NeuronLayer(name, m, "steps", NeuronRef(name, m.dynamics)) for name, m in neurons]

    def layer_means(self, name: str, batches: Sequence[Tensor]) -> list[Tensor]:
        """Outputs [n, ...] of a layer for every batch, averaged over time, with a graph if on.

        :param name: in :attr:`layer_names`.
        :raises ValueError: for a layer whose output has no such average."""
        averages, outputs = list[Tensor](), list[Any]()
        with hook_here(self.get_submodule(name), lambda _, __, output: outputs.append(output)):
            for batch in batches:
                outputs.clear()
                self(batch)
                shapes = [tuple(getattr(output, "shape", ())) for output in outputs]
                merged = (self.steps or 0) * len(batch)
                whole = len(batch) < 2 or merged not in [shape[0] for shape in shapes if shape]
                fits = shapes and shapes[-1][1:2] == (len(batch),) and whole
                expected = f"a layer whose output is [T, {len(batch)}, ...]"
                remedy = "Choose a layer inside or around it."
                require(fits, "layer", expected, f"{name!r}, whose output is another", remedy)
                # The last call carries the graph: record, then replay.
                averages.append(outputs[-1].mean(0))
        return averages

    def encode(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> time steps [T, N, ...]."""
        with weights_fixed() if self._snapshot is None else nullcontext():
            return self.encoder(x)

    @property
    def affine(self) -> bool:
        """True if a pass shows by its modules that its stateless layers are affine."""
        return self._snapshot is not None and self._snapshot.affine

    def look(self) -> None:
        """Forget what is known of the layers from earlier passes where these have changed."""
        kept = SNAPSHOTS.get()
        earlier = None if kept is None else kept.get(self.layers)
        if kept is not None and (earlier is None or not earlier.holds()):
            kept[self.layers] = Snapshot(self.layers, watches=self.budget is not None)

    @property
    def _snapshot(self) -> Snapshot | None:
        """The layers as the present pass has seen them, where weights can be constants directly."""
        snapshot = (SNAPSHOTS.get() or {}).get(self.layers)
        usual = snapshot is not None and type(self.encoder) in KNOWN
        return snapshot if usual and snapshot and snapshot.constant is not None else None

    def remembered(self, question: Hashable, answer: Callable[[], Any]) -> Any:
        """The answer, which is kept where it depends on nothing but the snapshot."""
        answers = {} if self._snapshot is None else self._snapshot.answers
        if question not in answers:
            answers[question] = answer()
        return answers[question]

    def reset_parameters(self) -> None:
        """Draw all weights again: by `initialise` where one was given, else as torch draws them."""
        for module in self.layers.modules():
            draw = getattr(module, "reset_parameters", None)
            if callable(draw):
                draw()
        if self.initialise is not None:
            self.initialise(self)

    def run(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input [T, N, ...] -> logits [N, K], every neuron firing by `firing`."""
        return self.outputs(encoded, firing).mean(0, dtype=readout_dtype(encoded))

    def outputs(self, encoded: Tensor, firing: Firing) -> Tensor:
        """Encoded input [T, N, ...] -> output of the last layer at every step [T, N, K]."""
        now, held = self._snapshot, WEIGHTS_HELD.get() or not torch.is_grad_enabled()
        constant = now.constant if now and held and type(encoded) is Tensor else None
        now = now or Snapshot(self.layers)
        this = Pass(firing, now.neurons, now.plain, constant)
        with set_in_block(PASS, this), weights_fixed() if constant is None else nullcontext():
            output: Tensor = self.layers(encoded)
            return output

    def averaging_objection(self) -> str | None:
        """Why the network cannot run on an input averaged over time at present, or None."""
        modules = () if self.affine else self.named_modules()
        layer = next((name for name, module in modules if varies(module)), None)
        return layer and f"the output of {layer} differs from call to call, or from step to step"

    def bounds_objection(self) -> str | None:
        """Why no boxes can be sent through the network at present, or None."""
        return None

    origin = ""
    """Digest of the file of the function that built it; empty where none did."""

    @property
    def form(self) -> tuple[Any, ...]:
        """Parts whose repr tells it from other networks, apart from weights: for digests."""
        return (self.encoder, self.layers)

    @property
    def identity(self) -> tuple[Any, ...]:
        """For digests: its form, and :attr:`origin` where a function of the user's built it."""
        return (*self.form, self.origin) if self.origin else self.form

    def state_key(self) -> Hashable:
        """Changes with the network's modules, their settings, modes and hooks, and with weights.

        Not with weights that are written through `.data`, which torch does not count."""
        return self._form_key(), counted((*self.parameters(), *self.buffers()))

    def attack_key(self) -> Hashable:
        """As :meth:`state_key`, but it changes whenever a weight does, also through `.data`.

        Buffers of modules in training mode are left out, since every pass writes them. Within a
        block of :meth:`attacking` values are read at its first pass alone, if modules are ours."""

        def read() -> Hashable:
            kept = (b for m in self.modules() if not m.training for b in m.buffers(recurse=False))
            tensors = [*self.parameters(), *kept]
            return self._form_key(), counted(tensors), tensors_digest(tensors)

        key: Hashable = self.remembered("attack", read)
        return key

    def _form_key(self) -> Hashable:
        modules = list(self.layers.named_modules())
        return structure(modules), frozenset(settings(modules, self.volatile).items())

    @contextmanager
    def observe_writes(self) -> Iterator[None]:
        """Attributes that a pass within the block writes on modules are no settings any more."""
        modules = dict(self.layers.named_modules())
        before = settings(modules.items(), self.volatile)
        yield
        for (name, attribute), held in settings(modules.items(), self.volatile).items():
            if before.get((name, attribute), ...) != held:
                self.volatile.add((type(modules[name]), attribute))

    @property
    def steps(self) -> int | None:
        """Time steps T, where the encoder has a number of them."""
        return getattr(self.encoder, "steps", None)

    def describe_time(self) -> str:
        """Time steps and encoder in words, as far as they are known."""
        steps = self.steps
        return ("" if steps is None else f"T = {steps}, ") + describe_encoder(self.encoder)

    @property
    def layer_names(self) -> list[str]:
        """Names of all modules whose output has the time axis first, in order of definition."""
        modules = list(self.layers.named_modules(prefix="layers"))
        inside = tuple(f"{n}." for n, m in modules if isinstance(m, TimeDistributed))
        return [n for n, _ in modules[1:] if not n.startswith(inside)] or ["layers"]

    @property
    def dtype(self) -> torch.dtype | None:
        """Floating-point dtype of the parameters and buffers; None where there are none."""
        tensors = chain(self.parameters(), self.buffers())
        return next((t.dtype for t in tensors if t.is_floating_point()), None)

    def sites(self) -> list[NeuronRef]:
        """Every neuron by name and dynamics."""
        return [layer.site for layer in self.neuron_layers()]

    def _resolved(self, rule: Gradient | str, argument: str) -> Gradient:
        resolved = parse_rule(rule, argument)
        self._require_applicable(resolved, argument)
        return resolved

    def _require_applicable(self, rule: Gradient, argument: str) -> None:
        check_applicable(rule, self.sites(), argument, self.encoder)

    def _checked(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"x: expected a torch tensor [N, ...], got {type(x).__name__}.")
        plain = not torch._C._functorch.is_functorch_wrapped_tensor(x)
        remedy = "Differentiate it by torch.autograd.grad, one output after another."
        require(plain, "x", "a plain tensor", "one within vmap or torch.func", remedy)
        wanted, shape = self.input_shape, tuple(x.shape[1:])
        if wanted is not None and (
            len(shape) != len(wanted)
            or any(size not in (None, got) for got, size in zip(shape, wanted, strict=True))
        ):
            remedy = "The axes are batch, time of event frames, channels, height, width."
            expected = f"shape [N, {', '.join(str(n or 'any') for n in wanted)}]"
            raise invalid("x", expected, f"{list(x.shape)}", remedy)
        return x.to(self.remembered("dtype", lambda: self.dtype) or torch.get_default_dtype())

    def extra_repr(self) -> str:
        rules = f"gradient={self.gradient}, training_gradient={self.training_gradient}"
        return f"encoder={self.encoder}, {rules}"

    def __getstate__(self) -> dict[str, Any]:
        """A copy made inside `using` keeps that rule as its own, where it can be seen."""
        state = self.__dict__.copy()
        state["probe_results"] = {}
        state["volatile"] = set(self.volatile)
        if self._override is not None:
            state["_gradient"] = state["_training_gradient"] = self._override
        return state

    def _replicate_for_data_parallel(self) -> "SpikingNetwork":
        """The same of torch's replicas, which run in threads of their own."""
        replica: SpikingNetwork = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        if self._override is not None:
            replica._gradient = replica._training_gradient = self._override
        return replica


def readout_dtype(x: Tensor) -> torch.dtype:
    """Precision of the logits: single at least."""
    return torch.promote_types(x.dtype, torch.float32)
