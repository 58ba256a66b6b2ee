"""Operations of torch on boxes: a table, and the mode that looks it up.

The interval around an output contains every output for inputs of their intervals, and what rounding
can make of it. Affine layers are as those of Gowal et al. (ICCV 2019): centre W m + b, radius
|W| r."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from art_snn.bounds.box import Box, Enclosure, Nonlinear, Unbounded, has_boxes, widening
from art_snn.bounds.margins import mark_nonlinear
from art_snn.gradients.fixed import METADATA, without_saving
from art_snn.pooling import tiles
from art_snn.running.run import RUN


def _apply_affine(func: Any, x: Any, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> Box:
    """A linear layer or a convolution."""
    if has_boxes((weight, bias)):
        raise Unbounded("a layer whose weights depend on the input")

    enclosure = x.enclosure
    # Then the axis of time is taken for that of samples, or of channels.
    is_one_sample = x.ndim < max(2, weight.ndim)
    if is_one_sample and enclosure.averaged:
        raise Nonlinear(f"{func.__name__} of all time steps as one sample")

    centre = without_saving(func, x.centre, weight, bias, *rest)
    magnitudes = weight.abs()
    if enclosure.budget is None or (is_one_sample and enclosure.repeats):
        # |W (x - m)| <= |W| r
        radius = func(enclosure.radius, magnitudes, None, *rest)
    else:
        # |W (x - m)| <= sqrt(sum W^2 b^2), by Cauchy and Schwarz, where sum ((x - m) / b)^2 <= 1.
        radius = func(enclosure.budget.square(), weight.square(), None, *rest).sqrt()

    with torch.no_grad():
        axes = weight.ndim - 2
        error = widening(weight[0].numel(), x)
        offset = None if bias is None else bias.abs()
        size = _view_channels(magnitudes.flatten(1).sum(1), axes)

        # |W x + b| <= max |x| sum |W| + |b|, of which rounding is a share.
        values = x.magnitude * size
        if offset is not None:
            values = values + _view_channels(offset, axes)
        before = enclosure.slack.amax() * size
        slack = values * error + before
        magnitude = values.amax() + slack.amax()

        # Convolutions of a training step do without, as it is another one.
        is_cheap = weight.ndim == 2 or RUN.get().constant_weights
        if is_cheap and (enclosure.unmixed or not enclosure.averaged):
            # |W x + b| <= |W| (|m| + r) + |b|. Of many terms most are far below the largest one.
            # The sum is itself rounded.
            sums = func(x.centre.abs().add_(enclosure.radius), magnitudes, offset, *rest)
            sums.mul_(error).add_(before).mul_(1 + error)
            slack = torch.minimum(slack, sums, out=sums)
    return Box.around(centre, Enclosure(radius, slack, magnitude, enclosure.averaged))


def _view_channels(values: Tensor, axes: int) -> Tensor:
    """Values [C] of channels, before so many other axes."""
    return values.view(-1, *(1,) * axes)


def _apply_batch_norm(
    func: Any,
    x: Box,
    mean: Tensor | None,
    variance: Tensor | None,
    *,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Box:
    """Batch norm in evaluation mode, which multiplies every channel by a number."""
    if training or mean is None or variance is None:
        raise Unbounded("batch norm by the statistics of the batch")

    centre = without_saving(func, x.centre, mean, variance, weight, bias, False, momentum, eps)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    scale = scale.abs()
    axes = x.ndim - 2
    factor = _view_channels(scale, axes)

    with torch.no_grad():
        # |y| <= |w| / sqrt(v) (max |x| + |mean|) + |b|, of which rounding is a share.
        values = scale * (x.magnitude + mean.abs())
        if bias is not None:
            values = values + bias.abs()
        slack = x.enclosure.slack * factor + _view_channels(values * widening(8, x), axes)
        magnitude = values.amax() + slack.amax()
    # |w (x - m)| <= |w| r
    radius = x.enclosure.radius * factor
    return Box.around(centre, Enclosure(radius, slack, magnitude, x.enclosure.averaged))


def _average_windows(func: Any, x: Box, size: Any, *rest: Any, **options: Any) -> Box:
    """Averages over windows of one size, or sums over them, divided by another number."""
    sides = size if isinstance(size, tuple | list) else (size,) * _count_axes(func)
    terms = prod(sides)
    divisor = rest[4] if len(rest) > 4 else options.get("divisor_override")
    factor = terms / divisor if divisor else 1
    apart = func is functional.avg_pool2d and not options and tiles(x.shape, size, *rest)

    def pool(part: Tensor) -> Tensor:
        return without_saving(func, part, size, *rest, **options)

    return _average(pool, x, terms, apart, factor)


def _average_adaptively(func: Any, x: Box, sides: Any) -> Box:
    """Averages over as many windows as are asked for."""
    axes = _count_axes(func)
    pairs = list(zip(x.shape[-axes:], func(x.centre, sides).shape[-axes:], strict=True))
    apart = all(a % b == 0 for a, b in pairs)
    terms = prod(a // b if apart else ceil(a / b) + 1 for a, b in pairs)
    return _average(lambda part: func(part, sides), x, terms, apart)


def _count_axes(func: Any) -> int:
    """Axes that a pooling goes over, as its name says: those before are samples and channels."""
    return int(func.__name__.removesuffix("d")[-1])


def _average(
    function: Callable[[Tensor], Tensor], x: Box, terms: int, apart: bool, factor: float = 1
) -> Box:
    """Means over windows of so many values at most, each times a factor.

    :param apart: whether all windows have as many values, and none is in two of them."""
    centre, radius = function(x.centre), function(x.enclosure.radius)
    if factor != 1:
        # |f mean (x - m)| <= |f| mean r
        radius = radius.abs()

    budget = None
    if x.enclosure.budget is not None and apart and factor == 1:
        # |mean (x - m)| <= sqrt(sum b^2) / n where sum ((x - m) / b)^2 <= 1, in n terms.
        budget = (function(x.enclosure.budget.square()) / terms).sqrt()

    # |f mean x| <= |f| max |x|, of which rounding is a share.
    slack = abs(factor) * (x.enclosure.slack.amax() + x.magnitude * widening(terms, x))
    enclosure = replace(
        x.enclosure,
        radius=radius,
        slack=slack,
        magnitude=abs(factor) * x.magnitude + slack,
        budget=budget,
        unmixed=x.enclosure.unmixed and factor > 0,
    )
    return Box.around(centre, enclosure)


def _apply_monotone(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A function that never falls where an input rises; its values are some of the input's."""
    if options.get("inplace") or (args and func is functional.relu):
        raise Unbounded(f"{func.__name__} in place")
    if x.enclosure.averaged:
        raise Nonlinear(func.__name__)

    # A function that never falls has f(m - r) <= f(x) <= f(m + r).
    low, high = (func(end, *args, **options) for end in x.ends)
    centre, radius = (low + high) / 2, (high - low) / 2
    slack = 4 * torch.finfo(x.dtype).eps * x.magnitude
    return Box.around(mark_nonlinear(centre), Enclosure(radius, slack, x.magnitude))


