"""Spikes that a model makes by comparisons, followed to where they turn into numbers.

What a comparison gives is a mask, which has no gradient. It becomes a spike where it is cast or
multiplied, where it chooses between numbers (`where`, `masked_fill`, an assignment), and where it
is the hard part of a straight-through sum, ``(hard - soft).detach() + soft`` in any order. The
soft part may be computed twice, or be the injected gradient ``(u - u.detach()) * slope``. The
value there is the model's own and the gradient that of the spike. A mask that chooses between
tensors with a gradient, as a reset may, is left as it is."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from os import sep
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils._pytree import tree_leaves, tree_map_only

from art_snn.gradients.fixed import FixedWeights, constant
from art_snn.gradients.shared import apply, straight_through


class _Spikes:
    """The spikes of one comparison, which have no graph before they are numbers.

    :param z: what is above 0 where there are spikes [N, ...], with its graph.
    :param mask: where there are spikes.
    :param this: the :class:`~art_snn.interop.slopes.SlopePass`.
    :param place: the line that compares."""

    def __init__(self, z: Tensor, mask: Tensor, this: Any, place: str) -> None:
        self.z = z
        self.mask = mask
        self.this = this
        self.place = place
        slope = this.slope(place, mask)
        self.slope = slope if this.lazy else slope(z.detach())

    def attach(self, values: Tensor) -> Tensor:
        """Values [N, ...] of these spikes, with the gradient of the rule."""
        with torch._C.DisableTorchFunction():
            return apply(_Slope, self.z, (values,), self)

    @cached_property
    def numbers(self) -> Tensor:
        """0 and 1 with the gradient of the rule."""
        with torch.enable_grad():
            return self.attach(self.mask.to(self.z.dtype))


@dataclass
class _Trace:
    """What is known of a tensor: the spikes in it, and the parts of a straight-through sum.

    :param spikes: those in it, as numbers with a gradient, or as a comparison made them.
    :param hard: how often the spikes are in a sum.
    :param soft: the soft part of a sum.
    :param live: how often the soft part is in it with a gradient.
    :param dead: how often it is in it detached.
    :param step: 0 and 1 with the slope, where the tensor is a sign."""

    spikes: Tensor | _Spikes | None = None
    hard: int = 0
    soft: Tensor | None = None
    live: int = 0
    dead: int = 0
    step: Tensor | None = None


_UNKNOWN = _Trace()
_WHOLE = _Trace(hard=1)
"""Of a tensor that is nothing but spikes with their gradient. Itself there would be a cycle."""
_LARGEST_SOFT = 64
"""Operations in which a soft part that is computed twice is followed back to what it shares."""


def _trace(value: Any) -> _Trace:
    trace: _Trace = getattr(value, "_art_snn_trace", _UNKNOWN)
    return _Trace(value, hard=1) if trace is _WHOLE else trace


def _mark(value: Tensor, trace: _Trace) -> Tensor:
    value._art_snn_trace = trace  # type: ignore[attr-defined]
    return value


def _are_spikes(*values: Any) -> bool:
    """True if those of the values that have a gradient are nothing but spikes."""
    traces = [_trace(value) for value in values if _differs(value)]
    return all(trace.spikes is not None and trace.soft is None for trace in traces)


def _spikes_in(value: Any) -> Tensor | None:
    """The spikes that a mask, or whole numbers made of one, stand for, if they do."""
    spikes = _trace(value).spikes
    # Numbers have their gradient already, or were detached.
    if spikes is None or value.is_floating_point():
        return None
    return spikes.numbers if isinstance(spikes, _Spikes) else spikes


def _attach(values: Tensor, spikes: Tensor | _Spikes) -> Tensor:
    """Values of spikes, with their gradient."""
    if isinstance(spikes, _Spikes):
        return spikes.attach(values)
    return straight_through(values, spikes.to(values.dtype).expand_as(values))


def _as_sum(value: Any) -> _Trace:
    """A term as a straight-through sum of itself; a tensor of which nothing is known is soft."""
    trace = _trace(value)
    if trace is _UNKNOWN and _differs(value):
        return _Trace(soft=value, live=1)
    return trace


def _add_traces(a: _Trace, b: _Trace, sign: int) -> _Trace | None:
    """The sum a + sign b; None if it has other spikes or soft parts than one of each."""
    if None not in (a.spikes, b.spikes) and a.spikes is not b.spikes:
        return None
    if a.soft is not None and b.soft is not None and not _is_same(a.soft, b.soft):
        return None
    total = _Trace(
        a.spikes if b.spikes is None else b.spikes,
        a.hard + sign * b.hard,
        a.soft if b.soft is None else b.soft,
        a.live + sign * b.live,
        a.dead + sign * b.dead,
    )
    # Spikes that cancel, as in u - u.detach() after a reset, are in it no more.
    return total if total.hard else replace(total, spikes=None)


def _is_same(one: Tensor, other: Tensor) -> bool:
    """True for a tensor and itself, or for one that was computed twice in the same way."""
    if one is other:
        return True
    waiting = [(one.grad_fn, other.grad_fn)]
    for _ in range(_LARGEST_SOFT):
        if not waiting:
            return one.shape == other.shape and torch.equal(one, other)
        a, b = waiting.pop()
        if a is None or b is None or a.name() != b.name():
            return False
        inputs = a.next_functions, b.next_functions
        if not inputs[0] or len(inputs[0]) != len(inputs[1]):
            return False
        for (f, place), (g, other_place) in zip(*inputs, strict=True):
            if place != other_place:
                return False
            if f is not g:
                waiting.append((f, g))
    return False


class _Slope(Function):
    """Values of spikes forward; backward the gradient times a slope."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, values: tuple[Tensor], spikes: _Spikes) -> Tensor:
        ctx.save_for_backward(z if spikes.this.lazy else spikes.slope)
        ctx.spikes = spikes
        return values[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        this, slope = ctx.spikes.this, ctx.spikes.slope
        this.arrive(ctx.spikes.place)
        (kept,) = ctx.saved_tensors
        return grad * (slope(kept) if this.lazy else kept), None, None


class Comparisons(FixedWeights):
    """A mode in which what comparisons give has the slopes of a pass.

    :param this: the :class:`~art_snn.interop.slopes.SlopePass`.
    :param fixed: True if weights are constants, too: two modes would cost twice as much."""

    def __init__(self, this: Any, fixed: bool) -> None:
        super().__init__()
        self.this = this
        self.fixed = fixed

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        handle = None if self.this.paused else _HANDLERS.get(func)
        if handle is None:
            if self.fixed:
                return super().__torch_function__(func, types, args, kwargs)
            return func(*args, **kwargs)
        if handle is _assign and not kwargs:
            return _assign(func, *args)
        if self.fixed:
            args = tuple(map(constant, args))
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor) or handle is _assign:
            return output
        if kwargs:
            if not kwargs.keys().isdisjoint(_CHANGING):
                return output
            named = (kwargs.pop(name) for name in _ARGUMENTS if name in kwargs)
            args = (*args, *named)
            func = partial(func, **kwargs) if kwargs else func
        return handle(args, output, func, self)

    def spikes(self, mask: Tensor, above: Any, below: Any) -> _Spikes | None:
        """The spikes of a mask [N, ...] that is True where one thing is above another.

        None where nothing has a gradient, or the line that compares makes no spikes."""
        if mask.ndim < 2 or not (_differs(above) or _differs(below)):
            return None
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGES):
            frame = frame.f_back
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        places = self.this.places
        if places is not None and place not in places:
            return None
        # Also where the model makes no graph. It may change values in place later.
        with torch.enable_grad():
            return _Spikes(above - below, mask, self.this, place)


