"""Operations of torch on boxes: a table, and the mode that looks operations up.

The interval around an output contains every output for inputs of their intervals, and
what rounding can make of it. Affine layers follow Gowal et al. (ICCV 2019): the
centre becomes W m + b, the radius |W| r.

Every operation takes the function of torch that was called, and its arguments, with
boxes among them. It returns a box, or says by an exception why it has no bounds.

In comments m, r and b are the centre, the radius and the budget of the input x. Rounding
before the operation has moved the input by its slack at most. The operation passes the
slack on, as it does with the radius, and adds its own rounding: `widening` times a bound
of the absolute values that it computes."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from art_snn.bounds.box import (
    Box,
    Nonlinear,
    Unbounded,
    charge_rounding,
    has_boxes,
    view_first,
    widening,
)
from art_snn.bounds.margins import enter_function
from art_snn.dynamics import Dynamics, most
from art_snn.gradients.fixed import METADATA, without_saving
from art_snn.gradients.synapse import filter_current
from art_snn.pooling import tiles
from art_snn.running.context import RUN


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
            # Margins need the slope of every operation; a custom gradient is another
            # slope.
            raise Unbounded(
                f"{name} without a graph, or in an autograd function of its own"
            )

        return operation(func, *args, **kwargs)


def _apply_affine(
    func: Any, x: Any, weight: Tensor, bias: Tensor | None = None, *rest: Any
) -> Box:
    """Apply a linear layer or a convolution: y = W x + b."""
    if has_boxes((weight, bias)):
        raise Unbounded("a layer whose weights depend on the input")

    # Of one sample the layer takes the axis of time for that of samples, or of channels.
    is_one_sample = x.ndim < max(2, weight.ndim)
    if is_one_sample and x.averaged:
        raise Nonlinear(f"{func.__name__} of all time steps as one sample")

    centre = without_saving(func, x.centre, weight, bias, *rest)
    sizes = weight.abs()
    if x.budget is None or (is_one_sample and x.repeats):
        # Of intervals: |W (x - m)| <= |W| r.
        radius = func(x.radius, sizes, None, *rest)
    else:
        # Of a ball, where sum ((x - m) / b)^2 <= 1, by Cauchy and Schwarz:
        # |W (x - m)| = |sum (W b) ((x - m) / b)| <= sqrt(sum W^2 b^2).
        radius = func(x.budget.square(), weight.square(), None, *rest).sqrt()

    with torch.no_grad():
        axes = weight.ndim - 2
        error = widening(weight[0].numel(), x)
        offset = None if bias is None else bias.abs()

        # One bound per channel: |W x + b| <= max |x| sum |W| + |b|.
        total = view_first(sizes.flatten(1).sum(1), axes)
        largest = x.magnitude * total
        if offset is not None:
            largest = largest + view_first(offset, axes)

        # Earlier rounding: |W (x - x')| <= max |x - x'| sum |W|.
        before = x.slack.amax() * total
        slack = largest * error + before
        magnitude = largest.amax() + slack.amax()

        # This takes another pass, which convolutions of a training step go without.
        is_cheap = weight.ndim == 2 or RUN.get().constant_weights
        if is_cheap and (x.keeps_sign or x.constant or not x.averaged):
            # One bound per value: |W x + b| <= |W| (|m| + r) + |b|. Of many terms
            # most are far below the largest one.
            sharper = func(x.centre.abs().add_(x.radius), sizes, offset, *rest)
            # This sum is itself rounded.
            sharper.mul_(error).add_(before).mul_(1 + error)
            slack = torch.minimum(slack, sharper, out=sharper)

    return Box(centre, radius, slack, magnitude, x.averaged)


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
    """Apply batch norm in evaluation mode: y = w (x - mean) / sqrt(variance + eps) + b."""
    if training or mean is None or variance is None:
        raise Unbounded("batch norm by the statistics of the batch")

    # Channels stand on axis 1: the factor is w / sqrt(v).
    axes = x.ndim - 2
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    centre = x.centre * view_first(scale, axes) + view_first(shift, axes)
    scale = scale.abs()
    factor = view_first(scale, axes)

    with torch.no_grad():
        # |y| <= |w| / sqrt(v) (max |x| + |mean|) + |b|
        largest = scale * (x.magnitude + mean.abs())
        if bias is not None:
            largest = largest + bias.abs()
        rounding = view_first(largest * widening(8, x), axes)
        slack = x.slack * factor + rounding
        magnitude = largest.amax() + slack.amax()

    # |y(x) - y(m)| = |w| / sqrt(v) |x - m| <= |w| / sqrt(v) r
    radius = x.radius * factor
    return Box(centre, radius, slack, magnitude, x.averaged)


def _filter_by_synapse(func: Any, x: Box, dynamics: Dynamics) -> Box:
    """Filter currents over time: i[t] = a i[t-1] + x[t], times a gain, with a >= 0."""
    if x.averaged:
        raise Nonlinear("a synapse, which filters currents over time")
    centre = func(x.centre, dynamics)
    # As no weight of the sum is negative, |i - i(m)| <= i(r).
    radius = func(x.radius, dynamics)

    # |i| <= gain k max |x|, where k = 1 + a + ... + a^(T - 1).
    remembered = min(len(x), 1 / (1 - most(dynamics.synapse)))
    total = most(dynamics.synapse_gain) * remembered
    magnitude = x.magnitude * total
    # Rounding moves each computed i[t] by some units of |i|, of which later steps keep a share.
    rounding = charge_rounding(magnitude, x.dtype) * remembered
    before = func(x.slack, dynamics) if x.slack.shape == x.shape else x.slack * total
    return Box(centre, radius, before + rounding)


def _average_windows(func: Any, x: Box, size: Any, *rest: Any, **options: Any) -> Box:
    """Average over windows of one size, or divide the sums over them by another number."""
    terms = prod(size) if isinstance(size, tuple | list) else size ** _count_axes(func)
    divisor = rest[4] if len(rest) > 4 else options.get("divisor_override")
    factor = terms / divisor if divisor else 1

    # tiles() knows windows of planes alone, and no options.
    apart = func is functional.avg_pool2d and not options and tiles(x.shape, size, *rest)

    def pool(part: Tensor) -> Tensor:
        return without_saving(func, part, size, *rest, **options)

    return _average(pool, x, terms, apart, factor)


def _average_adaptively(func: Any, x: Box, sides: Any) -> Box:
    """Average over as many windows as are asked for."""
    axes = _count_axes(func)
    after = func(x.centre, sides).shape[-axes:]
    pairs = list(zip(x.shape[-axes:], after, strict=True))
    apart = all(a % b == 0 for a, b in pairs)

    terms = prod(a // b if apart else ceil(a / b) + 1 for a, b in pairs)
    return _average(lambda part: func(part, sides), x, terms, apart)


def _count_axes(func: Any) -> int:
    """Read from its name over how many axes a function pools: pool2d over two."""
    return int(func.__name__.removesuffix("d")[-1])


def _average(
    function: Callable[[Tensor], Tensor],
    x: Box,
    terms: int,
    apart: bool,
    factor: float = 1,
) -> Box:
    """Take means over windows, each times a factor.

    :param terms: the most values in a window.
    :param apart: True if all windows have as many values, and no value is in two of
        them."""
    centre = function(x.centre)
    radius = function(x.radius)
    if factor != 1:
        # |f mean (x - m)| <= |f| mean r
        radius = radius.abs()

    budget = None
    if x.budget is not None and apart and factor == 1:
        # |mean (x - m)| <= sqrt(sum b^2) / n where sum ((x - m) / b)^2 <= 1, in n terms.
        budget = (function(x.budget.square()) / terms).sqrt()

    # |f mean x| <= |f| max |x|
    slack = abs(factor) * (x.slack.amax() + x.magnitude * widening(terms, x))
    return replace(
        x,
        centre=centre,
        radius=radius,
        slack=slack,
        largest=abs(factor) * x.magnitude + slack,
        budget=budget,
        keeps_sign=x.keeps_sign and factor > 0,
    )


def _apply_monotone(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Apply a function that never falls where an input rises, and gives values of the input."""
    if options.get("inplace") or (args and func is functional.relu):
        raise Unbounded(f"{func.__name__} in place")
    if x.averaged:
        raise Nonlinear(func.__name__)

    # As f never falls, f(m - r) <= f(x) <= f(m + r).
    low, high = [func(end, *args, **options) for end in x.ends]
    slack = 4 * torch.finfo(x.dtype).eps * x.magnitude
    radius = (high - low) / 2
    centre = enter_function((low + high) / 2, radius)
    return Box(centre, radius, slack, x.magnitude)


