"""Sums over windows of a kernel, and over the largest of them."""

from math import ceil

import torch
from torch import Size, Tensor


def window_sums(sums: Tensor, kernel: Size, sides: Size) -> Tensor:
    """Sums over all windows of a kernel [windows, groups, outputs, M].

    :param sums: of its places [groups, places, outputs, M]."""
    sums = torch.unflatten(sums.transpose(0, 1), 0, kernel)
    for axis, side in enumerate(sides):
        count = kernel[axis] - side + 1
        total = sums.narrow(axis, 0, count)
        for start in range(1, side):
            total = total + sums.narrow(axis, start, count)
        sums = total
    return sums.flatten(0, 1)


def most_of(sums: Tensor, count: float) -> Tensor:
    """The sum of the `count` largest values along the first axis, of the last one a share."""
    if count <= 1:
        return sums.amax(0) * count
    flips = ceil(count)
    if sums.requires_grad:
        largest = list(sums.topk(min(flips, len(sums)), 0).values)
    else:
        largest = _largest(sums, min(flips, len(sums)))
    shares = [min(1.0, count - i) for i in range(len(largest))]
    return torch.stack([share * one for share, one in zip(shares, largest, strict=True)]).sum(0)


def _largest(sums: Tensor, count: int) -> list[Tensor]:
    """The largest values along the first axis, the very largest first.

    Each value goes down the list, and changes places with those that are smaller."""
    largest = [torch.full_like(sums[0], -torch.inf) for _ in range(count)]
    value, smaller = torch.empty_like(sums[0]), torch.empty_like(sums[0])
    for one in sums:
        value.copy_(one)
        for place in largest:
            torch.minimum(place, value, out=smaller)
            torch.maximum(place, value, out=place)
            value, smaller = smaller, value
    return largest
