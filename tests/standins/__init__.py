"""Classes that look and compute as those of the spiking frameworks, which tests need not install.

Each carries the qualified name of the class it stands for, keeps its state where that one keeps it
and computes in the same order, so that spikes agree bit for bit; tests/frameworks compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def of(module: str) -> Callable[[T], T]:
    """Gives a class or function the name that it would have in that module."""

    def named(thing: T) -> T:
        thing.__module__ = module
        return thing

    return named


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Any, fires: Any) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return fires(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.slope(ctx.saved_tensors[0]), None, None


def spike(
    x: Tensor,
    slope: Callable[[Tensor], Tensor],
    fires: Callable[[Tensor], Tensor] = lambda x: (x >= 0).to(x),
) -> Tensor:
    """Spikes by the distance of potentials to the threshold, with a slope of that distance."""
    return _Spike.apply(x, slope, fires)