def _add(func: Any, a: Any, b: Any, *, alpha: float = 1) -> Box:
    """Add a + alpha b, of two boxes or of a box and a number."""
    like = a if isinstance(a, Box) else b
    first, second = _as_boxes(func, (a, b))
    factor = abs(alpha)
    centre = torch.add(first.centre, second.centre, alpha=alpha)

    # |a + alpha b - (m + alpha n)| <= r + |alpha| q
    radius = first.radius + factor * second.radius

    # |a + alpha b| <= max |a| + |alpha| max |b|
    magnitude = first.magnitude + factor * second.magnitude
    slack = first.slack + factor * second.slack
    slack = slack + magnitude * widening(1, like)

    # A sum of a box and numbers moves the box. That of two boxes has no budget any more.
    budget = None
    repeats = 0
    constant = False
    if not (isinstance(a, Box) and isinstance(b, Box)):
        slack = slack.amax()
        repeats = like.repeats
        constant = like.constant
        if centre.shape == first.shape:
            budget = first.budget
    elif any(box.slack.shape == box.shape for box in (first, second)):
        slack = slack.expand_as(centre)

    # Intervals of steps give a smaller magnitude.
    bound = magnitude if like.averaged else None
    return Box(
        centre, radius, slack, bound, like.averaged, budget, repeats, constant=constant
    )


