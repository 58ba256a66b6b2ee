"""Spikes of neurons whose equations nobody knows: the slope of a rule where the model makes them.

A spike is made in one place: by an autograd function, a comparison or a straight-through sum.
During a pass of a temporal rule the forward there is the model's own, and the backward is the
rule's slope h at the distance z = u - threshold. Everything else of the model stays as it is: its
states, its resets with what they detach, its recurrence and its readout.

A function is recognised by its output, which :class:`Evidence` explains: 0 and one height, or a few
levels, that follow from one argument alone. Its class is exchanged for all threads while any pass
runs, and asks for the pass of the thread that calls. Comparisons are followed by a mode of torch
(:class:`~art_snn.interop.comparisons.Comparisons`)."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import apply, has_no_second_derivative
from art_snn.gradients.temporal import TemporalFiring
from art_snn.interop.comparisons import Comparisons
from art_snn.interop.kinds import Exchanged
from art_snn.running.context import set_in_block

SpikeFunction = type[Function]


@dataclass(frozen=True)
class Form:
    """What an autograd function computes: a staircase of one of its arguments.

    :param potential: the number of the argument u.
    :param threshold: the number of the argument that is the threshold; None where it has
        none, and the levels say all of them.
    :param levels: thresholds, and by how much the output rises at each."""

    potential: int
    threshold: int | None
    levels: tuple[tuple[float, float], ...]

    def distances(self, arguments: tuple[Any, ...]) -> Iterator[tuple[Tensor, float]]:
        """u - threshold, and the height of the step there."""
        u = arguments[self.potential].detach()
        if self.threshold is not None:
            u = u - arguments[self.threshold]
        for threshold, height in self.levels:
            yield (u - threshold if threshold else u), height

    def __str__(self) -> str:
        if self.threshold is not None:
            return f"threshold: argument {self.threshold + 1}"
        values = [f"{threshold:.4g}" for threshold, _ in self.levels]
        return f"threshold {', '.join(values)}"


@dataclass(frozen=True)
class Slopes:
    """Where a model makes spikes whose slope is exchanged.

    :param forms: the autograd functions.
    :param unexplained: autograd functions that are no spikes as far as can be seen, and why.
    :param calls: calls in a pass of every place that gradients come to: names of
        functions, and lines of comparisons.
    :param shares: the share of spikes there."""

    forms: Mapping[SpikeFunction, Form]
    unexplained: Mapping[SpikeFunction, str]
    calls: Mapping[str, int]
    shares: Mapping[str, float]

    @property
    def comparisons(self) -> list[str]:
        """The places that are lines of comparisons."""
        return [place for place in self.calls if place not in map(name_of, self.forms)]

    def describe(self) -> dict[str, str]:
        """What is exchanged at every place, in words."""
        forms = {name_of(function): str(form) for function, form in self.forms.items()}
        return {
            place: f"{calls} calls in a pass, {forms.get(place, 'a comparison')}, "
            f"{self.shares[place]:.1%} spikes"
            for place, calls in self.calls.items()
        }


class SlopePass:
    """The spikes of one pass of a model, which have the slopes of a rule.

    :param firing: of the rule whose slopes they have.
    :param forms: the autograd functions that make spikes.
    :param comparing: whether the model also makes spikes by comparisons."""

    def __init__(
        self, firing: TemporalFiring, forms: Mapping[SpikeFunction, Form], comparing: bool
    ) -> None:
        self.firing = firing
        self.forms = forms
        self.comparing = comparing
        self.functions: Iterable[SpikeFunction] = forms
        self.paused = False
        """True while a module runs that keeps its own gradient, or a function of the model."""
        self.calls: Counter[str] = Counter()
        """Calls of every place."""
        self.reached: Counter[str] = Counter()
        """Calls of every place that a gradient has come to."""
        self.places: Collection[str] | None = None
        """Where spikes are made, once that is known."""
        self.shares: dict[str, list[float]] | None = None
        """The share of spikes in each call, where they are to be counted."""

    @contextmanager
    def exchanged(self) -> Iterator[None]:
        """A block in which spikes of this thread have the slopes of the rule."""
        with (
            _exchange(self.functions),
            set_in_block(_PASS, self),
            Comparisons(self) if self.comparing else nullcontext(),
        ):
            yield

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """A block in which the model keeps its own slopes."""
        before = self.paused
        self.paused = True
        try:
            yield
        finally:
            self.paused = before

    def accepts(self, place: str) -> bool:
        """True if spikes are made there, or if that is not known yet."""
        return self.places is None or place in self.places

    def arrive(self, place: str) -> None:
        """Note that a gradient has come to a place."""
        if torch.is_grad_enabled():
            raise has_no_second_derivative(f"{self.firing.rule} by exchange of slopes")
        self.reached[place] += 1

    def slope(self, place: str, z: Tensor, spikes: Tensor) -> Tensor:
        """The slope of the rule at u - threshold, [N, ...] or of any other shape."""
        if self.shares is not None:
            share = float((spikes.detach() != 0).double().mean())
            self.shares.setdefault(place, []).append(share)
        self.calls[place] += 1
        site = NeuronRef(f"{place}, call {self.calls[place]}", _DYNAMICS)
        with self.left_alone():
            return self.firing.slope_at(z.detach()[None], site)[0]

    def observe(self, function: SpikeFunction, ctx: Any, given: Any, output: Any) -> None:
        """Take in a call of a function, and exchange its slope."""
        form = self.forms[function]
        if not ctx.needs_input_grad[form.potential]:
            return
        place = name_of(function)
        total: Tensor | None = None
        for z, height in form.distances(given):
            h = self.slope(place, z, output)
            h = h if height == 1 else h * height
            total = h if total is None else total + h
        ctx.save_for_backward(total)
        ctx.exchanged = (self, place, form.potential, len(given))
        ctx._forward_cls = _Slope  # Of this call alone, whenever its backward comes.


class _Slope(Function):
    """The backward of a call whose slope was exchanged: the gradient times a slope."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        this, place, potential, count = ctx.exchanged
        this.arrive(place)
        (slope,) = ctx.saved_tensors
        results: list[Tensor | None] = [None] * count
        results[potential] = grad * slope
        return tuple(results)


