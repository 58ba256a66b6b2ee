"""Encoders: how an input [N, ...] becomes T time steps [T, N, ...]."""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from typing_extensions import Self

from art_snn.certified_regions import EventChanges, L1Ball
from art_snn.checks import invalid, require, require_count, require_number, set_fields
from art_snn.dynamics import MOST_STEPS
from art_snn.gradients import parse_object
from art_snn.gradients.shared import straight_through


class Encoder(Protocol):
    """Anything that maps [N, ...] to [T, N, ...] differentiably; an nn.Module may be one.

    An encoder of any number of steps has a method `with_steps(steps)`, which gives the
    same encoder of so many. An encoder that draws has `draws` True. It may have a method
    `certified(probability)` for :func:`art_snn.metrics.certify`, which gives a
    :class:`~art_snn.certified_regions.L1Ball` or
    :class:`~art_snn.certified_regions.EventChanges`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> time steps [T, N, ...]."""
        ...


def draws(encoder: object) -> bool:
    """True if encodings of the same input differ from pass to pass, as the encoder says."""
    return bool(getattr(encoder, "draws", False))


def describe_encoder(encoder: object) -> str:
    """An encoder in words; one of a user's own by its repr."""
    if isinstance(encoder, KNOWN):
        return encoder.words.format(**vars(encoder))
    return repr(encoder)


@dataclass(frozen=True)
class _Repeating:
    steps: int = 8
    draws: ClassVar[bool] = False
    words: ClassVar[str]

    def __post_init__(self) -> None:
        steps = require_count(
            "steps",
            self.steps,
            up_to=MOST_STEPS,
            remedy="The papers use 4 to 10 time steps.",
        )
        set_fields(self, steps=steps)

    def with_steps(self, steps: int) -> Self:
        """The same with another number of time steps."""
        return replace(self, steps=steps)


class Direct(_Repeating):
    """Every time step is the input itself: an expanded view, without a copy.

    :param steps: number of time steps T, 100,000 at most.
    :raises ValueError: when steps is no whole number in that range."""

    words = "direct encoding"

    def __call__(self, x: Tensor) -> Tensor:
        return x.expand(self.steps, *x.shape)


class Poisson(_Repeating):
    """Every element fires at every step with its value as the probability.

    Values outside [0, 1] count as 0 and 1. The gradient is passed straight through: the
    derivative of a spike by its probability is taken as 1. Draws come from torch's random
    state.

    The parameter is that of :class:`Direct`."""

    draws = True
    levels = 1
    words = "Poisson encoding"

    def __call__(self, x: Tensor) -> Tensor:
        encoded = x.expand(self.steps, *x.shape)
        with torch.no_grad():
            scaled = (self.levels * x).clamp(0, self.levels)
            below = scaled.floor()
            draws = torch.rand(encoded.shape, dtype=x.dtype, device=x.device)
            values = (below + (draws < scaled - below)) / self.levels
        return straight_through(values, encoded)

    def certified(self, probability: ArrayLike) -> L1Ball:
        """The l1 radius r within which a class stays more likely than not.

        With one uniform draw per value and step for both, the levels of x and x + d
        differ with probability min(1, N abs(d)). So all of them agree with probability
        (1 - N r)^T at least, and that of a class falls by 1 - (1 - N r)^T at most. It
        stays above 1/2 up to::

            r = (1 - (3/2 - probability)^(1/T)) / N

        No larger radius holds for every network of probability 1. For T = N = 1 it is
        probability - 1/2, as in Mukhoty et al. (ICLR 2024), whose radius holds for that
        case alone.

        :param probability: of the class of each sample (N,), or a lower bound of it."""
        surplus = np.maximum(_probabilities(probability) - 0.5, 0.0)
        return L1Ball(-np.expm1(np.log1p(-surplus) / self.steps) / self.levels)


@dataclass(frozen=True)
class SQE(Poisson):
    """Stochastic quantised encoding (arXiv 2610.01558, of which we know the abstract alone).

    At every step a value x in [0, 1] is floor(N x + u) / N, u uniform in [0, 1): one of
    the two nearest of N + 1 levels, and x on average. N = 1 is :class:`Poisson`, and
    large N are :class:`Direct`. The gradient is passed straight through.

    :param steps: as of :class:`Direct`.
    :param levels: N, at most 2^20."""

    levels: int = 2
    words = "stochastic quantised encoding of {levels} levels"

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = require_count(
            "levels", self.levels, up_to=2**20, remedy="The paper takes 2."
        )
        set_fields(self, levels=levels)


