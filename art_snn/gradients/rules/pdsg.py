"""PDSG: a surrogate as wide as the potentials are spread."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import align, blocks
from art_snn.gradients.temporal import StepSlope, TemporalGradient


@dataclass(frozen=True, kw_only=True)
class PDSG(TemporalGradient):
    """Potential-dependent surrogate gradient (Lun et al., 2025): STBP with an adaptive slope ::

        h(z) = exp(-(z - sigma/2)^2 / (2 sigma^2)) / (sqrt(2 pi) sigma),   z = u - threshold

    where sigma[t] is the standard deviation of u[1..t], over time, batch and space, per
    channel [T, N, C, ...] or per feature [T, N, F]. No gradient passes through it. It is
    1 where it is 0 or undefined.

    As published, the gradient of a sample depends on the others of its batch.

    :param per_sample: take the deviation over time and space of each sample alone. Then batches do
        not matter, but sigma rests on fewer values: after a linear layer on t of them.
    :param detach_reset: cut the gradient through the reset."""

    per_sample: bool = False
    detach_reset: bool = False
    second_derivative = True

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        return _bell(distance, _running_deviation(distance, self.per_sample))

    def prepare(self, potential: Tensor, site: NeuronRef) -> StepSlope:
        sigma = _running_deviation(potential, self.per_sample)
        return lambda distance, t, samples: _bell(
            distance, sigma[t, samples] if self.per_sample else sigma[t]
        )


def _bell(z: Tensor, sigma: Tensor) -> Tensor:
    """``exp(-(z - sigma/2)^2 / (2 sigma^2)) / (sqrt(2 pi) sigma)``."""
    exponent = (z / sigma).sub_(0.5).square_().mul_(-0.5)
    return exponent.exp_().div_(math.sqrt(2 * math.pi) * sigma)


def _running_deviation(x: Tensor, per_sample: bool) -> Tensor:
    """Unbiased standard deviation of x[0..t] per channel, 1 where it is 0 or undefined.

    x is [T, N, C, ...], the result [T, N or 1, C, 1, ...] in its dtype."""
    dims = tuple(range(3, x.ndim))
    if not per_sample:
        dims = (1, *dims)
    if not x.numel():
        return x.new_ones([1 if d in dims else size for d, size in enumerate(x.shape)])

    # Counted from a value of the channel, so that a constant has a deviation of exactly 0.
    origin = x[:1].amin(dims, keepdim=True) if dims else x[:1]

    powers = []
    for block in blocks(x, steps=len(x)):
        base = origin[:, block] if per_sample else origin
        powers.append(_sum_powers(x[:, block], base, dims))

    # From the sums of every step to those up to each step.
    join: Any = partial(torch.cat, dim=1) if per_sample else sum
    first, second = (join(sums).cumsum(0) for sums in zip(*powers, strict=True))

    size = math.prod(x.shape[d] for d in dims)
    count = size * torch.arange(1, len(x) + 1, device=x.device, dtype=torch.float64)
    count = align(count, x)
    variance = (second - first.square() / count) / (count - 1)
    sigma = variance.clamp(min=0).sqrt().to(x.dtype)
    return torch.where(sigma > 0, sigma, 1)


def _sum_powers(
    x: Tensor, origin: Tensor, dims: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Sums of x - origin and of its square over `dims`, in float64."""
    shifted = (x.float() if x.dtype.itemsize < 4 else x) - origin
    if not dims:
        return shifted.double(), shifted.double().square()
    first = shifted.sum(dims, keepdim=True)
    return first.double(), shifted.square_().sum(dims, keepdim=True).double()
