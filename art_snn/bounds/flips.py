"""Perturbations in norm 0: at most so many values change, each to the other limit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Change, Reach
from art_snn.bounds.largest import largest_sums
from art_snn.bounds.patches import distinct_patches, patches


@dataclass(frozen=True)
class FlipReach(Reach):
    """Perturbations of at most so many flips, of which a value can take several after pooling.

    :param count: flips of a sample, in training also a fraction of one.
    :param down: how many flips can lower a value, in the shape of the samples.
    :param unit: the change of a value by one flip, positive, in the same shape.
    :param both: how many flips can lower or raise a value."""

    count: float
    down: Tensor
    unit: Tensor
    both: int = 1

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "FlipReach":
        return replace(self, down=function(self.down), unit=function(self.unit))

    def scaled(self, factor: Any) -> "FlipReach":
        return replace(self, unit=self.unit * factor)

    def pooled(self, function: Callable[[Tensor], Tensor], area: int) -> "FlipReach":
        down = function(self.down).mul_(area).round_()
        unit = (self.unit.amax() / area).expand_as(down)
        return replace(self, down=down, unit=unit, both=self.both * area)

    def changes(self, func: Any, weight: Tensor, *rest: Any) -> list[Change]:
        """The flips with the largest weights first, as many as the values they change can take."""
        unit = patches(func, self.unit.amax(0, keepdim=True), weight, *rest).flatten(1).amax(1)
        room = torch.stack([self.both - self.down, self.down]).clamp_(max=ceil(self.count))
        groups = len(unit) // weight[0].numel()
        rows = weight.view(groups, -1, weight[0].numel()) * unit.view(groups, 1, -1)
        distinct = distinct_patches(room, weight, *rest) if func is functional.conv2d else None
        if distinct is None:
            sums = self._of_each(rows, torch.stack([patches(func, r, weight, *rest) for r in room]))
        else:
            sums = self._of_distinct(rows, *distinct)
        shape = func(self.down[:1], weight, None, *rest).shape[1:]
        return [(fall, rise) for fall, rise in sums.reshape(*sums.shape[:3], *shape)]

    def _of_each(self, rows: Tensor, room: Tensor) -> Tensor:
        """Sums [K, 2, N, outputs, places] of what outputs see [2, F, N, places], group by group."""
        parts = room.flatten(2).chunk(len(rows), 1)
        sums = [largest_sums(row, part, self.count) for row, part in zip(rows, parts, strict=True)]
        return torch.unflatten(torch.cat(sums, 2), 3, room.shape[2:]).transpose(2, 3)

    def _of_distinct(self, rows: Tensor, room: Tensor, index: Tensor) -> Tensor:
        """The same of distinct patches, in the order of the outputs that see them."""
        sums = []
        for row, one in zip(rows, index.flatten(2).unbind(1), strict=True):
            table = largest_sums(row, room, self.count)
            seen = table.flatten(0, 2).index_select(1, one.flatten())
            sums.append(seen.view(*table.shape[:3], *one.shape).transpose(2, 3))
        return sums[0] if len(sums) == 1 else torch.cat(sums, 3)