_PACKAGES = tuple(
    f"{folder}{sep}"
    for folder in (Path(__file__).parents[1], Path(torch.__file__).parent)
)
"""Where the line that compares is not looked for."""
_ARGUMENTS = ("tensors", "condition", "input", "mask", "other", "values", "value")
"""Names of arguments in the order in which functions of torch take them."""
_CHANGING = ("alpha", "out", "rounding_mode")
"""Arguments with which a function computes something else."""
_Handler = Callable[..., Any]
"""(arguments of a function of torch, what it has given, the function, mode) -> what it gives.

That of assignments is called before them, without the mode."""


def _differs(value: Any) -> bool:
    """True for a tensor of numbers that has a gradient."""
    return isinstance(value, Tensor) and value.requires_grad


def _give(
    output: Tensor, spikes: Tensor | _Spikes | None, graph: Tensor | None = None
) -> Tensor:
    """The output, made of spikes; it has the gradient of `graph` where it may have one."""
    if spikes is None:
        return output
    if output.is_floating_point() and torch.is_grad_enabled():
        output = _attach(output.detach(), spikes if graph is None else graph)
    return _mark(output, _Trace(spikes, 1))


def _compare(rising: bool) -> _Handler:
    def handle(args: Any, output: Any, _: Any, mode: Comparisons) -> Any:
        one, other = args[:2] if rising else args[1::-1]
        return _give(output, mode.spikes(output, one, other))

    return handle


