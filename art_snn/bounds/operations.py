"""What torch's operations do to boxes.

The interval around an output contains every output for inputs of their intervals, and what rounding
can make of it. Layers are those of Gowal et al. (ICCV 2019): centre W m + b, radius |W| r."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded
from art_snn.bounds.firing import bent
from art_snn.bounds.rounding import widening
from art_snn.gradients.fixed import LOOKS


class Propagation(TorchFunctionMode):
    """Within the block, and in the present thread, operations on boxes give boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.with_graph = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in LOOKS or not _has_boxes((*args, *kwargs.values())):
            return func(*args, **kwargs)
        operation, name = OPERATIONS.get(func), getattr(func, "__name__", str(func))
        if operation is None:
            raise Unbounded(name)
        if kwargs.get("out") is not None:
            raise Unbounded(f"{name} into another tensor")
        if self.with_graph and not torch.is_grad_enabled():
            # Margins need the slope of every operation, and gradients of one's own are none.
            raise Unbounded(f"{name} without a graph, or in an autograd function of its own")
        return operation(func, *args, **kwargs)


def _has_boxes(values: Any) -> bool:
    several = (tuple, list)
    return any(isinstance(v, Box) or (isinstance(v, several) and _has_boxes(v)) for v in values)


def _layer(func: Any, x: Any, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> Box:
    """A linear layer or a convolution."""
    if _has_boxes((weight, bias)):
        raise Unbounded("a layer whose weights depend on the input")
    spread, magnitudes = x.spread, weight.abs()
    if spread.averaged and x.ndim < max(2, weight.ndim):
        raise Nonlinear(f"{func.__name__} of all time steps as one sample")
    centre = func(x.centre, weight, bias, *rest)
    if spread.reach is None:
        radius = func(spread.radius, magnitudes, None, *rest)
    else:
        fall, rise = spread.reach.changes(func, weight, *rest)
        centre, radius = centre + (rise - fall) / 2, (rise + fall) / 2
    with torch.no_grad():
        error = widening(weight[0].numel(), x)
        slack = magnitudes.flatten(1).sum(1) * (x.most * error + spread.slack.amax())
        if bias is not None:
            slack = slack + bias.abs() * error
    slack = _channels(slack, weight.ndim - 2)
    return Box.around(centre, Spread(radius, slack, averaged=spread.averaged))


def _channels(values: Tensor, axes: int) -> Tensor:
    """Values [C] of channels, before so many other axes."""
    return values.view(-1, *(1,) * axes)


def _norm(
    func: Any,
    x: Box,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Box:
    """Batch norm in evaluation mode, which multiplies every channel by a number."""
    if training or running_mean is None or running_var is None:
        raise Unbounded("batch norm by the statistics of the batch")
    centre = func(x.centre, running_mean, running_var, weight, bias, False, momentum, eps)
    scale = (running_var + eps).rsqrt()
    scale = (scale if weight is None else scale * weight).abs()
    axes = x.ndim - 2
    radius = x.spread.radius * _channels(scale, axes)
    with torch.no_grad():
        error = scale * (x.most + running_mean.abs()) + (0.0 if bias is None else bias.abs())
        slack = x.spread.slack * _channels(scale, axes) + _channels(error * widening(8, x), axes)
    return Box.around(centre, Spread(radius, slack, averaged=x.spread.averaged))


def _pooling(func: Any, x: Box, size: Any, *rest: Any, **options: Any) -> Box:
    """Averages over windows of one size, or sums over them, divided by another number."""
    divisor = rest[4] if len(rest) > 4 else options.get("divisor_override")
    area = _area(size, x)
    factor = area / abs(divisor) if divisor else 1
    return _averages(func, x, area, size, *rest, factor=factor, **options)


def _adaptive(func: Any, x: Box, sides: Any) -> Box:
    """Averages over as many windows as are asked for."""
    outputs = func(x.centre, sides).shape[2:]
    terms = prod(ceil(a / b) + 1 for a, b in zip(x.shape[2:], outputs, strict=True))
    return _averages(func, x, terms, sides)


def _area(size: Any, x: Box) -> int:
    sides = size if isinstance(size, tuple | list) else (size,) * (x.ndim - 2)
    return prod(sides)


def _averages(func: Any, x: Box, terms: int, *args: Any, factor: float = 1, **options: Any) -> Box:
    centre, radius = (func(part, *args, **options) for part in (x.centre, x.spread.radius))
    if factor != 1:
        radius = radius.abs()
    slack = factor * (x.spread.slack.amax() + x.most * widening(terms, x))
    return Box.around(centre, Spread(radius, slack, averaged=x.spread.averaged))


def _monotone(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A function that never falls where an input rises; its values are some of the input's."""
    if options.get("inplace"):
        raise Unbounded(f"{func.__name__} in place")
    if x.spread.averaged:
        raise Nonlinear(func.__name__)
    low, high = (func(end, *args, **options) for end in x.ends)
    centre = (low + high) / 2
    slack = 4 * torch.finfo(x.dtype).eps * x.most
    return Box.around(bent(centre), Spread((high - low) / 2, slack))


def _moved(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places whose last axes, where they are the same, mean the same."""
    if any(isinstance(value, torch.dtype) for value in (*args, *options.values())):
        raise Unbounded(f"{func.__name__} as another dtype")
    y = x.mapped(lambda part: func(part, *args, **options))
    steps = x.spread.averaged
    # Rows of one step each stay so in smaller rows, and in those of whole steps.
    if steps and y.stride(0) and y.shape[0] % len(x) and y.shape[0] % steps:
        raise Nonlinear(func.__name__)
    return y


def _permuted(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places."""
    if x.spread.averaged and not _keeps_time(func, x, *args, **options):
        raise Nonlinear(f"{func.__name__} that moves the axis of time")
    whole = replace(x.spread, slack=x.spread.slack.amax())
    return Box.around(x.centre, whole).mapped(lambda part: func(part, *args, **options))


def _keeps_time(func: Any, x: Box, *args: Any, **options: Any) -> bool:
    """Whether the first axis is what it was, or one of several steps that are all the same."""
    if func is Tensor.__getitem__:
        if isinstance(args[0], int):
            return not x.stride(0)
        if not all(i is Ellipsis or isinstance(i, int | slice) for i in _several(args[0])):
            return False
    before = torch.empty(x.shape, device="meta")
    after = func(before, *args, **options)
    return bool(after.ndim) and (len(after), after.stride(0)) == (len(x), before.stride(0))


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _parts(func: Any, x: Box, *args: Any, **options: Any) -> tuple[Box, ...]:
    """Values in several parts."""
    if x.spread.averaged:
        raise Nonlinear(func.__name__)
    count = len(func(x.centre, *args, **options))
    whole = Box.around(x.centre, replace(x.spread, slack=x.spread.slack.amax()))
    return tuple(
        whole.mapped(lambda part, i=i: func(part, *args, **options)[i])  # type: ignore[misc]
        for i in range(count)
    )


def _joined(func: Any, boxes: Any, *args: Any, **options: Any) -> Box:
    """Several tensors in one."""
    several = [box if isinstance(box, Box) else _exact(box, boxes) for box in boxes]
    averaged = max(box.spread.averaged for box in several)
    if averaged != min(box.spread.averaged for box in several):
        raise Unbounded(f"{func.__name__} of means and steps")
    if averaged:
        axis = int(args[0] if args else options.get("dim", 0))
        joins_time = axis in (0, -several[0].ndim - (func is torch.stack))
        if joins_time or not all(_fits_means(part, several[0]) for part in boxes):
            raise Nonlinear(f"{func.__name__} of what changes over time")
    centre = func([box.centre for box in several], *args, **options)
    radius = func([box.spread.radius for box in several], *args, **options)
    slack = torch.stack([box.spread.slack.amax() for box in several]).amax()
    return Box.around(centre, Spread(radius, slack, averaged=averaged))


def _exact(value: Tensor, boxes: Any) -> Box:
    """A tensor of which every value is known."""
    averaged = next(box.spread.averaged for box in boxes if isinstance(box, Box))
    return Box.around(
        value, Spread(torch.zeros_like(value), value.new_zeros(()), averaged=averaged)
    )


def _fits_means(value: Any, x: Box) -> bool:
    """Whether a value, another box or one that is no box, is the same at every step of means x."""
    if not x.spread.averaged or isinstance(value, Box) or not isinstance(value, Tensor):
        return True
    return value.ndim < x.ndim or (value.ndim == x.ndim and len(value) == 1)


def _unchanged(
    func: Any, x: Box, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Box:
    """Dropout, which changes nothing in evaluation mode."""
    if training:
        raise Unbounded("dropout in training mode")
    return x


def _same(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A tensor of the same values."""
    if func(x.centre, *args, **options).dtype != x.dtype:
        raise Unbounded(f"{func.__name__} to another precision")
    return x


def _sum(func: Any, a: Any, b: Any, *, alpha: float = 1, out: None = None) -> Box:
    """a + alpha b, also of a box and a number."""
    return _added(a, b, alpha)


def _difference(func: Any, a: Any, b: Any, *, alpha: float = 1, out: None = None) -> Box:
    """a - alpha b."""
    return _added(a, b, -alpha)


def _reversed_difference(func: Any, a: Any, b: Any) -> Box:
    return _added(_scaled(a, -1.0), b, 1)


def _added(a: Any, b: Any, alpha: float) -> Box:
    boxes = [part for part in (a, b) if isinstance(part, Box)]
    box, *others = boxes
    centre = torch.add(*(_plain(part, box) for part in (a, b)), alpha=alpha)
    if not others:
        if not _fits_means(b if box is a else a, box):
            raise Nonlinear("a sum with what changes over time")
        factor = abs(alpha) if box is b else 1
        reach = box.spread.reach if factor == 1 and box is a else None
        size = _size(b if box is a else a)
        radius = (box.spread.radius * factor).expand_as(centre)
        most = box.most * factor + size * (abs(alpha) if box is a else 1)
        slack = box.spread.slack.amax() * factor + most * widening(1, box)
        return Box.around(centre, Spread(radius, slack, averaged=box.spread.averaged, reach=reach))
    other = others[0]
    if box.spread.averaged != other.spread.averaged:
        raise Unbounded("a sum of means and steps")
    factor = abs(alpha)
    radius = box.spread.radius + factor * other.spread.radius
    most = box.most + factor * other.most
    slack = box.spread.slack + factor * other.spread.slack + most * widening(1, box)
    return Box.around(centre, Spread(radius, slack, averaged=box.spread.averaged))


def _plain(value: Any, like: Box) -> Any:
    if isinstance(value, Box):
        return value.centre
    return value if isinstance(value, Tensor) else like.new_tensor(value)


def _size(value: Any) -> Any:
    return value.detach().abs().amax() if isinstance(value, Tensor) else abs(value)


def _product(func: Any, a: Any, b: Any, *, out: None = None) -> Box:
    """A box times numbers."""
    if isinstance(a, Box) and isinstance(b, Box):
        raise Unbounded("a product of two values that depend on the input")
    return _scaled(a, b) if isinstance(a, Box) else _scaled(b, a)


def _quotient(func: Any, a: Any, b: Any, *, rounding_mode: None = None, out: None = None) -> Box:
    """A box divided by numbers."""
    if not isinstance(a, Box) or isinstance(b, Box) or rounding_mode is not None:
        raise Unbounded("a division by a value that depends on the input, or with rounding")
    return _scaled(a, 1 / b, a.centre / b)


def _negative(func: Any, x: Box) -> Box:
    return _scaled(x, -1.0)


def _scaled(x: Box, factor: Any, centre: Tensor | None = None) -> Box:
    if not _fits_means(factor, x):
        raise Nonlinear("a product with what changes over time")
    centre = x.centre * factor if centre is None else centre
    size, spread = abs(factor), x.spread
    radius = (spread.radius * size).expand_as(centre)
    slack = _size(factor) * (spread.slack.amax() + x.most * widening(2, x))
    positive = bool((factor > 0).all()) if isinstance(factor, Tensor) else factor > 0
    reach = spread.reach.scaled(factor) if spread.reach is not None and positive else None
    return Box.around(centre, Spread(radius, slack, averaged=spread.averaged, reach=reach))


def _mean(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """The mean over some axes. Of means over the steps up to each one the last is that over all."""
    return _reduced(func, x, 1, *args, **options)


def _total(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """The sum over some axes."""
    return _reduced(func, x, len(x), *args, **options)


def _reduced(func: Any, x: Box, factor: int, *args: Any, **options: Any) -> Box:
    spread = x.spread
    if spread.averaged:
        if args != (0,) or options.get("keepdim") or len(x) != spread.averaged:
            raise Nonlinear(f"{func.__name__} over other axes than time")
        last = x.mapped(lambda part: part[-1])
        last = Box.around(last.centre, replace(last.spread, averaged=0))
        return last if factor == 1 else _scaled(last, float(factor))
    centre = func(x.centre, *args, **options)
    radius = func(spread.radius, *args, **options)
    terms = max(1, x.numel() // max(1, centre.numel()))
    over_time = args == (0,) and not options.get("keepdim")
    each = spread.slack if over_time else spread.slack.amax()
    slack = each + x.most * widening(terms, x)
    if func in (torch.sum, Tensor.sum):
        slack = slack * terms
    return Box.around(centre, Spread(radius, slack))


Operation = Callable[..., Any]


def _named(operation: Operation, *names: str) -> dict[Any, Operation]:
    """The operation for functions of torch and methods of tensors of these names."""
    kinds = (torch, Tensor, functional)
    return {getattr(k, name): operation for k in kinds for name in names if hasattr(k, name)}


OPERATIONS: Mapping[Any, Operation] = MappingProxyType(
    _named(_layer, "linear", "conv1d", "conv2d", "conv3d")
    | {functional.batch_norm: _norm}
    | _named(_pooling, "avg_pool1d", "avg_pool2d", "avg_pool3d")
    | _named(_adaptive, *(f"adaptive_avg_pool{n}d" for n in (1, 2, 3)))
    | _named(_monotone, *(f"max_pool{n}d" for n in (1, 2, 3)), "relu")
    | _named(_monotone, *(f"adaptive_max_pool{n}d" for n in (1, 2, 3)))
    | _named(_moved, "flatten", "reshape", "view", "unflatten", "expand", "contiguous", "clone")
    | _named(_permuted, "transpose", "permute", "squeeze", "unsqueeze", "movedim", "__getitem__")
    | _named(_parts, "chunk", "split", "unbind")
    | _named(_joined, "cat", "stack")
    | _named(_unchanged, "dropout", *(f"dropout{n}d" for n in (1, 2, 3)))
    | _named(_same, "to", "float", "double", "detach")
    | _named(_sum, "add", "__add__", "__radd__")
    | _named(_difference, "sub", "__sub__")
    | _named(_reversed_difference, "__rsub__", "rsub")
    | _named(_product, "mul", "__mul__", "__rmul__")
    | _named(_quotient, "div", "__truediv__", "true_divide")
    | _named(_negative, "neg", "__neg__")
    | _named(_mean, "mean")
    | _named(_total, "sum")
)
"""Operations of which bounds are known."""
