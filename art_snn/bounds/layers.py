"""What layers do to boxes: linear, convolution, batch norm, average_pooling.

Affine layers are those of Gowal et al. (ICCV 2019): centre W m + b, radius |W| r."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded, has_boxes, nothing
from art_snn.bounds.gates import bent
from art_snn.bounds.rounding import widening
from art_snn.bounds.windows import departure
from art_snn.gradients.light import lightly
from art_snn.pooling import Pair, average, pair, tiles


def layer(func: Any, x: Any, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> Box:
    """A linear layer or a convolution."""
    if has_boxes((weight, bias)):
        raise Unbounded("a layer whose weights depend on the input")
    spread, magnitudes = x.spread, weight.abs()
    if spread.averaged and x.ndim < max(2, weight.ndim):
        raise Nonlinear(f"{func.__name__} of all time steps as one sample")
    centre = lightly(func, x.centre, weight, bias, *rest)
    as_one = spread.repeats and x.ndim < max(2, weight.ndim)
    clean, fewer = centre, None
    if spread.reach is None or as_one:
        radius = _radius(func, spread.radius, magnitudes, *rest)
    else:
        *fewer, (fall, rise) = spread.reach.changes(func, weight, *rest)
        centre, radius = centre + (rise - fall) / 2, (rise + fall) / 2
    with torch.no_grad():
        error, size = widening(weight[0].numel(), x), magnitudes.flatten(1).sum(1)
        most = x.most * size if bias is None else torch.add(bias.abs(), x.most * size)
        slack = most * error + spread.slack.amax() * size
        most = most.amax() + slack.amax()
        if weight.ndim == 2 and (spread.unmixed or not spread.averaged):
            slack = torch.minimum(slack, _summed(func, x, magnitudes, bias, error, size))
    if slack.ndim == 1:
        slack = _channels(slack, weight.ndim - 2) if x.ndim >= weight.ndim else slack.amax()
    y = Box.around(centre, Spread(radius, slack, most, spread.averaged))
    away = departure(
        x, y, (clean, fewer), (func, weight, rest), lambda z: layer(func, z, weight, bias, *rest)
    )
    return Box.around(centre, replace(y.spread, away=away))


def _radius(func: Any, radius: Tensor, magnitudes: Tensor, *rest: Any) -> Tensor:
    """|W| r; nothing of nothing."""
    if not any(radius.stride()) and not radius.any():
        shape = func(radius.to("meta"), magnitudes.to("meta"), None, *rest).shape
        return nothing(radius, shape)
    output: Tensor = func(radius, magnitudes, None, *rest)
    return output


def _summed(
    func: Any, x: Box, magnitudes: Tensor, bias: Tensor | None, error: float, size: Tensor
) -> Tensor:
    """The slack of a linear layer, whose many terms are mostly far below the largest one.

    It is itself computed with rounding."""
    largest = x.centre.abs().add_(x.spread.radius)
    sums = func(largest, magnitudes, None if bias is None else bias.abs())
    slack: Tensor = sums.mul_(error).add_(x.spread.slack.amax() * size).mul_(1 + error)
    return slack


def _channels(values: Tensor, axes: int) -> Tensor:
    """Values [C] of channels, before so many other axes."""
    return values.view(-1, *(1,) * axes)


def norm(
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
    settings = (running_mean, running_var, weight, bias, False, momentum, eps)
    centre = lightly(func, x.centre, *settings)
    axes, scale = x.ndim - 2, (running_var + eps).rsqrt()
    signed = _channels(scale if weight is None else scale * weight, axes)
    scale = signed.flatten().abs()
    radius = x.spread.radius * signed.abs()
    with torch.no_grad():
        error = scale * (x.most + running_mean.abs()) + (0.0 if bias is None else bias.abs())
        slack = x.spread.slack * _channels(scale, axes) + _channels(error * widening(8, x), axes)
        most = error.amax() + slack.amax()
    away = x.spread.away
    if away is not None:
        away = away.scaled(signed, lambda clean: norm(func, clean, *settings))
    return Box.around(centre, Spread(radius, slack, most, x.spread.averaged, away=away))


def average_pooling(func: Any, x: Box, size: Any, *rest: Any, **options: Any) -> Box:
    """Averages over windows of one size, or sums over them, divided by another number."""
    divisor = rest[4] if len(rest) > 4 else options.get("divisor_override")
    area = prod(size if isinstance(size, tuple | list) else (size,) * _axes(func))
    pooled = partial(_pooled, func, size=size, rest=rest, **options)
    apart = func is functional.avg_pool2d and not options and tiles(x.shape, *_sides(size, *rest))
    return _averages(pooled, x, area, apart, area / divisor if divisor else 1)


def adaptive(func: Any, x: Box, sides: Any) -> Box:
    """Averages over as many windows as are asked for."""
    axes = _axes(func)
    pairs = list(zip(x.shape[-axes:], func(x.centre, sides).shape[-axes:], strict=True))
    apart = all(a % b == 0 for a, b in pairs)
    terms = prod(a // b if apart else ceil(a / b) + 1 for a, b in pairs)
    return _averages(lambda part: func(part, sides), x, terms, apart)


def _axes(func: Any) -> int:
    """Axes that a pooling goes over, as its name says: those before are samples and channels."""
    return int(func.__name__.removesuffix("d")[-1])


def _sides(size: Any, stride: Any = None, padding: Any = 0, *rest: Any) -> tuple[Pair, Pair, Pair]:
    """Sides of windows, steps between them, and margins of an average pooling of planes."""
    return pair(size), pair(size if stride is None else stride), pair(padding)


def _pooled(func: Any, x: Tensor, size: Any, rest: tuple[Any, ...], **options: Any) -> Tensor:
    """func(x, size, *rest), in fewer passes over memory where windows tile planes on a CPU."""
    plain = func is functional.avg_pool2d and x.ndim == 4 and x.device.type == "cpu"
    if plain and not options and rest[4:] in ((), (None,)):
        kernel, stride, padding = _sides(size, *rest)
        if tiles(x.shape, kernel, stride, padding):
            return average(x, kernel)
    return lightly(func, x, size, *rest, **options)


def _averages(
    function: Callable[[Tensor], Tensor], x: Box, terms: int, apart: bool, factor: float = 1
) -> Box:
    """Means over windows of so many values at most, each times a factor.

    :param apart: whether all windows have as many values, and none is in two of them."""
    spread = x.spread
    centre, radius = function(x.centre), spread.radius
    # Averages of one number are that number.
    steady = not any(radius.stride()) and apart and factor == 1
    radius = radius.flatten()[:1].expand(centre.shape) if steady else function(radius)
    reach = away = None
    if factor != 1:
        radius = radius.abs()
    elif apart:
        reach = None if spread.reach is None else spread.reach.pooled(function, terms)
        if spread.away is not None:
            away = spread.away.pooled(
                lambda clean: _averages(function, clean, terms, apart), centre.shape
            )
    slack = abs(factor) * (spread.slack.amax() + x.most * widening(terms, x))
    most = abs(factor) * x.most + slack
    spread = replace(spread, radius=radius, slack=slack, most=most, reach=reach, away=away)
    return Box.around(centre, replace(spread, unmixed=spread.unmixed and factor > 0))


def monotone(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A function that never falls where an input rises; its values are some of the input's."""
    if options.get("inplace") or (args and func is functional.relu):
        raise Unbounded(f"{func.__name__} in place")
    if x.spread.averaged:
        raise Nonlinear(func.__name__)
    low, high = (func(end, *args, **options) for end in x.ends)
    centre = (low + high) / 2
    slack = 4 * torch.finfo(x.dtype).eps * x.most
    return Box.around(bent(centre), Spread((high - low) / 2, slack, x.most))
