"""Surrogate slopes: they replace the derivative of a spike, as a function of u - threshold.

A surrogate maps the distance z = u - threshold to a slope h(z) of the same shape and dtype."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from art_snn.checks import require_number

_SHAPES = (1e-3, 1e3)
"""Parameters for which gradients through eight steps are finite in single precision."""


@dataclass(frozen=True)
class Surrogate(ABC):
    """A slope h(z) with one positive parameter per field, if any, in [1e-3, 1e3].

    Second derivatives take its derivative, which is that of torch's autograd."""

    flat: ClassVar[bool] = False
    """True if it is constant between jumps, where its derivative is 0."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require_number(
                f"{type(self).__name__}.{name}",
                value,
                above=0,
                within=_SHAPES,
                remedy="The shape of a surrogate is a positive, finite number.",
            )

    @abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """Slope at `distance` = u - threshold, elementwise."""

    def in_place(self, distance: Tensor) -> Tensor:
        """The slope without a graph; it may overwrite the distance."""
        return self(distance)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """``max(width - |z|, 0) / width^2`` (Esser et al., PNAS 2016)."""

    width: float = 1.0

    def __call__(self, distance: Tensor) -> Tensor:
        return (self.width - distance.abs()).clamp_(min=0).div_(self.width**2)

    def in_place(self, distance: Tensor) -> Tensor:
        width = distance.new_full((), self.width)
        slope = torch.sub(width, distance.abs_(), out=distance).clamp_(min=0)
        return slope if self.width == 1 else slope.div_(self.width**2)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """``1 / width where |z| < width / 2, otherwise 0`` (Wu et al., 2018)."""

    width: float = 1.0
    flat = True

    def __call__(self, distance: Tensor) -> Tensor:
        return (distance.abs() < self.width / 2).to(distance.dtype).div_(self.width)


@dataclass(frozen=True)
class ATan(Surrogate):
    """``alpha / (2 (1 + (pi alpha z / 2)^2))`` (Fang et al., ICCV 2021)."""

    alpha: float = 2.0

    def __call__(self, distance: Tensor) -> Tensor:
        scaled = distance * (math.pi * self.alpha / 2)
        return scaled.square_().add_(1).reciprocal_().mul_(self.alpha / 2)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """alpha sg(alpha z) (1 - sg(alpha z)), sg the logistic function."""

    alpha: float = 4.0

    def __call__(self, distance: Tensor) -> Tensor:
        logistic = torch.sigmoid(distance * self.alpha)
        return logistic * (1 - logistic) * self.alpha


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """alpha / sqrt(2 pi) exp(-(alpha z)^2 / 2), the slope of an error function."""

    alpha: float = 2.0

    def __call__(self, distance: Tensor) -> Tensor:
        exponent = (distance * self.alpha).square_().mul_(-0.5)
        return exponent.exp_().mul_(self.alpha / math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """``1 / (1 + k |z|)^2`` (Zenke and Ganguli, 2018)."""

    k: float = 25.0

    def __call__(self, distance: Tensor) -> Tensor:
        return distance.abs().mul_(self.k).add_(1).square_().reciprocal_()


@dataclass(frozen=True)
class Exponential(Surrogate):
    """``height exp(-gamma |z|)`` (Shrestha and Orchard, NeurIPS 2018).

    A height of 0.3, the dampening factor of Bellec et al. (NeurIPS 2018), makes it the
    damped exponential of Ozdenizci and Legenstein (TMLR 2024)."""

    gamma: float = 1.0
    height: float = 1.0

    def __call__(self, distance: Tensor) -> Tensor:
        return distance.abs().mul_(-self.gamma).exp_().mul_(self.height)


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """1 everywhere: the straight-through estimator (Bengio et al., 2013)."""

    flat = True

    def __call__(self, distance: Tensor) -> Tensor:
        return torch.ones_like(distance)
