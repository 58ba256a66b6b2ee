"""Random numbers that belong to a sample: the same alone, in any batch, and on any device."""

import hashlib

import torch
from torch import Tensor


def uniform_noise(
    x: Tensor, seed: int, draw: int = 0, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Numbers in (-1, 1), every sample's drawn from a seed of its own.

    That seed is made of the sample's values in single precision, so that a sample has the same
    random start wherever it stands, and equal samples have equal ones.

    :param x: samples [n, ...].
    :param seed: changes all of them.
    :param draw: tells several starts of one sample apart.
    :param shape: of the numbers of a sample; None: that of the sample.
    :return: [n, *shape]."""
    every = [_one(sample, seed, draw, shape) for sample in x]
    return torch.stack(every) if every else x.new_zeros(0, *(shape or x.shape[1:]))


def _one(sample: Tensor, seed: int, draw: int, shape: tuple[int, ...] | None) -> Tensor:
    values = sample.detach().to("cpu", torch.float32).contiguous()
    digest = hashlib.sha256(f"{seed}, {draw}, ".encode() + values.numpy().tobytes()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    size = shape or values.shape
    numbers = torch.rand(size, generator=generator, dtype=torch.float64, device="cpu")
    return numbers.mul_(2).sub_(1).to(sample)
