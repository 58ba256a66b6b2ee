"""SpikingNetwork: encoder, layers, mean over time, and the choice of how it is differentiated."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch.nn.utils import parametrize

from art_snn.checks import invalid, require, require_number
from art_snn.encoders import Direct, Encoder
from art_snn.engine.body import LayeredBody, NetworkBody
from art_snn.gradients import STBP, Execution, Gradient, choose_rule
from art_snn.gradients.base import simulation
from art_snn.gradients.names import parse_rule
from art_snn.layers import dtype_of
from art_snn.running.context import RUN, NetworkRun, set_in_block


class SpikingNetwork(Module):
    """A spiking classifier whose gradient is chosen, not built in.

    The choice lives in the network's own graph, for any attack and trainer. At every call:

    * gradients disabled: plain simulation;
    * the input requires a gradient: ``gradient``, the attack gradient;
    * otherwise: ``training_gradient``.

    Weights take gradients as those of any module, but for :meth:`constant_weights`.

    :param layers: a module, or a sequence of modules, on tensors [T, N, ...]; neurons are
        :class:`LIF` and :class:`IF`, and layers without state are wrapped in
        :class:`TimeDistributed`. The last layer is affine and gives [T, N, K].
    :param encoder: maps the input [N, ...] to [T, N, ...].
    :param gradient: rule for gradients at the input, an instance or a name of GRADIENTS. None:
        :func:`~art_snn.gradients.choose_rule` by the equations alone, which is STBP.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input; calls with another shape are refused. None for
        an axis takes any size there, None for the shape any shape.
    :param initialise: draws the weights of the network, at :meth:`reset_parameters`.
        None: torch's own draws.
    :param body: makes the engine that runs these layers with this encoder.
    :raises TypeError: when `layers` are no modules or `encoder` cannot be called.
    :raises ValueError: when `layers` contain no neuron, or a rule is unknown or does not apply."""

    def __init__(
        self,
        layers: Module | Sequence[Module],
        encoder: Encoder = Direct(steps=8),  # noqa: B008
        gradient: Gradient | str | None = None,
        training_gradient: Gradient | str = STBP(),  # noqa: B008
        *,
        input_shape: tuple[int | None, ...] | None = None,
        initialise: Callable[[Module], object] | None = None,
        body: Callable[[Module, Encoder], NetworkBody] = LayeredBody,
    ) -> None:
        super().__init__()
        if not isinstance(layers, Module | Iterable):
            raise TypeError(
                f"layers: expected a torch module or a sequence of modules, got {layers!r}. "
                "Pass instances, for example [LIF(), TimeDistributed(nn.Linear(32, 10))]."
            )
        if isinstance(encoder, type) or not callable(encoder):
            raise TypeError(
                f"encoder: expected an instance such as Direct(steps=8), got {encoder!r}. "
                "Any callable that maps [N, ...] to [T, N, ...] will do."
            )
        self.layers: Module = (
            layers if isinstance(layers, Module) else nn.Sequential(*layers)
        )
        self.encoder = encoder
        self._body = body(self.layers, encoder)
        self.gradient = choose_rule(self) if gradient is None else gradient
        self.training_gradient = training_gradient
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self._initialise = initialise

    @property
    def body(self) -> NetworkBody:
        """What engines, bounds and metrics see of the network."""
        # Replicas get their modules after they are made.
        self._body.layers = self.layers
        self._body.encoder = self.encoder
        self._body.readout = self._modules.get("readout", self._body.readout)
        return self._body

    @property
    def gradient(self) -> Gradient:
        """Rule for gradients at the input; set it to an instance or to a name."""
        return self._gradient

    @gradient.setter
    def gradient(self, rule: Gradient | str) -> None:
        self._gradient = self._resolve(rule, "gradient")
        self.forget()

    @property
    def training_gradient(self) -> Gradient:
        """Rule for gradients at the weights; set it to an instance or to a name."""
        return self._training_gradient

    @training_gradient.setter
    def training_gradient(self, rule: Gradient | str) -> None:
        self._training_gradient = self._resolve(rule, "training_gradient")

    @property
    def rule(self) -> Gradient:
        """The rule that holds at present for gradients at the input: :meth:`using` overrides it."""
        return self._body.context.rule or self.gradient

    @property
    def execution(self) -> Execution | None:
        """How the last gradient of this thread or task was computed, and why in this way."""
        return self._body.execution

    @contextmanager
    def using(self, gradient: Gradient | str) -> "Iterator[SpikingNetwork]":
        """Within the block, differentiate by `gradient` only, at the input and at the weights.

        That holds for the thread or asynchronous task of the block, and for tasks that it
        starts, but not for threads."""
        with self.body.changed(rule=self._resolve(gradient, "gradient")):
            yield self

    def with_gradient(self, gradient: Gradient | str) -> "SpikingNetwork":
        """A network of the same layers and weights, not copied, under another attack gradient."""
        twin = self._share()
        twin.gradient = gradient
        return twin

    def with_steps(self, steps: int) -> "SpikingNetwork":
        """A network of the same layers and weights, not copied, over another number T of steps.

        :raises ValueError: when the encoder cannot give another number of steps, or steps < 1."""
        twin = self._share()
        twin.encoder = self.body.with_steps(steps).encoder
        return twin

    def constant_weights(self) -> AbstractContextManager[None]:
        """Within the block, and in the present thread or task, weights are constants to autograd.

        Attacks do not need gradients at the weights, which cost memory and time. So the
        attacks and the gradients of :class:`~art_snn.PyTorchSpikingClassifier` are
        computed in such a block. Then the gradient can be differentiated again at the
        input alone."""
        return self.body.changed(constant_weights=True)

    @contextmanager
    def attacking(self, radius: float | None) -> Iterator[None]:
        """Within the block, and in the present thread or task, an attack within this radius.

        Weights are constants. Rules that remember, such as ASSG, must distinguish the
        next step of an attack from a new sample. That is one with an input value farther
        than twice the radius, and rounding, from the first that was differentiated. What
        they remember is forgotten on entry and on exit.

        :param radius: the largest change of an input value, in the unit of the network's input; a
            budget in any other norm also bounds it. None: the block is for a single batch.
        :raises ValueError: when `radius` is neither None nor a finite number of at least 0."""
        if radius is not None:
            radius = require_number(
                "radius",
                radius,
                at_least=0,
                remedy="A usual radius is 8/255; None where it is not known.",
            )

        self.forget()
        try:
            with self.body.changed(
                radius=radius, attacking=True, constant_weights=True, snapshots={}
            ):
                yield
        finally:
            self.forget()

    def forget(self) -> None:
        """Drop what rules such as ASSG remember of earlier gradients, and free its memory."""
        self._body.memory = {}

    def reset_parameters(self) -> None:
        """Draw all weights again: by `initialise` where one was given, else as torch draws them."""
        for module in self.layers.modules():
            draw = getattr(module, "reset_parameters", None)
            if callable(draw):
                draw()
        if self._initialise is not None:
            self._initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K], the time mean of the last layer's output.

        The input is cast to the dtype of the network's parameters.

        :raises TypeError: when x is no tensor.
        :raises ValueError: when x has another shape than `input_shape`."""
        body = self.body
        context = body.context
        # Parametrised weights that are cached would be constants after the pass as well.
        run = NetworkRun(
            constant_weights=context.constant_weights and not parametrize._cache_enabled
        )
        with body.opened(), set_in_block(RUN, run):
            x = self._cast(x)
            if context.forward is not None:
                return context.forward(self, x)
            if not torch.is_grad_enabled():
                body.check(None, x)
                logits = body.run(body.encode(x), simulation)
                body.check_logits(None, x, logits)
                return logits
            rule = (
                self.rule if x.requires_grad else context.rule or self.training_gradient
            )
            body.check(rule, x)
            # An alias, where the input is a parameter, which would be a constant.
            alias = x.view_as(x) if isinstance(x, nn.Parameter) else x
            logits = rule.logits(body, alias)
            if body.check_logits(rule, x, logits):
                logits = rule.logits(body, alias)
            return logits

    def _cast(self, x: Tensor) -> Tensor:
        """The input in the dtype of the network, once its kind and shape are checked."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"x: expected a torch tensor [N, ...], got {type(x).__name__}."
            )
        require(
            not torch._C._functorch.is_functorch_wrapped_tensor(x),
            "x",
            "a plain tensor",
            "one within vmap or torch.func",
            "Differentiate it by torch.autograd.grad, one output after another.",
        )
        wanted, shape = self.input_shape, tuple(x.shape[1:])
        if wanted is not None and (
            len(shape) != len(wanted)
            or any(
                size not in (None, got) for got, size in zip(shape, wanted, strict=True)
            )
        ):
            raise invalid(
                "x",
                f"shape [N, {', '.join(str(n or 'any') for n in wanted)}]",
                f"{list(x.shape)}",
                "The axes are batch, time of event frames, channels, height, width.",
            )
        return x.to(dtype_of(self))

    def _resolve(self, rule: Gradient | str, argument: str) -> Gradient:
        resolved = parse_rule(rule, argument)
        self.body.require_applicable(resolved, argument)
        return resolved

    def _share(self) -> "SpikingNetwork":
        """Another network object around the same modules, which remembers nothing."""
        twin = copy.copy(self)
        twin._modules = dict(self._modules)
        twin._body = self._body.share()
        return twin

    def extra_repr(self) -> str:
        rules = f"gradient={self.gradient}, training_gradient={self.training_gradient}"
        return f"encoder={self.encoder}, {rules}"

    def __getstate__(self) -> dict[str, Any]:
        """A copy made inside `using` keeps that rule as its own, where it can be seen."""
        state = self.__dict__.copy()
        override = self._body.context.rule
        if override is not None:
            state["_gradient"] = state["_training_gradient"] = override
        return state

    def _replicate_for_data_parallel(self) -> "SpikingNetwork":
        """The same of torch's replicas, which run in threads of their own."""
        replica: SpikingNetwork = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]  # torch has no types here.
        replica._body = self._body.share()
        override = self._body.context.rule
        if override is not None:
            replica._gradient = replica._training_gradient = override
        return replica