def _step(args: Any, output: Any, func: Any, mode: Comparisons) -> Any:
    """`heaviside` and `sign`: a step at 0."""
    spikes = mode.spikes(output > 0, args[0], 0)
    if spikes is None:
        return output
    if func not in _find("sign"):
        return _give(output, spikes)
    numbers = spikes.numbers
    both = 2 * numbers
    return _mark(_give(output, spikes, both), _Trace(both, hard=1, step=numbers))


def _cut(args: Any, output: Any, *_: Any) -> Any:
    """`relu`, `clamp` and `maximum` of a sign, which make 0 and 1 of it."""
    step = _trace(args[0]).step
    return (
        _give(output, step) if step is not None and torch.equal(output, step) else output
    )


def _move(args: Any, output: Any, func: Any, _: Any) -> Any:
    """A mask in another shape, or a part of it."""
    spikes = _spikes_in(args[0])
    if spikes is None or output.requires_grad:
        return output
    with torch.enable_grad():
        return _give(output, func(spikes, *args[1:]))


def _combine(formula: Callable[..., Tensor] | None = None) -> _Handler:
    """Masks of which a mask is made: by a formula of their numbers, or by the function."""

    def handle(args: Any, output: Any, func: Any, _: Any) -> Any:
        if all(_spikes_in(arg) is None for arg in tree_leaves(args)):
            return output
        with torch.enable_grad():
            numbers = tree_map_only(Tensor, _numbers, args)
            return _give(output, (formula or func)(*numbers))

    return handle


def _numbers(value: Any) -> Any:
    """The spikes that a mask stands for; all else as it is."""
    spikes = _spikes_in(value)
    return value if spikes is None else spikes


def _cast(args: Any, output: Any, *_: Any) -> Any:
    trace = _trace(args[0])
    if trace.spikes is None or args[0].is_floating_point():
        return output
    return _give(output, trace.spikes)


def _calculate(args: Any, output: Any, func: Any, _: Any) -> Any:
    """Products and sums of a mask, and the parts of a straight-through sum."""
    if len(args) != 2:
        return output
    if _trace(args[0]) is _trace(args[1]) is _UNKNOWN:
        return _cancel(args, output) if func in _DIFFERENCES else output
    if any(_spikes_in(arg) is not None for arg in args):
        with torch.enable_grad():
            graph = func(*map(_numbers, args))
        return _give(output, graph)
    if output.requires_grad and _are_spikes(*args):
        return _mark(output, _WHOLE)
    if func not in _SIGNS:
        return _scale(args, output)
    one, other = args[::-1] if func in _REVERSED else args
    total = _add_traces(_as_sum(one), _as_sum(other), _SIGNS[func])
    if total is None:
        return output
    if total.spikes is not None and _passes_through(total, output):
        return _attach(output.detach(), total.spikes)
    return _mark(output, total if torch.is_grad_enabled() else _detached(total))


def _passes_through(total: _Trace, output: Tensor) -> bool:
    """True if a sum has the value of its spikes and the gradient of its soft part."""
    spikes, soft = total.spikes, total.soft
    if spikes is None or soft is None or (total.hard, total.live) != (1, 1):
        return False
    if total.dead:
        return total.dead == -1
    # The soft part may be taken away again as numbers without a gradient.
    hard = spikes.mask if isinstance(spikes, _Spikes) else spikes
    cancelled = torch.isclose(output, hard.to(output.dtype), rtol=0, atol=1e-6)
    return bool(cancelled.all()) and bool(soft.any())


def _change_sign(args: Any, output: Any, *_: Any) -> Any:
    return _calculate((args[0], 0), output, torch.rsub, None)


