"""Layers on boxes: linear layers, convolutions, batch norm, pooling.

Affine layers are those of Gowal et al. (ICCV 2019): centre W m + b, radius |W| r."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Box, Enclosure, Nonlinear, Unbounded, has_boxes
from art_snn.bounds.margins import mark_nonlinear
from art_snn.bounds.rounding import widening
from art_snn.gradients.fixed import WEIGHTS_HELD, lightly
from art_snn.pooling import tiles


def _apply_affine(func: Any, x: Any, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> Box:
    """A linear layer or a convolution."""
    if has_boxes((weight, bias)):
        raise Unbounded("a layer whose weights depend on the input")
    enclosure, magnitudes = x.enclosure, weight.abs()
    if enclosure.averaged and x.ndim < max(2, weight.ndim):
        raise Nonlinear(f"{func.__name__} of all time steps as one sample")
    centre = lightly(func, x.centre, weight, bias, *rest)
    as_one = enclosure.repeats and x.ndim < max(2, weight.ndim)
    if enclosure.budget is None or as_one:
        radius = func(enclosure.radius, magnitudes, None, *rest)
    else:
        # Cauchy and Schwarz.
        squares = func(enclosure.budget.scale.square(), weight.square(), None, *rest)
        radius = enclosure.budget.eps * squares.sqrt()
    with torch.no_grad():
        error, axes = widening(weight[0].numel(), x), weight.ndim - 2
        size = _view_channels(magnitudes.flatten(1).sum(1), axes)
        offset = None if bias is None else bias.abs()
        values = x.magnitude * size
        values = values if offset is None else torch.add(_view_channels(offset, axes), values)
        slack = values * error + enclosure.slack.amax() * size
        magnitude = values.amax() + slack.amax()
        # Convolutions of a training step do without, as it is another one.
        cheap = weight.ndim == 2 or WEIGHTS_HELD.get()
        if cheap and (enclosure.unmixed or not enclosure.averaged):
            # Of many terms most are far below the largest one. The sum is itself rounded.
            sums = func(x.centre.abs().add_(enclosure.radius), magnitudes, offset, *rest)
            sums.mul_(error).add_(enclosure.slack.amax() * size).mul_(1 + error)
            slack = torch.minimum(slack, sums, out=sums)
    return Box.around(centre, Enclosure(radius, slack, magnitude, enclosure.averaged))


def _view_channels(values: Tensor, axes: int) -> Tensor:
    """Values [C] of channels, before so many other axes."""
    return values.view(-1, *(1,) * axes)


def _apply_batch_norm(
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
    centre = lightly(func, x.centre, running_mean, running_var, weight, bias, False, momentum, eps)
    axes, scale = x.ndim - 2, (running_var + eps).rsqrt()
    scale = (scale if weight is None else scale * weight).abs()
    radius = x.enclosure.radius * _view_channels(scale, axes)
    with torch.no_grad():
        error = scale * (x.magnitude + running_mean.abs()) + (0.0 if bias is None else bias.abs())
        slack = x.enclosure.slack * _view_channels(scale, axes)
        slack = slack + _view_channels(error * widening(8, x), axes)
        magnitude = error.amax() + slack.amax()
    return Box.around(centre, Enclosure(radius, slack, magnitude, x.enclosure.averaged))


def _average_windows(func: Any, x: Box, size: Any, *rest: Any, **options: Any) -> Box:
    """Averages over windows of one size, or sums over them, divided by another number."""
    divisor = rest[4] if len(rest) > 4 else options.get("divisor_override")
    area = prod(size if isinstance(size, tuple | list) else (size,) * _count_axes(func))
    apart = func is functional.avg_pool2d and not options and tiles(x.shape, size, *rest)

    def pool(part: Tensor) -> Tensor:
        return lightly(func, part, size, *rest, **options)

    return _average(pool, x, area, apart, area / divisor if divisor else 1)


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
    enclosure, budget = x.enclosure, x.enclosure.budget
    centre, radius = function(x.centre), function(enclosure.radius)
    if factor != 1:
        radius = radius.abs()
    if budget is not None:
        scale = (function(budget.scale.square()) / terms).sqrt()
        budget = replace(budget, scale=scale) if apart and factor == 1 else None
    slack = abs(factor) * (enclosure.slack.amax() + x.magnitude * widening(terms, x))
    magnitude = abs(factor) * x.magnitude + slack
    changed = replace(enclosure, radius=radius, slack=slack, magnitude=magnitude, budget=budget)
    return Box.around(centre, replace(changed, unmixed=enclosure.unmixed and factor > 0))


def _apply_monotone(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A function that never falls where an input rises; its values are some of the input's."""
    if options.get("inplace") or (args and func is functional.relu):
        raise Unbounded(f"{func.__name__} in place")
    if x.enclosure.averaged:
        raise Nonlinear(func.__name__)
    low, high = (func(end, *args, **options) for end in x.ends)
    centre = (low + high) / 2
    slack = 4 * torch.finfo(x.dtype).eps * x.magnitude
    return Box.around(mark_nonlinear(centre), Enclosure((high - low) / 2, slack, x.magnitude))


def functions_named(*names: str) -> frozenset[Any]:
    """Functions of torch and methods of tensors of these names."""
    kinds = (torch, Tensor, functional)
    return frozenset(getattr(k, name) for k in kinds for name in names if hasattr(k, name))


_POOLING = "pool1d", "pool2d", "pool3d"

LAYERS: Mapping[Any, Callable[..., Box]] = MappingProxyType(
    dict.fromkeys(functions_named("linear", "conv1d", "conv2d", "conv3d"), _apply_affine)
    | {functional.batch_norm: _apply_batch_norm}
    | dict.fromkeys(functions_named(*(f"avg_{p}" for p in _POOLING)), _average_windows)
    | dict.fromkeys(functions_named(*(f"adaptive_avg_{p}" for p in _POOLING)), _average_adaptively)
    | dict.fromkeys(functions_named(*(f"adaptive_max_{p}" for p in _POOLING)), _apply_monotone)
    | dict.fromkeys(functions_named(*(f"max_{p}" for p in _POOLING), "relu"), _apply_monotone)
)
"""Layers that have bounds, and what they do to boxes."""