class Propagation(TorchFunctionMode):
    """Within the block, and in the present thread, operations on boxes give boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.with_graph = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in METADATA or not has_boxes((*args, *kwargs.values())):
            return func(*args, **kwargs)

        name = getattr(func, "__name__", str(func))
        operation = _OPERATIONS.get(func)
        if operation is None:
            raise Unbounded(name)
        if kwargs.pop("out", None) is not None:
            raise Unbounded(f"{name} into another tensor")
        if self.with_graph and not torch.is_grad_enabled():
            # Margins need the slope of every operation; a custom gradient is another slope.
            raise Unbounded(f"{name} without a graph, or in an autograd function of its own")
        return operation(func, *args, **kwargs)


def _add(func: Any, a: Any, b: Any, *, alpha: float = 1) -> Box:
    """a + alpha b, of two boxes or of a box and a number."""
    boxes = [part for part in (a, b) if isinstance(part, Box)]
    like = boxes[0]
    averaged = like.enclosure.averaged
    if not all(_fits_means(part, like) for part in (a, b)):
        raise Nonlinear("a sum with what changes over time")
    if any(box.enclosure.averaged != averaged for box in boxes):
        raise Unbounded("a sum of means and steps")

    factor = abs(alpha)
    first, second = _as_box(a, like), _as_box(b, like)
    centre = torch.add(first.centre, second.centre, alpha=alpha)
    # |a + alpha b - (m + alpha n)| <= r + |alpha| q
    radius = first.enclosure.radius + factor * second.enclosure.radius
    # |a + alpha b| <= max |a| + |alpha| max |b|, of which rounding is a share.
    magnitude = first.magnitude + factor * second.magnitude
    slack = first.enclosure.slack + factor * second.enclosure.slack
    slack = slack + magnitude * widening(1, like)

    budget, repeats = None, 0
    if len(boxes) == 1:
        slack, repeats = slack.amax(), like.enclosure.repeats
        if centre.shape == first.shape:
            budget = first.enclosure.budget
    elif any(box.enclosure.slack.shape == box.shape for box in boxes):
        slack = slack.expand_as(centre)
    # Intervals of steps give a smaller magnitude.
    bound = magnitude if averaged else None
    return Box.around(centre, Enclosure(radius, slack, bound, averaged, budget, repeats))


def _as_box(value: Any, like: Box) -> Box:
    """A box as it is, and a number or a tensor as one without width."""
    if isinstance(value, Box):
        return value
    centre = _as_tensor(value, like)
    zeros, averaged = torch.zeros_like(centre), like.enclosure.averaged
    return Box.around(centre, Enclosure(zeros, centre.new_zeros(()), averaged=averaged))


def _as_tensor(value: Any, like: Box) -> Tensor:
    return value if isinstance(value, Tensor) else like.centre.new_tensor(value)


def _fits_means(value: Any, x: Box) -> bool:
    """True where a value, a box or not, is the same at every step of means x."""
    if not x.enclosure.averaged or isinstance(value, Box) or not isinstance(value, Tensor):
        return True
    return value.ndim < x.ndim or (value.ndim == x.ndim and len(value) == 1)


def _multiply(func: Any, a: Any, b: Any) -> Box:
    """A box times numbers."""
    if isinstance(a, Box) and isinstance(b, Box):
        raise Unbounded("a product of two values that depend on the input")
    return _scale(a, b) if isinstance(a, Box) else _scale(b, a)


def _divide(func: Any, a: Any, b: Any, *, rounding_mode: None = None) -> Box:
    """A box divided by numbers."""
    if not isinstance(a, Box) or isinstance(b, Box) or rounding_mode is not None:
        raise Unbounded("a division by a value that depends on the input, or with rounding")
    return _scale(a, 1 / b, a.centre / b)


def _scale(x: Box, factor: Any, centre: Tensor | None = None) -> Box:
    if not _fits_means(factor, x):
        raise Nonlinear("a product with what changes over time")
    if centre is None:
        centre = x.centre * factor

    factor = _as_tensor(factor, x)
    largest = factor.detach().abs().amax()
    # |f (x - m)| <= |f| r
    radius = (x.enclosure.radius * factor.abs()).expand_as(centre)
    # |f x| <= |f| max |x|, of which rounding is a share.
    magnitude = x.magnitude * largest
    slack = largest * x.enclosure.slack.amax() + magnitude * widening(2, x)

    budget = None
    if x.enclosure.budget is not None and centre.shape == x.shape and (factor > 0).all():
        # sum (f (x - m) / (f b))^2 <= 1
        budget = x.enclosure.budget * factor
    enclosure = replace(
        x.enclosure,
        radius=radius,
        slack=slack,
        # Intervals of steps give a smaller magnitude.
        magnitude=magnitude if x.enclosure.averaged else None,
        budget=budget,
        unmixed=False,
    )
    return Box.around(centre, enclosure)


def _reduce(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """The mean or the sum over some axes.

    Of means over the steps up to each one the last is that over all."""
    enclosure = x.enclosure
    sums = func in (torch.sum, Tensor.sum)
    over_time = args == (0,) and not options.get("keepdim")
    if enclosure.averaged:
        if not over_time or len(x) != enclosure.averaged:
            raise Nonlinear(f"{func.__name__} over other axes than time")
        last = x.rearrange(lambda part: part[-1])
        # The network adds the steps up.
        slack = last.enclosure.slack + x.magnitude * widening(len(x), x)
        last = last.revise(slack=slack, averaged=0)
        return _scale(last, float(len(x))) if sums and len(x) > 1 else last

    # |sum (x - m)| <= sum r, and the same of means.
    centre = func(x.centre, *args, **options)
    radius = func(enclosure.radius, *args, **options)
    each = enclosure.slack
    if not over_time:
        each = each.amax()
    elif each.shape == x.shape:
        each = each.mean(0)
    # |mean x| <= max |x|, of which rounding is a share.
    terms = max(1, x.numel() // max(1, centre.numel()))
    slack = each + x.magnitude * widening(terms, x)
    return Box.around(centre, Enclosure(radius, slack * terms if sums else slack))


def _reshape(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places whose last axes, where they are the same, mean the same."""
    if any(isinstance(value, torch.dtype) for value in (*args, *options.values())):
        raise Unbounded(f"{func.__name__} as another dtype")
    y = x.rearrange(lambda part: func(part, *args, **options))
    steps = x.enclosure.averaged or x.enclosure.repeats
    # Rows of one step each stay so in smaller rows, and in those of whole steps.
    mixes = bool(steps and y.stride(0) and y.shape[0] % len(x) and y.shape[0] % steps)
    if x.enclosure.averaged and mixes:
        raise Nonlinear(func.__name__)
    if y.numel() == x.numel() and not mixes:
        return y
    if y.shape[1:] == x.shape and not steps:
        return y.revise(repeats=len(y))
    # A perturbation of a value may now be one of several.
    return y.revise(budget=None, repeats=0)