_PASS: ContextVar[SlopePass | None] = ContextVar("slopes", default=None)
_DYNAMICS = Exchanged(unknown="its equations are not known")
_METHODS = ("forward", "setup_context")
_LOCK = threading.Lock()
_USERS: dict[SpikeFunction, tuple[int, dict[str, Any]]] = {}
"""Passes that exchange a class at present, and what it had of its own before."""


def name_of(function: SpikeFunction) -> str:
    """The qualified name of a class of functions."""
    return f"{function.__module__}.{function.__qualname__}"


@contextmanager
def _exchange(functions: Iterable[SpikeFunction]) -> Iterator[None]:
    """A block in which functions ask the pass of the thread that calls them."""
    with _LOCK:
        for function in functions:
            users, own = _USERS.get(function, (0, {}))
            if not users:
                own = _replace_methods(function)
            _USERS[function] = (users + 1, own)
    try:
        yield
    finally:
        with _LOCK:
            for function in functions:
                users, own = _USERS.pop(function)
                if users > 1:
                    _USERS[function] = (users - 1, own)
                    continue
                for name in _METHODS:
                    if name in own:
                        setattr(function, name, own[name])
                    elif name in vars(function):
                        delattr(function, name)


def _replace_methods(function: SpikeFunction) -> dict[str, Any]:
    """Replace the methods of a class, and return those that it has of its own."""
    own = {name: value for name, value in vars(function).items() if name in _METHODS}
    forward: Callable[..., Any] = function.forward
    setup: Callable[..., Any] = function.setup_context

    def run(ctx: Any, *arguments: Any) -> Any:
        this = _PASS.get()
        if this is None or this.paused:
            return forward(ctx, *arguments)
        with this.left_alone():
            output = forward(ctx, *arguments)
        this.observe(function, ctx, arguments, output)
        return output

    def run_paused(*arguments: Any) -> Any:
        this = _PASS.get()
        with nullcontext() if this is None else this.left_alone():
            return forward(*arguments)

    def run_setup(ctx: Any, inputs: Any, output: Any) -> Any:
        setup(ctx, inputs, output)
        this = _PASS.get()
        if this is not None and not this.paused:
            this.observe(function, ctx, inputs, output)

    methods: dict[str, Callable[..., Any]] = {"forward": run}
    if function.setup_context is not Function.setup_context:
        methods = {"setup_context": run_setup, "forward": run_paused}
    for name, method in methods.items():
        setattr(function, name, staticmethod(method))
    return own


_MOST_LEVELS = 17
_FARTHEST = 1e4
_HALVINGS = 60


