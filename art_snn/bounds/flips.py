"""Perturbations in norm 0: at most so many values change, each to the other limit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from art_snn.bounds.box import Reach, Unbounded

ELEMENTS = 2**20
"""Values that outputs see, of as many samples as are computed at a time."""
CHECKED = 16
"""Inputs of an output after which it is checked whether all flips are spent."""


@dataclass(frozen=True)
class FlipReach(Reach):
    """Perturbations of at most so many flips, of which a value can take several after pooling.

    :param count: flips of a sample, in training also a fraction of one.
    :param up, down: how many flips can raise and lower a value, in the shape of the samples.
    :param unit: the change of a value by one flip, positive, in the same shape."""

    count: float
    up: Tensor
    down: Tensor
    unit: Tensor

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "FlipReach":
        up, down, unit = map(function, (self.up, self.down, self.unit))
        return replace(self, up=up, down=down, unit=unit)

    def scaled(self, factor: Any) -> "FlipReach":
        return replace(self, unit=self.unit * factor)

    def pooled(self, function: Callable[[Tensor], Tensor], area: int) -> "FlipReach":
        up, down = (function(part) * area for part in (self.up, self.down))
        return replace(self, up=up, down=down, unit=(self.unit.amax() / area).expand_as(up))

    def changes(self, func: Any, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        """The flips with the largest weights first, as many as the values they change can take."""
        falls, rises = [], []
        for up, down, unit in self._blocks(func, weight, *rest):
            outputs = []
            for index, row in enumerate(weight.flatten(1)):
                first = index // (len(weight) * len(row) // len(up)) * len(row)
                seen = slice(first, first + len(row))
                outputs.append(_largest(row * unit[seen], up[seen], down[seen], self.count))
            falls.append(torch.stack([fall for fall, _ in outputs], 1))
            rises.append(torch.stack([rise for _, rise in outputs], 1))
        like = func(self.up[:1], weight, None, *rest)
        shape = (len(self.up), *like.shape[1:])
        return torch.cat(falls).view(shape), torch.cat(rises).view(shape)

    def _blocks(self, func: Any, weight: Tensor, *rest: Any) -> Iterator[tuple[Tensor, ...]]:
        """What outputs see, of some samples at a time: flips [F, N, places] and their unit [F]."""
        outputs = func(self.up[:1], weight, None, *rest).shape[2:].numel()
        size = max(1, ELEMENTS // (weight[0].numel() * outputs))
        for start in range(0, len(self.up), size):
            parts = (part[start : start + size] for part in (self.up, self.down, self.unit))
            up, down, unit = (patches(func, part, weight, *rest) for part in parts)
            yield up, down, unit.flatten(1).amax(1)


def _largest(row: Tensor, up: Tensor, down: Tensor, count: float) -> tuple[Tensor, Tensor]:
    """How far an output can fall and rise [N, places] by so many flips of its inputs.

    :param row: its change by one flip upwards of each of its inputs [F].
    :param up, down: how many flips its inputs can take [F, N, places]."""
    magnitudes, graph = row.abs(), row.requires_grad and torch.is_grad_enabled()
    order, sizes = magnitudes.argsort(descending=True).tolist(), row.tolist()
    results = []
    for sign in (-1, 1):
        left, change = torch.full_like(up[0], count), torch.zeros_like(up[0])
        for place, index in enumerate(order):
            if place % CHECKED == CHECKED - 1 and not left.any():
                break
            flips = torch.minimum(up[index] if sign * sizes[index] > 0 else down[index], left)
            left.sub_(flips)
            if graph:
                change = change.addcmul(flips, magnitudes[index])
            else:
                change.add_(flips, alpha=abs(sizes[index]))
        results.append(change)
    return results[0], results[1]


def patches(func: Any, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """What the outputs of a layer see of x [N, ...]: [F, N, places]."""
    if func is functional.linear and x.ndim == 2:
        return x.T[:, :, None]
    stride, padding, dilation = (*rest, *(1, 0, 1)[len(rest) :])[:3]
    if func is not functional.conv2d or isinstance(padding, str):
        raise Unbounded("flips in front of a layer that is no plain linear layer or convolution")
    patches: Tensor = functional.unfold(x, weight.shape[2:], dilation, padding, stride)
    return patches.transpose(0, 1).contiguous()