def _permute(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places."""
    enclosure = x.enclosure
    mixes = (enclosure.averaged or enclosure.repeats) and not _keeps_time(func, x, *args, **options)
    if enclosure.averaged and mixes:
        raise Nonlinear(f"{func.__name__} that moves the axis of time")

    y = _level_slack(x).rearrange(lambda part: func(part, *args, **options))
    index = args[0] if func is Tensor.__getitem__ else None
    if isinstance(index, int):
        return y.revise(repeats=0)
    if mixes or not _is_slice(index):
        return y.revise(budget=None, repeats=0)
    return y


def _level_slack(x: Box) -> Box:
    """The same with one slack for all values, wherever they go."""
    return x.revise(slack=x.enclosure.slack.amax())


def _keeps_time(func: Any, x: Box, *args: Any, **options: Any) -> bool:
    """True where the first axis is what it was, or one of several steps that are all equal."""
    if func is Tensor.__getitem__:
        if isinstance(args[0], int):
            return not x.stride(0)
        if not _is_slice(args[0]):
            return False
    before = torch.empty(x.shape, device="meta")
    after = func(before, *args, **options)
    return bool(after.ndim) and (len(after), after.stride(0)) == (len(x), before.stride(0))


def _is_slice(index: Any) -> bool:
    """True where an index takes every value once at most."""
    several = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in several)


def _split(func: Any, x: Box, *args: Any, **options: Any) -> tuple[Box, ...]:
    """Values in several parts."""
    if x.enclosure.averaged:
        raise Nonlinear(func.__name__)
    count = len(func(x.centre, *args, **options))
    whole = _level_slack(x)
    return tuple(
        whole.rearrange(lambda part, i=i: func(part, *args, **options)[i])  # type: ignore[misc]
        for i in range(count)
    )


def _join(func: Any, boxes: Any, *args: Any, **options: Any) -> Box:
    """Several tensors in one, of which those that are no boxes are known exactly."""
    like = next(part for part in boxes if isinstance(part, Box))
    averaged = like.enclosure.averaged
    several = [_as_box(part, like) for part in boxes]
    if any(box.enclosure.averaged != averaged for box in several):
        raise Unbounded(f"{func.__name__} of means and steps")
    if averaged:
        axis = int(args[0] if args else options.get("dim", 0))
        joins_time = axis in (0, -like.ndim - (func is torch.stack))
        if joins_time or not all(_fits_means(part, like) for part in boxes):
            raise Nonlinear(f"{func.__name__} of what changes over time")

    centre = func([box.centre for box in several], *args, **options)
    radius = func([box.enclosure.radius for box in several], *args, **options)
    slack = torch.stack([box.enclosure.slack.amax() for box in several]).amax()
    magnitude = torch.stack([box.magnitude for box in several]).amax() if averaged else None
    return Box.around(centre, Enclosure(radius, slack, magnitude, averaged))


def _drop_out(func: Any, x: Box, p: float, training: bool, **options: Any) -> Box:
    """Dropout, which changes nothing in evaluation mode."""
    if training:
        raise Unbounded("dropout in training mode")
    return x


def _convert(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A tensor of the same values."""
    if func(x.centre, *args, **options).dtype != x.dtype:
        raise Unbounded(f"{func.__name__} to another precision")
    return x


def _named(operation: Callable[..., Any], *names: str) -> dict[Any, Callable[..., Any]]:
    """The operation for all functions of torch and methods of tensors of these names."""
    kinds = (torch, Tensor, functional)
    return {getattr(k, name): operation for k in kinds for name in names if hasattr(k, name)}


_POOLING = "pool1d", "pool2d", "pool3d"

_OPERATIONS: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    _named(_apply_affine, "linear", "conv1d", "conv2d", "conv3d")
    | {functional.batch_norm: _apply_batch_norm}
    | _named(_average_windows, *(f"avg_{p}" for p in _POOLING))
    | _named(_average_adaptively, *(f"adaptive_avg_{p}" for p in _POOLING))
    | _named(_apply_monotone, "relu", *(f"{a}max_{p}" for a in ("", "adaptive_") for p in _POOLING))
    | _named(_reshape, "flatten", "reshape", "view", "unflatten", "expand", "contiguous", "clone")
    | _named(_permute, "transpose", "permute", "squeeze", "unsqueeze", "movedim", "__getitem__")
    | _named(_split, "chunk", "split", "unbind")
    | _named(_join, "cat", "stack")
    | _named(_drop_out, "dropout", *(f"dropout{n}d" for n in (1, 2, 3)))
    | _named(_convert, "to", "float", "double", "detach")
    | _named(_add, "add", "__add__", "__radd__")
    | _named(lambda f, a, b, alpha=1: _add(f, a, b, alpha=-alpha), "sub", "__sub__")
    | _named(lambda f, a, b: _add(f, _scale(a, -1.0), b), "__rsub__", "rsub")
    | _named(_multiply, "mul", "__mul__", "__rmul__")
    | _named(_divide, "div", "__truediv__", "true_divide")
    | _named(lambda f, x: _scale(x, -1.0), "neg", "__neg__")
    | _named(_reduce, "mean", "sum")
)
"""Operations of torch that have bounds, and what they do to boxes."""