def _as_boxes(func: Any, values: Any) -> list[Box]:
    """Return boxes as they are, and numbers and tensors as boxes without width."""
    like = next(value for value in values if isinstance(value, Box))
    boxes = []
    for value in values:
        if not isinstance(value, Box):
            centre = value if isinstance(value, Tensor) else like.centre.new_tensor(value)
            _require_means(centre, like, func.__name__)
            radius = torch.zeros_like(centre)
            value = Box(centre, radius, centre.new_zeros(()), averaged=like.averaged)

        if value.averaged != like.averaged:
            raise Unbounded(f"{func.__name__} of means and steps")
        boxes.append(value)
    return boxes


def _require_means(values: Tensor, x: Box, name: str) -> None:
    """Refuse values that are not the same at every step of means x: they have another mean."""
    is_steady = values.ndim < x.ndim or (values.ndim == x.ndim and len(values) == 1)
    if x.averaged and not is_steady:
        raise Nonlinear(f"{name} of what changes over time")


def _multiply(func: Any, a: Any, b: Any) -> Box:
    """Multiply a box by numbers."""
    if not isinstance(a, Box):
        return _scale(b, a)
    if isinstance(b, Box):
        raise Unbounded("a product of two values that depend on the input")
    return _scale(a, b)


def _divide(func: Any, a: Any, b: Any, *, rounding_mode: None = None) -> Box:
    """Divide a box by numbers."""
    if not isinstance(a, Box) or isinstance(b, Box) or rounding_mode is not None:
        raise Unbounded(
            "a division by a value that depends on the input, or with rounding"
        )
    return _scale(a, 1 / b, a.centre / b)