def _cancel(args: Any, output: Any) -> Any:
    """A tensor less its own values, which is 0 and has a gradient."""
    differ = [_differs(arg) for arg in args]
    if differ not in ([True, False], [False, True]) or not isinstance(args[1], Tensor):
        return output
    if not (torch.equal(*args) and args[0].any()):
        return output
    sign = 1 if differ[0] else -1
    return _mark(output, _Trace(soft=args[differ.index(True)], live=sign, dead=-sign))


def _scale(args: Any, output: Any) -> Any:
    """An injected gradient: what is 0 and has a gradient, times any slope."""
    for trace in map(_trace, args):
        if trace.soft is not None and not trace.hard and trace.live == -trace.dead:
            return _mark(output, trace)
    return output


def _detach(args: Any, output: Any, *_: Any) -> Any:
    trace = _as_sum(args[0])
    return output if trace is _UNKNOWN else _mark(output, _detached(trace))


def _detached(trace: _Trace) -> _Trace:
    return replace(trace, live=0, dead=trace.dead + trace.live)


def _choose(args: Any, output: Any, *_: Any) -> Any:
    """`where` of a mask and two things without a gradient, or with that of spikes."""
    if len(args) != 3:
        return output
    mask, a, b = args
    spikes = _spikes_in(mask)
    if spikes is None or not _are_spikes(a, b):
        return output
    with torch.enable_grad():
        return _give(output, spikes * (a - b) + b)


def _fill(args: Any, output: Any, *_: Any) -> Any:
    """`masked_fill` of a tensor without a gradient."""
    values, mask, number = args
    return _choose((mask, number, values), output)


def _assign(func: Any, values: Any, mask: Any, number: Any) -> Any:
    """``values[mask] = number`` and ``values.masked_fill_(mask, number)``."""
    spikes = _spikes_in(mask)
    if spikes is None or not _are_spikes(values) or isinstance(number, Tensor):
        return func(values, mask, number)
    before = values.clone()
    output = func(values, mask, number)
    with torch.enable_grad():
        graph = spikes * (number - before) + before
    result = _give(values.clone(), graph)
    values.copy_(result)
    _mark(values, _trace(result))
    return output


def _find(*names: str) -> list[Any]:
    """Functions of torch and methods of tensors by name."""
    places = (torch, Tensor, torch.nn.functional)
    return [getattr(place, n) for n in names for place in places if hasattr(place, n)]


_REVERSED = _find("rsub", "__rsub__")
_SIGNS = dict.fromkeys(_find("add", "__add__", "__radd__"), 1)
_DIFFERENCES = _find("sub", "subtract", "__sub__") + _REVERSED
_SIGNS |= dict.fromkeys(_DIFFERENCES, -1)
"""Sums and differences, and the sign of the second term."""
_VIEWS = "view reshape flatten squeeze unsqueeze transpose permute expand __getitem__"
_ROWS: list[tuple[_Handler, str]] = [
    (_compare(True), "gt ge greater greater_equal __gt__ __ge__"),
    (_compare(False), "lt le less less_equal __lt__ __le__"),
    (_step, "heaviside sign"),
    (_combine(lambda a: 1 - a), "logical_not bitwise_not __invert__"),
    (_combine(lambda a, b: a * b), "logical_and bitwise_and __and__ __rand__"),
    (_combine(lambda a, b: a + b - a * b), "logical_or bitwise_or __or__ __ror__"),
    (
        _combine(lambda a, b: a + b - 2 * a * b),
        "logical_xor bitwise_xor __xor__ __rxor__",
    ),
    (_cast, "to type type_as float double half bfloat16 int long"),
    (_calculate, "mul multiply div true_divide __mul__ __rmul__ __truediv__"),
    (_calculate, "add sub subtract rsub __add__ __radd__ __sub__ __rsub__"),
    (_detach, "detach"),
    (_change_sign, "neg negative __neg__"),
    (_cut, "relu clamp clamp_min clip maximum"),
    (_move, _VIEWS),
    (_combine(), "stack cat concat concatenate hstack vstack"),
    (_choose, "where"),
    (_fill, "masked_fill"),
    (_assign, "__setitem__ masked_fill_"),
]
_HANDLERS: Mapping[Any, _Handler] = {
    func: handle for handle, names in _ROWS for func in _find(*names.split())
}
