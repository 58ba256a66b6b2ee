"""Sums of the largest changes that so many flips can make at the inputs of an output."""

from math import ceil

import torch
from torch import Tensor

ELEMENTS = 2**18
"""Changes of outputs that are computed at a time, which should fit into the cache."""
CHECKED = 8
"""Inputs of an output after which it is checked whether all flips are spent."""


def largest_sums(rows: Tensor, room: Tensor, count: float) -> Tensor:
    """How far outputs fall and rise [K, 2, R, M] by one flip, by two, and so on to all.

    An output's flips have its inputs in the order of their weights, the largest first. That of the
    j-th flip is behind all up to which fewer than j flips can be.

    :param rows: the change of each output by one flip upwards of each of its inputs [R, F].
    :param room: how many flips upwards and downwards inputs can take [2, F, M], whole numbers.
    :param count: flips in all, of the last one a share."""
    order = rows.detach().abs().argsort(1, descending=True)
    sizes = torch.cat([rows.abs().gather(1, order), rows.new_zeros(len(rows), 1)], 1)
    # Upward flips are of the first rows of the room, downward ones of the second.
    downward = rows.gather(1, order) < 0
    places = torch.cat([order + order.shape[1] * ~downward, order + order.shape[1] * downward])
    flips = ceil(count)
    room = room.flatten(0, 1).to(torch.uint8 if flips < 128 else torch.int32)
    size = max(1, ELEMENTS // (flips * len(places)))
    ranks = torch.cat([_ranks(places, part, flips) for part in torch.split(room, size, 1)], 2)
    each = sizes.repeat(2, 1).expand(flips, -1, -1).gather(2, ranks)
    if count < flips:
        each = torch.cat([each[:-1], each[-1:] * (count - flips + 1)])
    return each.cumsum(0).view(flips, 2, len(rows), -1)


@torch.no_grad()
def _ranks(places: Tensor, room: Tensor, flips: int) -> Tensor:
    """Of the input that takes the first flip, the second, and so on [K, L, M]; F for none.

    :param places: rows of the room, in the order of ranks [L, F].
    :param room: [., M]."""
    spent = room.new_zeros(len(places), room.shape[1])
    before = torch.arange(flips, dtype=room.dtype, device=room.device).view(-1, 1, 1)
    ranks = torch.zeros(flips, *spent.shape, dtype=torch.int64, device=room.device)
    for several in torch.split(places, CHECKED, 1):
        passed = torch.zeros(ranks.shape, dtype=torch.uint8, device=room.device)
        for place in several.unbind(1):
            spent.add_(room[place]).clamp_(max=flips)
            passed.add_((spent <= before).view(torch.uint8))
        ranks.add_(passed)
        if spent.amin() >= flips:
            break
    return ranks