class Frequency(_Repeating):
    """Frequency encoding of FEEL-SNN (Xu et al., NeurIPS 2024): every step is a blurrier image.

    Step t keeps the frequencies from -L to L - 1 along both sides of an image
    [N, C, H, W]::

        s[t] = |F^-1 (M_t F x)|,   L = side/2 (1 - t / max(8, T)), rounded up

    At 32 pixels L is 16, 14, ..., 2 for T = 8, and 16, 14, 12, 10 for T = 4, as the
    authors have it; other sizes and longer runs are ours. Steps that keep all are the
    image."""

    words = "frequency encoding"

    def __call__(self, x: Tensor) -> Tensor:
        require(
            x.ndim in (3, 4),
            "x",
            "images [N, C, H, W] or [N, H, W]",
            f"shape {list(x.shape)}",
            "Event frames take Frames.",
        )
        if not len(x):  # MKL transforms no empty batch.
            return x.expand(self.steps, *x.shape)

        # There is no transform of half precision on a CPU.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        spectrum = torch.fft.fft2(wide)
        slowest = max(8, self.steps)
        encoded = []
        for t in range(self.steps):
            masks = []
            for side in x.shape[-2:]:
                # L, rounded up.
                radius = -(-side * (slowest - t) // (2 * slowest))
                # On the CPU: a question to a mask on a card is a wait, on "meta" an error.
                k = torch.arange(side, device="cpu")
                masks.append((k < radius) | (k >= side - radius))

            rows, columns = masks
            mask = rows[:, None] & columns
            # Without a blur: rounding would give black pixels a gradient of any sign.
            step = wide
            if not mask.all():
                step = torch.fft.ifft2(spectrum * mask.to(x.device)).abs()
            encoded.append(step)
        return torch.stack(encoded).to(x.dtype)


@dataclass(frozen=True)
class Frames:
    """The input already has a time axis: event frames [N, T, ...], counts or any other values.

    :param steps: number of frames T that every input must have, or None to accept any.
    :raises ValueError: when steps < 1, or when an input has another number of frames."""

    steps: int | None = None
    draws: ClassVar[bool] = False
    words: ClassVar[str] = "event frames"

    def __post_init__(self) -> None:
        if self.steps is not None:
            set_fields(self, steps=Direct(self.steps).steps)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] < 1 or self.steps not in (None, x.shape[1]):
            raise invalid(
                "x",
                f"frames [N, {self.steps or 'T'}, ...]",
                f"shape {list(x.shape)}",
                "The time axis comes second, after the batch.",
            )
        # A view that repeats one frame would pass for a constant input, and the whole
        # gradient for that of its first frame.
        x = x.contiguous() if x.stride(1) == 0 else x
        return x.transpose(0, 1)


@dataclass(frozen=True)
class Ablation(Frames):
    """Event frames of which every value is kept with a probability, and is 0 otherwise.

    Every value is drawn by itself, in every pass, also in training. Its gradient is
    multiplied by the same mask.

    :param steps: as of :class:`Frames`.
    :param keep: probability that a value is kept, between 0 and 1."""

    keep: float = 0.05
    draws = True
    words = "event frames, values kept with probability {keep:g}"

    def __post_init__(self) -> None:
        super().__post_init__()
        keep = require_number(
            "keep",
            self.keep,
            above=0,
            below=1,
            remedy="0.02 to 0.2 are usual; Frames keeps all.",
        )
        set_fields(self, keep=keep)

    def __call__(self, x: Tensor) -> Tensor:
        mask = torch.rand(x.shape, dtype=torch.float32, device=x.device) < self.keep
        return super().__call__(x * mask)

    def certified(self, probability: ArrayLike) -> EventChanges:
        """The changes of binary frames under which a class stays more likely than not.

        :param probability: of the class of each sample (N,), or a lower bound of it."""
        return EventChanges(self.keep, _probabilities(probability))


def _probabilities(probability: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(probability, dtype=np.float64)
    require(
        ((given >= 0) & (given <= 1)).all(),
        "probability",
        "numbers from 0 to 1",
        probability,
        "A share of draws is from 0 to 1.",
    )
    return given


_Known = Direct | Poisson | Frequency | Frames
KNOWN: tuple[type[_Known], ...] = (Direct, Poisson, SQE, Frequency, Frames, Ablation)
ENCODERS = {kind.__name__.lower(): kind for kind in KNOWN}
"""The encoders by name: those of images, and those of event frames."""


def parse_encoder(text: str, steps: int = 8) -> _Known:
    """The encoder of a text, "direct", "sqe(levels=2)", "ablation(keep=0.03)", ..., over T steps.

    :raises ValueError: for an unknown name or field, or a value that the encoder
        refuses."""
    return parse_object(
        text,
        "encoder",
        ENCODERS,
        "Another encoder takes a network of your own: file.py:function.",
        steps=steps,
    )
