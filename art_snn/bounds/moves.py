"""What operations do to boxes that move values and change none."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded


def moved(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places whose last axes, where they are the same, mean the same."""
    if any(isinstance(value, torch.dtype) for value in (*args, *options.values())):
        raise Unbounded(f"{func.__name__} as another dtype")
    return x.mapped(lambda part: func(part, *args, **options))


def permuted(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """Values at other places."""
    index = args[0] if func is Tensor.__getitem__ else None
    # A mean over steps is that of every step where all are the same.
    if index is not None and x.spread.averaged and x.stride(0):
        raise Nonlinear("a choice of time steps")
    whole = replace(x.spread, slack=x.spread.slack.amax())
    return Box.around(x.centre, whole).mapped(lambda part: func(part, *args, **options))


def parts(func: Any, x: Box, *args: Any, **options: Any) -> tuple[Box, ...]:
    """Values in several parts."""
    if x.spread.averaged:
        raise Nonlinear(func.__name__)
    count = len(func(x.centre, *args, **options))
    whole = Box.around(x.centre, replace(x.spread, slack=x.spread.slack.amax()))
    return tuple(
        whole.mapped(lambda part, i=i: func(part, *args, **options)[i])  # type: ignore[misc]
        for i in range(count)
    )


def joined(func: Any, boxes: Any, *args: Any, **options: Any) -> Box:
    """Several tensors in one."""
    several = [box if isinstance(box, Box) else _exact(box, boxes) for box in boxes]
    averaged = {box.spread.averaged for box in several}
    if averaged == {True, False}:
        raise Unbounded(f"{func.__name__} of means and steps")
    centre = func([box.centre for box in several], *args, **options)
    radius = func([box.spread.radius for box in several], *args, **options)
    slack = torch.stack([box.spread.slack.amax() for box in several]).amax()
    return Box.around(centre, Spread(radius, slack, averaged=True in averaged))


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
