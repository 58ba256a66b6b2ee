"""Spikes that a model makes by comparisons, followed to where they turn into numbers.

What a comparison gives is a mask, which has no gradient. It becomes a spike where it is cast or
multiplied, where it chooses between numbers (`where`, `masked_fill`, an assignment), and where it
is the hard part of a straight-through sum, ``(hard - soft).detach() + soft`` in any order. The
value there is the model's own and the gradient that of the spike. A mask that chooses between
tensors with a gradient, as a reset may, is left as it is."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from art_snn.gradients.fixed import FixedWeights
from art_snn.gradients.shared import apply, straight_through


@dataclass
class _Trace:
    """What is known of a tensor: the spikes in it, and what it was before `detach`.

    :param spikes: 0 and 1 with the slope of the rule, of a mask or of numbers made of it.
    :param soft: the soft part that was subtracted from the spikes or added to them.
    :param source: the tensor that it was detached from."""

    spikes: Tensor | None = None
    soft: Tensor | None = None
    source: Tensor | None = None


_UNKNOWN = _Trace()


def _trace(value: Any) -> _Trace:
    return getattr(value, "_art_snn_trace", _UNKNOWN)


def _mark(value: Tensor, trace: _Trace) -> Tensor:
    value._art_snn_trace = trace  # type: ignore[attr-defined]
    return value


def _spikes_in(value: Any) -> Tensor | None:
    """The spikes that a mask, or a tensor made of one, stands for, if it does."""
    trace = _trace(value)
    return trace.spikes if trace.soft is None else None


class _Slope(Function):
    """Known spikes forward; backward the gradient times a slope."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, spikes: Tensor, this: Any, place: str) -> Tensor:
        slope = this.slope(place, spikes)
        ctx.save_for_backward(z if this.lazy else slope(z.detach()))
        ctx.exchanged = (this, place, slope)
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        this, place, slope = ctx.exchanged
        this.arrive(place)
        (kept,) = ctx.saved_tensors
        return grad * (slope(kept) if this.lazy else kept), None, None, None


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
        kwargs = kwargs or {}
        handle = None if self.this.paused else _HANDLERS.get(func)
        if handle is _assign:
            return _assign(func, *args)
        if self.fixed:
            output = super().__torch_function__(func, types, args, kwargs)
        else:
            output = func(*args, **kwargs)
        if handle is None or not isinstance(output, Tensor):
            return output
        return handle(self, func, (*args, *kwargs.values()), output)

    def spikes(self, mask: Tensor, above: Any, below: Any) -> Tensor | None:
        """The spikes of a mask [N, ...] that is True where one thing is above another.

        None where nothing has a gradient, or the line that compares makes no spikes."""
        if mask.ndim < 2 or not (_differs(above) or _differs(below)):
            return None
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGES):
            frame = frame.f_back
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if not self.this.accepts(place):
            return None
        # Also where the model makes no graph. It may change values in place later.
        with torch.enable_grad():
            z = above - below
            with torch._C.DisableTorchFunction():
                return apply(_Slope, z, mask.to(z.dtype), self.this, place)


_PACKAGES = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent))
"""Where the line that compares is not looked for."""
_Handler = Callable[..., Any]
"""(mode, function of torch, its arguments, what it has given) -> what it gives.

That of assignments is called before them, without the mode."""


def _differs(value: Any) -> bool:
    """True for a tensor of numbers that has a gradient."""
    return isinstance(value, Tensor) and value.requires_grad


def _give(output: Tensor, spikes: Tensor | None, graph: Tensor | None = None) -> Tensor:
    """The output, made of spikes; it has the gradient of `graph` where it may have one."""
    if spikes is None:
        return output
    graph = spikes if graph is None else graph
    if output.is_floating_point() and torch.is_grad_enabled():
        graph = graph.to(output.dtype).expand_as(output)
        output = straight_through(output.detach(), graph)
    return _mark(output, _Trace(spikes))


