"""Spikes of neurons whose equations nobody knows: the slope of a rule where the model makes them.

A spike is made in one place: by an autograd function, a comparison or a straight-through sum.
During a pass of a temporal rule the forward there is the model's own, and the backward is the
rule's slope h at the distance z = u - threshold. Everything else of the model stays as it is: its
states, its resets with what they detach, its recurrence and its readout.

A function is recognised by its output, which :func:`explain` explains: 0 and one height, or a few
levels, that follow from one argument alone. Its class is exchanged for all threads while any pass
runs, and asks for the pass of the thread that calls. Comparisons are followed by a mode of torch
(:class:`~art_snn.interop.comparisons.Comparisons`)."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils._pytree import tree_map_only

from art_snn.checks import require
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.fixed import saved_tensor_hooks
from art_snn.gradients.shared import apply, has_no_second_derivative
from art_snn.gradients.temporal import TemporalFiring
from art_snn.interop.comparisons import Comparisons
from art_snn.interop.kinds import Exchanged
from art_snn.interop.stateful_modules import RUNNING
from art_snn.running.context import RUN, set_in_block

SpikeFunction = type[Function]
_Slope = Callable[[Tensor], Tensor]
"""u - threshold [N, ...] -> slope [N, ...]."""


@dataclass(frozen=True)
class Form:
    """What an autograd function computes: a staircase of one of its arguments.

    :param potential: the number of the argument u.
    :param threshold: the number of the argument that is the threshold; None where it has
        none, and the levels say all of them.
    :param levels: thresholds, and by how much the output rises at each.
    :param changed: whether the model changes u in place after the call."""

    potential: int
    threshold: int | None
    levels: tuple[tuple[float, float], ...]
    changed: bool = False

    def sum_slopes(self, u: Tensor, threshold: Any, slope: _Slope) -> Tensor:
        """The slope of the output at u, from that of a spike at u - threshold."""
        z = u if self.threshold is None else u - threshold
        (first, height), *others = self.levels
        total = slope(z - first if first else z)
        total = total if height == 1 else total * height
        for level, rise in others:
            total = total + slope(z - level) * rise
        return total

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
        self.saving = saved_tensor_hooks()
        self.lazy = firing.rule.elementwise
        """True if slopes are computed where a gradient comes to them."""
        self.paused = False
        """True while a neuron of known equations runs, or a function of the model."""
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
        with _exchange(self.functions):
            if not self.comparing:
                yield
                return
            run = RUN.get()
            fixed = run.constant_weights and torch.is_grad_enabled()
            # The mode of comparisons also makes weights constant.
            left = replace(run, constant_weights=False)
            with set_in_block(RUN, left), Comparisons(self, fixed):
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

    def arrive(self, place: str) -> None:
        """Note that a gradient has come to a place."""
        if torch.is_grad_enabled():
            raise has_no_second_derivative(f"{self.firing.rule} by exchange of slopes")
        self.reached[place] += 1

    def slope(self, place: str, spikes: Tensor) -> _Slope:
        """The slope of the spikes of a call, as a function of u - threshold of any shape."""
        require(
            self.saving == saved_tensor_hooks(),
            "model",
            "a model that runs once in a pass",
            f"one with activation checkpointing around {place}",
            "Its spikes would be made again after the pass, with other slopes: remove it.",
        )
        if self.shares is not None:
            share = float((spikes.detach() != 0).double().mean())
            self.shares.setdefault(place, []).append(share)
        self.calls[place] += 1
        site = NeuronRef(f"{place}, call {self.calls[place]}", _DYNAMICS)
        return partial(self.firing.slope_at, site=site)

    def observe(self, function: SpikeFunction, ctx: Any, given: Any, output: Any) -> None:
        """Take in a call of a function, and exchange its slope."""
        form = self.forms[function]
        if not ctx.needs_input_grad[form.potential]:
            return
        place = name_of(function)
        slope = self.slope(place, output)
        u = given[form.potential]
        threshold = None if form.threshold is None else given[form.threshold]
        if not self.lazy:
            with torch._C.DisableTorchFunction():
                u = form.sum_slopes(u.detach(), threshold, slope)
        ctx.save_for_backward(u.clone() if form.changed and self.lazy else u)
        ctx.exchanged = (self, place, form, threshold, slope, len(given))
        ctx._forward_cls = _Exchanged  # Of this call alone, whenever its backward comes.


class _Exchanged(Function):
    """The backward of a call whose slope was exchanged: the gradient times a slope."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        this, place, form, threshold, slope, count = ctx.exchanged
        results: list[Tensor | None] = [None] * count
        if grad is None:
            return tuple(results)
        this.arrive(place)
        (kept,) = ctx.saved_tensors
        h = form.sum_slopes(kept, threshold, slope) if this.lazy else kept
        results[form.potential] = grad * h
        if form.threshold is not None and ctx.needs_input_grad[form.threshold]:
            results[form.threshold] = -(grad * h).sum_to_size(threshold.shape)
        return tuple(results)


