"""Spikes that a model makes by comparisons, followed to where they turn into numbers.

What a comparison gives is a mask, which has no gradient. It becomes a spike where it is cast or
multiplied, where it chooses between numbers (`where`, `masked_fill`, an assignment), and where it
is the hard part of a straight-through sum, ``(hard - soft).detach() + soft`` in any order. The
value there is the model's own and the gradient that of the spike. A mask that chooses between
tensors with a gradient, as a reset may, is left as it is."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

import art_snn
from art_snn.gradients.shared import apply, has_no_second_derivative, straight_through


class _Trace:
    """What is known of a tensor: the spikes in it, and what it was before `detach`.

    :param spikes: 0 and 1, with the slope of the rule, for a mask or the numbers made of it.
    :param source: the tensor that it was detached from.
    :param soft: of the hard part minus a soft one or, in a sum, plus one: the soft part."""

    __slots__ = ("soft", "source", "spikes")

    def __init__(
        self,
        spikes: Tensor | None = None,
        source: Tensor | None = None,
        soft: Tensor | None = None,
    ) -> None:
        self.spikes = spikes
        self.source = source
        self.soft = soft


def _trace(value: Any) -> _Trace | None:
    return getattr(value, "_art_snn_trace", None)


def _mark(value: Tensor, **facts: Any) -> Tensor:
    value._art_snn_trace = _Trace(**facts)  # type: ignore[attr-defined]
    return value


def _spikes_in(value: Any) -> Tensor | None:
    """The spikes that a mask or a tensor of them stands for, if it does."""
    trace = _trace(value)
    return None if trace is None or trace.soft is not None else trace.spikes


class _Slope(Function):
    """Known spikes forward; backward the gradient times a slope."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, spikes: Tensor, slope: Tensor, this: Any, place: str
    ) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.this = this
        ctx.place = place
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise has_no_second_derivative(
                f"{ctx.this.firing.rule} by exchange of slopes"
            )
        ctx.this.reached[ctx.place] += 1
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None, None, None


class Comparisons(TorchFunctionMode):
    """A mode in which what comparisons give has the slopes of a pass.

    :param this: the :class:`~art_snn.interop.slopes.SlopePass`."""

    def __init__(self, this: Any) -> None:
        super().__init__()
        self.this = this

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        handle = _HANDLERS.get(func)
        kwargs = kwargs or {}
        if handle is None or self.this.paused:
            return func(*args, **kwargs)
        return handle(self, func, args, kwargs)

    def spike(self, mask: Tensor, z: Tensor) -> Tensor:
        """The spikes of a mask [N, ...] that is True where z is positive, with their slope."""
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGES):
            frame = frame.f_back
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        with torch.no_grad():
            slope = self.this.slope(place, z)
            spikes = mask.to(z.dtype)
            self.this.count(place, spikes)
        with torch.enable_grad():
            return apply(_Slope, z, spikes, slope, self.this, place)


_PACKAGES = (str(Path(art_snn.__file__).parent), str(Path(torch.__file__).parent))
"""Where the line that compares is not looked for."""
_Handler = Callable[[Comparisons, Any, Any, Any], Any]


def _differs(value: Any) -> bool:
    """True for a tensor of numbers that has a gradient."""
    return isinstance(value, Tensor) and value.requires_grad and value.is_floating_point()