def _compare(rising: bool) -> _Handler:
    def handle(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
        one, other = args[:2] if rising else args[1::-1]
        return _give(output, mode.spikes(output, one, other))

    return handle


def _step(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    """`heaviside` and `sign`: a step at 0."""
    spikes = mode.spikes(output > 0, args[0], 0)
    rise = 2 if func in _find("sign") else 1
    return output if spikes is None else _give(output, spikes, rise * spikes)


def _negate(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    spikes = _spikes_in(args[0])
    return output if spikes is None else _give(output, 1 - spikes)


def _join(both: bool) -> _Handler:
    """Masks of which both hold, or either."""

    def handle(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
        if not any(_spikes_in(arg) is not None for arg in args):
            return output
        a, b = (_numbers(arg) for arg in args)
        return _give(output, a * b if both else a + b - a * b)

    return handle


def _numbers(value: Any) -> Any:
    """The spikes that a mask stands for; another mask as numbers."""
    spikes = _spikes_in(value)
    return value.float() if spikes is None and isinstance(value, Tensor) else spikes


def _cast(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    spikes = _spikes_in(args[0])
    if spikes is None or output.requires_grad:
        return output
    if spikes.dtype == output.dtype:
        return _mark(spikes.clone(), _Trace(spikes))
    return _give(output, spikes)


def _calculate(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    """Products and sums of a mask, and the parts of a straight-through sum."""
    if len(args) != 2 or _trace(args[0]) is _trace(args[1]) is _UNKNOWN:
        return output
    masks = [_spikes_in(arg) is not None and not _is_number(arg) for arg in args]
    if any(masks):
        numbers = (_spikes_in(a) if m else a for a, m in zip(args, masks, strict=True))
        with torch.enable_grad():
            graph = func(*numbers)
        return _give(output, graph)
    for a, b in (args[:2], args[1::-1]) if func in _SUMS else (args[:2],):
        trace = _trace(a)
        soft = _source(b)
        if trace.spikes is None or not _differs(soft):
            continue
        if trace.soft is None:
            return _mark(output, _Trace(trace.spikes, soft))
        if trace.soft is soft:
            return _give(output, trace.spikes)
    return output


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.is_floating_point()


def _source(value: Any) -> Any:
    """What a tensor was before `detach`; anything else as it is."""
    source = _trace(value).source
    return value if source is None else source


def _detach(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    trace = _trace(args[0])
    return _mark(output, replace(trace, source=_source(args[0])))


def _choose(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    """`where` of a mask and two things without a gradient."""
    if len(args) != 3 or output.requires_grad:
        return output
    mask, a, b = args
    spikes = _spikes_in(mask)
    return output if spikes is None else _give(output, spikes * (a - b) + b)


def _fill(mode: Comparisons, func: Any, args: Any, output: Any) -> Any:
    """`masked_fill` of a tensor without a gradient."""
    values, mask, number = args
    return _choose(mode, func, (mask, number, values), output)


def _assign(func: Any, values: Any, mask: Any, number: Any) -> Any:
    """``values[mask] = number`` and ``values.masked_fill_(mask, number)``, of constants."""
    spikes = _spikes_in(mask)
    if spikes is None or values.requires_grad or isinstance(number, Tensor):
        return func(values, mask, number)
    before = values.clone()
    output = func(values, mask, number)
    values.copy_(_give(values.clone(), spikes, spikes * (number - before)))
    return output


def _find(*names: str) -> list[Any]:
    """Functions of torch and methods of tensors by name."""
    places = (torch, Tensor)
    return [getattr(place, n) for n in names for place in places if hasattr(place, n)]


_SUMS = _find("add", "__add__", "__radd__")
_ROWS: list[tuple[_Handler, str]] = [
    (_compare(True), "gt ge greater greater_equal __gt__ __ge__"),
    (_compare(False), "lt le less less_equal __lt__ __le__"),
    (_step, "heaviside sign"),
    (_negate, "logical_not bitwise_not __invert__"),
    (_join(True), "logical_and bitwise_and __and__ __rand__"),
    (_join(False), "logical_or bitwise_or __or__ __ror__"),
    (_cast, "to type type_as float double half bfloat16 int long"),
    (_calculate, "mul multiply div true_divide __mul__ __rmul__ __truediv__"),
    (_calculate, "add sub subtract rsub __add__ __radd__ __sub__ __rsub__"),
    (_detach, "detach"),
    (_choose, "where"),
    (_fill, "masked_fill"),
    (_assign, "__setitem__ masked_fill_"),
]
_HANDLERS: Mapping[Any, _Handler] = {
    func: handle for handle, names in _ROWS for func in _find(*names.split())
}
