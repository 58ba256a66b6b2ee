"""What operations do to boxes that move values and change none."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded, fits_means


def moved(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places whose last axes, where they are the same, mean the same."""
    if any(isinstance(value, torch.dtype) for value in (*args, *options.values())):
        raise Unbounded(f"{func.__name__} as another dtype")
    y = x.mapped(lambda part: func(part, *args, **options))
    steps = x.spread.averaged or x.spread.repeats
    # Rows of one step each stay so in smaller rows, and in those of whole steps.
    mixes = bool(steps and y.stride(0) and y.shape[0] % len(x) and y.shape[0] % steps)
    if x.spread.averaged and mixes:
        raise Nonlinear(func.__name__)
    if y.numel() == x.numel():
        return _boxed(y) if mixes else y
    if y.shape[1:] == x.shape and not steps:
        return Box.around(y.centre, replace(y.spread, repeats=len(y)))
    return _boxed(y)


def _boxed(x: Box) -> Box:
    """The same with all perturbations of the box, as one of a value may now be of several."""
    return Box.around(x.centre, replace(x.spread, reach=None, repeats=0, away=None))


def permuted(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places."""
    spread = x.spread
    mixes = bool(spread.averaged or spread.repeats) and not _keeps_time(func, x, *args, **options)
    if spread.averaged and mixes:
        raise Nonlinear(f"{func.__name__} that moves the axis of time")
    whole = replace(spread, slack=spread.slack.amax(), away=None)
    y = Box.around(x.centre, whole).mapped(lambda part: func(part, *args, **options))
    index = args[0] if func is Tensor.__getitem__ else None
    if isinstance(index, int):
        return Box.around(y.centre, replace(y.spread, repeats=0))
    return _boxed(y) if mixes or not _chooses(index) else y


def _keeps_time(func: Any, x: Box, *args: Any, **options: Any) -> bool:
    """Whether the first axis is what it was, or one of several steps that are all the same."""
    if func is Tensor.__getitem__:
        if isinstance(args[0], int):
            return not x.stride(0)
        if not _chooses(args[0]):
            return False
    before = torch.empty(x.shape, device="meta")
    after = func(before, *args, **options)
    return bool(after.ndim) and (len(after), after.stride(0)) == (len(x), before.stride(0))


def _chooses(index: Any) -> bool:
    """Whether an index takes every value once at most."""
    return all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in _several(index))


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def divided(func: Any, x: Box, *args: Any, **options: Any) -> tuple[Box, ...]:
    """Values in several parts."""
    if x.spread.averaged:
        raise Nonlinear(func.__name__)
    count = len(func(x.centre, *args, **options))
    whole = Box.around(x.centre, replace(x.spread, slack=x.spread.slack.amax(), away=None))
    return tuple(
        whole.mapped(lambda part, i=i: func(part, *args, **options)[i])  # type: ignore[misc]
        for i in range(count)
    )


def joined(func: Any, boxes: Any, *args: Any, **options: Any) -> Box:
    """Several tensors in one."""
    several = [box if isinstance(box, Box) else _exact(box, boxes) for box in boxes]
    averaged = max(box.spread.averaged for box in several)
    if averaged != min(box.spread.averaged for box in several):
        raise Unbounded(f"{func.__name__} of means and steps")
    if averaged:
        axis = int(args[0] if args else options.get("dim", 0))
        joins_time = axis in (0, -several[0].ndim - (func is torch.stack))
        if joins_time or not all(fits_means(part, several[0]) for part in boxes):
            raise Nonlinear(f"{func.__name__} of what changes over time")
    centre = func([box.centre for box in several], *args, **options)
    radius = func([box.spread.radius for box in several], *args, **options)
    slack = torch.stack([box.spread.slack.amax() for box in several]).amax()
    most = torch.stack([box.most for box in several]).amax() if averaged else None
    return Box.around(centre, Spread(radius, slack, most, averaged))


def _exact(value: Tensor, boxes: Any) -> Box:
    """A tensor of which every value is known."""
    averaged = next(box.spread.averaged for box in boxes if isinstance(box, Box))
    return Box.around(
        value, Spread(torch.zeros_like(value), value.new_zeros(()), averaged=averaged)
    )


def unchanged(
    func: Any, x: Box, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Box:
    """Dropout, which changes nothing in evaluation mode."""
    if training:
        raise Unbounded("dropout in training mode")
    return x


def same(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """A tensor of the same values."""
    if func(x.centre, *args, **options).dtype != x.dtype:
        raise Unbounded(f"{func.__name__} to another precision")
    return x