_DYNAMICS = Exchanged(unknown="its equations are not known")
_METHODS = ("forward", "setup_context")
_LOCK = threading.Lock()
_USERS: dict[SpikeFunction, tuple[int, dict[str, Any]]] = {}
"""Passes that exchange a class at present, and what it had of its own before."""


def _present() -> SlopePass | None:
    """The pass of this thread or task, where it exchanges slopes."""
    slopes: SlopePass | None = getattr(RUNNING.get(), "slopes", None)
    return slopes


def name_of(function: SpikeFunction) -> str:
    """The qualified name of a class of functions."""
    return f"{function.__module__}.{function.__qualname__}"


@contextmanager
def _exchange(functions: Iterable[SpikeFunction]) -> Iterator[None]:
    """A block in which functions ask the pass of the thread that calls them."""
    exchanged: list[SpikeFunction] = []
    try:
        with _LOCK:
            for function in functions:
                users, methods = _USERS.get(function, (0, {}))
                if not users:
                    methods = _replace_methods(function)
                _USERS[function] = (users + 1, methods)
                exchanged.append(function)
        yield
    finally:
        with _LOCK:
            for function in exchanged:
                users, methods = _USERS.pop(function)
                if users > 1:
                    _USERS[function] = (users - 1, methods)
                    continue
                for name in _METHODS:
                    if name in methods:
                        setattr(function, name, methods[name])
                    elif name in vars(function):
                        delattr(function, name)


def _replace_methods(function: SpikeFunction) -> dict[str, Any]:
    """Replace the methods of a class, and return its own."""
    methods = {name: value for name, value in vars(function).items() if name in _METHODS}
    forward: Callable[..., Any] = function.forward
    setup: Callable[..., Any] = function.setup_context

    def run(ctx: Any, *arguments: Any) -> Any:
        this = _present()
        if this is None or this.paused:
            return forward(ctx, *arguments)
        with this.left_alone():
            output = forward(ctx, *arguments)
        this.observe(function, ctx, arguments, output)
        return output

    def run_paused(*arguments: Any) -> Any:
        this = _present()
        with nullcontext() if this is None else this.left_alone():
            return forward(*arguments)

    def run_setup(ctx: Any, inputs: Any, output: Any) -> Any:
        setup(ctx, inputs, output)
        this = _present()
        if this is not None and not this.paused:
            this.observe(function, ctx, inputs, output)

    replaced: dict[str, Callable[..., Any]] = {"forward": run}
    if function.setup_context is not Function.setup_context:
        replaced = {"setup_context": run_setup, "forward": run_paused}
    for name, method in replaced.items():
        setattr(function, name, staticmethod(method))
    return methods


_MOST_LEVELS = 17
_MOST_CALLS = 16
_FAR, _NEAR = 1e4, 1e-3
_HALVINGS = 60


class SpikeSearch(SlopePass):
    """A pass that finds out where a model makes spikes, and takes the functions as they are."""

    def __init__(
        self, firing: TemporalFiring, functions: Iterable[SpikeFunction]
    ) -> None:
        super().__init__(firing, {}, comparing=True)
        self.functions = functions
        self.seen: dict[SpikeFunction, list[_Call]] = {f: [] for f in functions}

    def observe(self, function: SpikeFunction, ctx: Any, given: Any, output: Any) -> None:
        calls = self.seen[function]
        if any(ctx.needs_input_grad) and len(calls) < _MOST_CALLS:
            # Copies, since models change tensors in place.
            copies = tree_map_only(Tensor, lambda x: x.detach().clone(), (given, output))
            calls.append(_Call(copies[0], ctx.needs_input_grad, copies[1]))