def _scale(x: Box, factor: Any, centre: Tensor | None = None) -> Box:
    """Multiply a box by numbers, unless its new centre is given."""
    if centre is None:
        centre = x.centre * factor

    if not isinstance(factor, Tensor):
        factor = x.centre.new_tensor(factor)
    _require_means(factor, x, "a product")
    size = factor.abs()
    largest = size.detach().amax()
    # |f (x - m)| <= |f| r
    radius = (x.radius * size).expand_as(centre)

    # |f x| <= |f| max |x|
    magnitude = x.magnitude * largest
    slack = largest * x.slack.amax() + magnitude * widening(2, x)

    budget = None
    if x.budget is not None and centre.shape == x.shape and (factor > 0).all():
        # sum (f (x - m) / (f b))^2 = sum ((x - m) / b)^2 <= 1
        budget = x.budget * factor
    return replace(
        x,
        centre=centre,
        radius=radius,
        slack=slack,
        # Intervals of steps give a smaller magnitude.
        largest=magnitude if x.averaged else None,
        budget=budget,
        keeps_sign=False,
    )


def _reduce(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Take the mean or the sum over some axes."""
    is_sum = func in (torch.sum, Tensor.sum)
    over_time = args == (0,) and not options.get("keepdim")
    if x.averaged:
        if not over_time or len(x) != x.averaged:
            raise Nonlinear(f"{func.__name__} over other axes than time")

        # The last of the means over the steps up to each one is that over all.
        last = x.rearrange(lambda part: part[-1])
        # The network adds the steps up: |mean x| <= max |x|.
        slack = last.slack + x.magnitude * widening(len(x), x)
        last = replace(last, slack=slack, averaged=0)

        if is_sum and len(x) > 1:
            return _scale(last, float(len(x)))
        return last

    # |sum (x - m)| <= sum r, and |mean (x - m)| <= mean r.
    centre = func(x.centre, *args, **options)
    radius = func(x.radius, *args, **options)

    before = x.slack
    if not over_time:
        before = before.amax()
    elif before.shape == x.shape:
        before = before.mean(0)

    # |mean x| <= max |x|, and |sum x| <= n max |x| of n terms.
    terms = max(1, x.numel() // max(1, centre.numel()))
    slack = before + x.magnitude * widening(terms, x)
    if is_sum:
        slack = slack * terms
    return Box(centre, radius, slack)


def _reshape(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Give values other axes, of which the last ones, if they are the same, mean the same."""
    if any(isinstance(value, torch.dtype) for value in (*args, *options.values())):
        raise Unbounded(f"{func.__name__} as another dtype")

    y = x.rearrange(lambda part: func(part, *args, **options))
    steps = x.averaged or x.repeats
    # Rows of one step each stay so in smaller rows, and in those of whole steps.
    mixes = steps and y.stride(0) and len(y) % len(x) and len(y) % steps
    if x.averaged and mixes:
        raise Nonlinear(func.__name__)

    if y.numel() == x.numel() and not mixes:
        return y
    if y.shape[1:] == x.shape and not steps:
        # One step is expanded to several.
        return replace(y, repeats=len(y))
    # A value may now stand several times, which the budget does not allow.
    return replace(y, budget=None, repeats=0)


def _permute(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Move values to other places."""
    index = args[0] if func is Tensor.__getitem__ else None
    takes_step = isinstance(index, int)
    # Integers and slices take every value once at most.
    once = int | slice | type(None) | type(Ellipsis)
    several = index if isinstance(index, tuple) else (index,)
    takes_once = all(isinstance(part, once) for part in several)
    mixes = x.averaged or x.repeats
    if takes_step:
        # One of several equal steps stands for all of them.
        mixes = mixes and x.stride(0)
    elif takes_once:
        mixes = mixes and not _keeps_first(func, x, *args, **options)
    if x.averaged and mixes:
        raise Nonlinear(f"{func.__name__} that moves the axis of time")

    # All values get the largest slack, wherever they go.
    whole = replace(x, slack=x.slack.amax())
    y = whole.rearrange(lambda part: func(part, *args, **options))

    if takes_step:
        return replace(y, repeats=0)
    if mixes or not takes_once:
        # A value may now stand twice, which the budget does not allow.
        return replace(y, budget=None, repeats=0)
    return y


def _keeps_first(func: Any, x: Box, *args: Any, **options: Any) -> bool:
    """True if the first axis stays what it was."""
    # Only shapes count, so tensors without memory tell it.
    before = torch.empty(x.shape, device="meta")
    after = func(before, *args, **options)
    if not after.ndim:
        return False
    return len(after) == len(before) and after.stride(0) == before.stride(0)


def _split(func: Any, x: Box, *args: Any, **options: Any) -> tuple[Box, ...]:
    """Split values into several parts."""
    if x.averaged:
        raise Nonlinear(func.__name__)

    # Each part is cut from all tensors of the box.
    count = len(func(x.centre, *args, **options))
    whole = replace(x, slack=x.slack.amax())
    return tuple(
        whole.rearrange(lambda part, i=i: func(part, *args, **options)[i])  # type: ignore[misc]  # Of a lambda with a default.
        for i in range(count)
    )


def _join(func: Any, boxes: Any, *args: Any, **options: Any) -> Box:
    """Join boxes and tensors, which are known exactly."""
    several = _as_boxes(func, boxes)
    averaged = several[0].averaged
    centre = func([box.centre for box in several], *args, **options)
    radius = func([box.radius for box in several], *args, **options)

    slack = torch.stack([box.slack.amax() for box in several]).amax()
    magnitude = None
    if averaged:
        # Means may be joined along any axis but time.
        axis = int(args[0] if args else options.get("dim", 0))
        if axis in (0, -centre.ndim):
            raise Nonlinear(f"{func.__name__} of what changes over time")
        magnitude = torch.stack([box.magnitude for box in several]).amax()
    return Box(centre, radius, slack, magnitude, averaged)


def _drop_out(func: Any, x: Box, p: float, training: bool, **options: Any) -> Box:
    """Apply dropout, which changes nothing in evaluation mode."""
    if training:
        raise Unbounded("dropout in training mode")
    return x


def _convert(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Convert a box to a tensor of the same values."""
    if func(x.centre, *args, **options).dtype != x.dtype:
        raise Unbounded(f"{func.__name__} to another precision")
    return x


_NAMES: dict[str, Any] = {
    "linear conv1d conv2d conv3d": _apply_affine,
    "avg_pool1d avg_pool2d avg_pool3d": _average_windows,
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d": _average_adaptively,
    "relu max_pool1d max_pool2d max_pool3d": _apply_monotone,
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d": _apply_monotone,
    "flatten reshape view unflatten expand contiguous clone": _reshape,
    "transpose permute squeeze unsqueeze movedim __getitem__": _permute,
    "chunk split unbind": _split,
    "cat stack": _join,
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout": _drop_out,
    "to float double detach": _convert,
    "add __add__ __radd__": _add,
    "sub __sub__": lambda func, a, b, alpha=1: _add(func, a, b, alpha=-alpha),
    "rsub __rsub__": lambda func, a, b: _add(func, _scale(a, -1.0), b),
    "mul __mul__ __rmul__": _multiply,
    "div __truediv__ true_divide": _divide,
    "neg __neg__": lambda func, x: _scale(x, -1.0),
    "mean sum": _reduce,
}
_OPERATIONS = {
    functional.batch_norm: _apply_batch_norm,
    filter_current: _filter_by_synapse,
} | {
    getattr(place, name): operation
    for names, operation in _NAMES.items()
    for name in names.split()
    for place in (torch, Tensor, functional)
    if hasattr(place, name)
}
"""Functions of torch and methods of tensors that have bounds, and what they do to
boxes."""