class Evidence:
    """What the calls of an autograd function show: is its output a staircase of one argument?"""

    def __init__(self, function: SpikeFunction) -> None:
        self.function = function
        self.objection = ""
        """Why it makes no spikes; empty where it may."""
        self.levels: set[float] = set()
        self.spans: dict[tuple[int, float], tuple[float, float]] = {}
        """The smallest and largest value of an argument at a level of the output."""
        self.thresholds: dict[tuple[int, int], bool] = {}
        """Whether an argument at or above another one explains all spikes so far."""
        self.call: tuple[Any, ...] | None = None

    def take(self, given: tuple[Any, ...], needs: tuple[bool, ...], output: Any) -> None:
        """Take in a call, whose arguments may need gradients."""
        if not isinstance(output, Tensor):
            self.objection = f"it returns a {type(output).__name__}"
            return
        levels = {
            float(value) for value in torch.unique(output.detach().flatten()[:4096])
        }
        levels |= {float(output.min()), float(output.max())} if output.numel() else set()
        self.levels |= levels
        if len(self.levels) > _MOST_LEVELS:
            self.objection = f"it gives more than {_MOST_LEVELS} values"
            return
        self.call = given
        for index, u in enumerate(given):
            if isinstance(u, Tensor) and needs[index] and u.shape == output.shape:
                self._follow(index, u.detach(), given, output)

    def _follow(
        self, index: int, u: Tensor, given: tuple[Any, ...], output: Tensor
    ) -> None:
        """Compare the output with an argument u."""
        for level in torch.unique(output).tolist():
            there = u[output == level]
            low, high = self.spans.get((index, level), (float("inf"), float("-inf")))
            low = min(low, float(there.min()))
            high = max(high, float(there.max()))
            self.spans[index, level] = (low, high)
        fired = output != 0
        for other, threshold in enumerate(given):
            if other == index or isinstance(threshold, bool):
                continue
            if not isinstance(threshold, Tensor | float | int):
                continue
            try:
                explains = bool(
                    torch.equal(u >= threshold, fired)
                    or torch.equal(u > threshold, fired)
                )
            except RuntimeError:  # Of shapes that do not broadcast.
                explains = False
            known = self.thresholds.get((index, other), True)
            self.thresholds[index, other] = known and explains

    @torch.no_grad()
    def explain(self) -> Form | str:
        """The form of the function, or why it makes no spikes."""
        if self.objection:
            return self.objection
        if self.call is None:
            return "it was not called on samples"
        indices = {index for index, _ in self.spans}
        for index in sorted(indices):
            form = self._explain_by(index)
            if form is not None:
                return form
        return (
            f"its output of {len(self.levels)} values does not follow from one argument"
        )

    def _explain_by(self, index: int) -> Form | None:
        """The form of the function as a staircase of one argument."""
        assert self.call is not None
        call = list(self.call)
        u = call[index]

        def answer(value: float) -> float | None:
            """The output where the argument has one value everywhere; None for several."""
            call[index] = torch.full_like(u, value)
            output = apply(self.function, *call)
            first = float(output.flatten()[0])
            return first if bool((output == first).all()) else None

        levels = sorted(self.levels)
        ends = (answer(-_FARTHEST), answer(_FARTHEST))
        by_argument = [
            other
            for (i, other), explains in self.thresholds.items()
            if i == index and explains
        ]
        if None not in ends:
            levels = sorted({*levels, *(end for end in ends if end is not None)})
        if 0 not in levels or len(levels) < 2:
            return None
        # One height, at zero or at an argument.
        if len(levels) == 2 and levels[0] == 0:
            spans = [self.spans.get((index, level)) for level in levels]
            low, high = spans
            at_zero = (low is None or low[1] <= 0) and (high is None or high[0] >= 0)
            if at_zero and answer(-1e-6) == 0 and answer(1e-6) == levels[1]:
                return Form(index, None, ((0.0, levels[1]),))
            if by_argument:
                return Form(index, by_argument[0], ((0.0, levels[1]),))
        return self._find_thresholds(index, levels, answer)

    def _find_thresholds(
        self, index: int, levels: list[float], answer: Callable[[float], float | None]
    ) -> Form | None:
        """The form with the values at which the output rises, found by halving intervals."""
        steps = []
        for below, above in pairwise(levels):
            low = max(
                self.spans.get((index, one), (0, -_FARTHEST))[1]
                for one in levels
                if one <= below
            )
            high = min(
                self.spans.get((index, one), (_FARTHEST, 0))[0]
                for one in levels
                if one >= above
            )
            if low > high:
                return None
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                found = answer(middle)
                if found is None:
                    return None
                if found <= below:
                    low = middle
                else:
                    high = middle
            steps.append(((low + high) / 2, above - below))
        return Form(index, None, tuple(steps))


class Search(SlopePass):
    """A pass that finds out where a model makes spikes, and takes the functions as they are."""

    def __init__(
        self, firing: TemporalFiring, functions: Iterable[SpikeFunction]
    ) -> None:
        self.evidence = {function: Evidence(function) for function in functions}
        super().__init__(firing, {}, comparing=True)
        self.functions = self.evidence

    def observe(self, function: SpikeFunction, ctx: Any, given: Any, output: Any) -> None:
        self.evidence[function].take(given, ctx.needs_input_grad, output)
