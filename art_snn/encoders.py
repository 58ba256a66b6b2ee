"""Encoders: how an input [N, ...] becomes T time steps [T, N, ...]."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from typing_extensions import Self

from art_snn.checks import invalid, require_count, set_fields
from art_snn.dynamics import MOST_STEPS


class Encoder(Protocol):
    """Anything that maps [N, ...] to [T, N, ...] differentiably; an nn.Module may be one.

    One of any number of steps has a method `with_steps(steps)`: the same with so many."""

    def __call__(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> time steps [T, N, ...]."""
        ...


def describe_encoder(encoder: object) -> str:
    """An encoder in words."""
    words = {Direct: "direct encoding", Poisson: "Poisson encoding", Frames: "event frames"}
    return words.get(type(encoder), repr(encoder))


@dataclass(frozen=True)
class _Repeating:
    steps: int = 8

    def __post_init__(self) -> None:
        remedy = "The papers use 4 to 10 time steps."
        steps = require_count("steps", self.steps, up_to=MOST_STEPS, remedy=remedy)
        set_fields(self, steps=steps)

    def with_steps(self, steps: int) -> Self:
        """The same with another number of time steps."""
        return type(self)(steps)


class Direct(_Repeating):
    """Every time step is the input itself: an expanded view, without a copy.

    :param steps: number of time steps T, 100,000 at most.
    :raises ValueError: when steps is no whole number in that range."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.expand(self.steps, *x.shape)


class Poisson(_Repeating):
    """Every element fires at every step with its value as the probability.

    Values outside [0, 1] count as 0 and 1. The gradient is passed straight through: the derivative
    of a spike by its probability is taken as 1. Draws come from torch's random state.

    The parameter is that of :class:`Direct`."""

    def __call__(self, x: Tensor) -> Tensor:
        spikes: Tensor = _Bernoulli.apply(x.expand(self.steps, *x.shape))  # type: ignore[no-untyped-call]
        return spikes


class _Bernoulli(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, probability: Tensor) -> Tensor:
        draws = torch.rand(probability.shape, dtype=probability.dtype, device=probability.device)
        return (draws < probability).to(probability.dtype)

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor) -> Tensor:
        return grad_spikes


@dataclass(frozen=True)
class Frames:
    """The input already has a time axis: event frames [N, T, ...], counts or any other values.

    :param steps: number of frames T that every input must have, or None to accept any.
    :raises ValueError: when steps < 1, or when an input has another number of frames."""

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            set_fields(self, steps=Direct(self.steps).steps)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] < 1 or self.steps not in (None, x.shape[1]):
            expected = f"frames [N, {self.steps or 'T'}, ...]"
            remedy = "The time axis comes second, after the batch."
            raise invalid("x", expected, f"shape {list(x.shape)}", remedy)
        # A view that repeats one frame would pass for a constant input, and the whole gradient for
        # that of its first frame.
        x = x.contiguous() if x.stride(1) == 0 else x
        return x.transpose(0, 1)
