"""What the outputs of a layer see of its inputs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Unbounded
from art_snn.pooling import Pair, pair

CODES = 2.0**50
"""Numbers up to it are exact in double precision."""


def patches(func: Any, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """What the outputs of a layer see of x [N, ...]: [F, N, places]."""
    if func is functional.linear and x.ndim == 2:
        return x.T[:, :, None]
    if func is not functional.conv2d or x.ndim != 4 or isinstance((*rest, 1, 0)[1], str):
        raise Unbounded("flips in front of a layer that is no plain linear layer or convolution")
    axes = [*map(pair, (*rest, *(1, 0, 1)[len(rest) :])[:3])]
    (_, padding, _), (rows, columns) = axes, (_starts(x, weight, axes, axis) for axis in (0, 1))
    padded = functional.pad(x, (padding[1],) * 2 + (padding[0],) * 2).transpose(0, 1)
    seen = [padded[:, :, row][:, :, :, column] for row in rows for column in columns]
    return torch.stack(seen, 1).flatten(0, 1).flatten(2)


def _starts(x: Tensor, weight: Tensor, axes: list[Pair], axis: int) -> list[slice]:
    """For each row or column of a kernel what all outputs see of an axis of planes."""
    stride, padding, dilation = (sizes[axis] for sizes in axes)
    kernel = weight.shape[2 + axis]
    last = x.shape[2 + axis] + 2 * padding - dilation * (kernel - 1)
    return [slice(dilation * i, dilation * i + last, stride) for i in range(kernel)]


@torch.no_grad()
def distinct_patches(room: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor] | None:
    """What outputs of a convolution see of two whole numbers at each place, once each.

    Event frames have few patches, most of them empty. A patch is a number whose digits are those
    of its places.

    :param room: [2, N, C, H, W].
    :return: patches [2, F, U], and the one that outputs see [N, groups, rows, columns]; None where
        there may be too many."""
    base = room[0].amax().item() + 1
    digits = room[0] + base * room[1]
    inputs, most = weight[0].numel(), digits.amax().item() + 1
    if most**inputs > CODES:
        return None
    powers = most ** torch.arange(inputs, dtype=torch.float64, device=room.device)
    groups = room.shape[2] // weight.shape[1]
    kernel = powers.view(1, *weight.shape[1:]).expand(groups, -1, -1, -1)
    codes = functional.conv2d(digits.double(), kernel, None, *rest).round_()
    codes = codes.to(torch.int32 if most**inputs < 2**31 else torch.int64)
    codes, index = torch.unique(codes, return_inverse=True)
    parts = codes // powers.long()[:, None] % int(most)
    return torch.stack([parts % int(base), parts // int(base)]), index