@dataclass(frozen=True)
class _Call:
    """A call of an autograd function, and which of its arguments need gradients."""

    given: tuple[Any, ...]
    needs: tuple[bool, ...]
    output: Any

    def at(self, function: SpikeFunction, potential: int, value: float) -> "_Call":
        """The same call with one value everywhere in the potential."""
        given = list(self.given)
        given[potential] = torch.full_like(given[potential], value)
        return _Call(tuple(given), self.needs, apply(function, *given))


@torch.no_grad()
def explain(function: SpikeFunction, calls: list[_Call]) -> Form | str:
    """The form of a function that makes spikes, or why it makes none as far as can be seen."""
    if not calls:
        return "it was not called on samples"
    first = calls[0]
    if not isinstance(first.output, Tensor):
        return f"it returns a {type(first.output).__name__}"
    for index, u in enumerate(first.given):
        if first.needs[index] and getattr(u, "shape", None) == first.output.shape:
            numbers = [0.0, *(v for v in first.given if isinstance(v, float))]
            values = [number + side for number in numbers for side in (-_NEAR, _NEAR)]
            # A function may refuse values that are far from its own, as bernoulli does.
            with suppress(RuntimeError):
                probes = [first.at(function, index, v) for v in (-_FAR, *values, _FAR)]
                form = _explain_by(function, index, [*calls, *probes])
                if form is not None:
                    return form
    return "what it gives does not rise from 0 at a few values of one argument"


def _explain_by(function: SpikeFunction, index: int, calls: list[_Call]) -> Form | None:
    """The form as a staircase of one argument, if it is one."""
    several = [torch.unique(call.output) for call in calls]
    levels = torch.unique(torch.cat(several)).tolist()
    if 0 not in levels or not 1 < len(levels) <= _MOST_LEVELS:
        return None
    if len(levels) == 2 and levels[0] == 0:
        others = [
            other
            for other, value in enumerate(calls[0].given)
            if isinstance(value, Tensor | float | int) and other != index
        ]
        for other in (None, *others):
            if all(_fires_above(call, index, other) for call in calls):
                return Form(index, other, ((0.0, levels[1]),))
    steps = list[tuple[float, float]]()
    level = levels[0]
    while level != levels[-1]:
        # The samples may have missed levels, so that each is read at its threshold.
        step = _find_threshold(function, index, calls, level)
        if step is None or len(steps) == _MOST_LEVELS - 1:
            return None
        threshold, above = step
        steps.append((threshold, above - level))
        level = above
    return Form(index, None, tuple(steps))


def _fires_above(call: _Call, index: int, other: int | None) -> bool:
    """True if the spikes of a call are those of one argument at or above another, or 0."""
    u = call.given[index]
    threshold = 0 if other is None else call.given[other]
    fired = call.output != 0
    try:
        return torch.equal(u >= threshold, fired) or torch.equal(u > threshold, fired)
    except RuntimeError:  # Shapes that do not broadcast.
        return False


def _find_threshold(
    function: SpikeFunction, index: int, calls: list[_Call], level: float
) -> tuple[float, float] | None:
    """The value of an argument above which the output is above a level, and the level there.

    The value is found by halving an interval."""
    u = torch.cat([call.given[index].flatten() for call in calls])
    above = torch.cat([call.output.flatten() > level for call in calls])
    # Probes are at both ends of the interval, so that some are above, and some are not.
    low = float(u[~above].max())
    high = float(u[above].min())
    if low > high:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = calls[0].at(function, index, middle).output > level
        if above.any() != above.all():
            return None
        low, high = (low, middle) if above.any() else (middle, high)
    reached = torch.unique(calls[0].at(function, index, high).output).tolist()
    return (round(high, 6), reached[0]) if len(reached) == 1 else None