def _compare(rising: bool) -> _Handler:
    def handle(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
        output = func(*args, **kwargs)
        a, b = (*args, *kwargs.values())[:2]
        if not (_differs(a) or _differs(b)) or not isinstance(output, Tensor):
            return output
        with (
            torch.enable_grad()
        ):  # Of the values as they are: models change them in place.
            z = a - b if rising else b - a
        return _mark(output, spikes=mode.spike(output, z))

    return handle


def _heaviside(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    (u, *_) = args
    if not _differs(u):
        return func(*args, **kwargs)
    with torch.no_grad():
        output = func(*args, **kwargs)
    with torch.enable_grad():
        z = u.clone()
    spikes = mode.spike(output, z)
    return _mark(spikes if torch.is_grad_enabled() else output, spikes=spikes)


def _sign(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    (u,) = args
    if not _differs(u):
        return func(*args, **kwargs)
    output = func(u.detach())
    with torch.enable_grad():
        z = u.clone()
    spikes = mode.spike(output > 0, z)
    return straight_through(output, 2 * spikes)


def _negate(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    output = func(*args, **kwargs)
    spikes = _spikes_in(args[0])
    if spikes is None or output.dtype != torch.bool:
        return output
    with torch.enable_grad():
        return _mark(output, spikes=1 - spikes)


def _join(both: bool) -> _Handler:
    """Masks of which both hold, or either."""

    def handle(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
        output = func(*args, **kwargs)
        found = [_spikes_in(arg) for arg in args[:2]]
        known = next((s for s in found if s is not None), None)
        if known is None or output.dtype != torch.bool:
            return output
        with torch.enable_grad():
            a, b = (
                torch.as_tensor(arg).to(known.dtype) if s is None else s
                for s, arg in zip(found, args, strict=False)
            )
            return _mark(output, spikes=a * b if both else a + b - a * b)

    return handle


def _cast(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    output = func(*args, **kwargs)
    spikes = _spikes_in(args[0])
    if spikes is None:
        return output
    if (
        output.is_floating_point()
        and torch.is_grad_enabled()
        and not output.requires_grad
    ):
        output = straight_through(output, spikes.to(output))
    return _mark(output, spikes=spikes)


def _calculate(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    """Products and sums of a mask, and the parts of a straight-through sum."""
    found = [_spikes_in(arg) for arg in args[:2]]
    masks = [
        s is not None and not arg.is_floating_point()
        for s, arg in zip(found, args, strict=False)
    ]
    if not any(masks):
        output = func(*args, **kwargs)
        return _follow_sum(func, args, found, output)
    numbers = [
        s if is_mask else arg for s, is_mask, arg in zip(found, masks, args, strict=False)
    ]
    output = func(*args, **kwargs)
    with torch.set_grad_enabled(
        torch.is_grad_enabled() or not output.is_floating_point()
    ):
        graph = func(*numbers, *args[2:], **kwargs)
    if output.is_floating_point():
        return graph.to(output.dtype)
    return _mark(output, spikes=graph)


def _follow_sum(func: Any, args: Any, found: list[Any], output: Any) -> Any:
    """Notice ``hard - soft`` and ``soft + hard``, and give their sum the slope of the spikes."""
    if len(args) != 2 or not isinstance(output, Tensor) or func not in _SUMS:
        return output
    adding = _SUMS[func]
    pairs = [(0, 1), (1, 0)] if adding else [(0, 1)]
    for one, other in pairs:
        a, b = args[one], args[other]
        trace = _trace(a)
        soft = _before_detach(b)
        if trace is None or trace.spikes is None:
            continue
        if trace.soft is None:
            if isinstance(soft, Tensor) and soft.requires_grad and soft is not a:
                return _mark(output, spikes=trace.spikes, soft=soft)
        elif trace.soft is soft and torch.is_grad_enabled():
            return straight_through(output.detach(), trace.spikes.to(output.dtype))
    return output


def _before_detach(value: Any) -> Any:
    trace = _trace(value)
    return value if trace is None or trace.source is None else trace.source


def _detach(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    output = func(*args, **kwargs)
    (value,) = args
    trace = _trace(value)
    if trace is not None:
        source = value if trace.source is None else trace.source
        return _mark(output, spikes=trace.spikes, soft=trace.soft, source=source)
    return _mark(output, source=value) if value.requires_grad else output


def _choose(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    """``where`` of a mask and two things without a gradient."""
    output = func(*args, **kwargs)
    if len(args) != 3:
        return output
    mask, a, b = args
    return _chosen(output, mask, a, b)


def _fill(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    """``masked_fill`` of a tensor without a gradient."""
    output = func(*args, **kwargs)
    if len(args) != 3:
        return output
    values, mask, number = args
    return _chosen(output, mask, number, values)


def _chosen(output: Any, mask: Any, a: Any, b: Any) -> Any:
    spikes = _spikes_in(mask)
    if spikes is None or output.requires_grad:
        return output
    with torch.enable_grad():
        graph = (spikes * (a - b)).expand_as(output)
    if not output.is_floating_point() or not torch.is_grad_enabled():
        return _mark(output, spikes=graph + b)
    return _mark(straight_through(output, graph), spikes=graph + b)


def _assign(mode: Comparisons, func: Any, args: Any, kwargs: Any) -> Any:
    """``values[mask] = number`` and ``values.masked_fill_(mask, number)``."""
    values, mask, number = args
    spikes = _spikes_in(mask)
    plain = not isinstance(number, Tensor) or number.numel() == 1
    if spikes is None or values.requires_grad or not plain or values.is_inference():
        return func(*args, **kwargs)
    before = values.clone()
    result = func(*args, **kwargs)
    if values.is_floating_point() and torch.is_grad_enabled():
        graph = (spikes * (number - before)).expand_as(values)
        values.copy_(straight_through(values.clone(), graph))
    return result


def _find(*names: str) -> list[Any]:
    """Functions of torch and methods of tensors by name."""
    found = []
    for name in names:
        for place in (torch, Tensor):
            with suppress(AttributeError):
                found.append(getattr(place, name))
    return found


_SUMS = {
    **dict.fromkeys(_find("add", "__add__", "__radd__"), True),
    **dict.fromkeys(_find("sub", "subtract", "__sub__"), False),
}
_CASTS = ("to", "type", "type_as", "float", "double", "half", "bfloat16", "int", "long")
_PRODUCTS = ("mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__", "div")
_OTHERS = ("__truediv__", "__rsub__", "rsub", "add_", "sub_", "__iadd__", "__isub__")

_ROWS: list[tuple[_Handler, tuple[str, ...]]] = [
    (_compare(True), ("gt", "ge", "greater", "greater_equal", "__gt__", "__ge__")),
    (_compare(False), ("lt", "le", "less", "less_equal", "__lt__", "__le__")),
    (_heaviside, ("heaviside",)),
    (_sign, ("sign",)),
    (_negate, ("logical_not", "bitwise_not", "__invert__")),
    (_join(True), ("logical_and", "bitwise_and", "__and__", "__rand__")),
    (_join(False), ("logical_or", "bitwise_or", "__or__", "__ror__")),
    (_cast, _CASTS),
    (_calculate, (*_PRODUCTS, *_OTHERS)),
    (_detach, ("detach",)),
    (_choose, ("where",)),
    (_fill, ("masked_fill",)),
    (_assign, ("__setitem__", "masked_fill_")),
]
_HANDLERS: Mapping[Any, _Handler] = {
    **dict.fromkeys(_SUMS, _calculate),
    **{func: handle for handle, names in _ROWS for func in _find(*names)},
}
