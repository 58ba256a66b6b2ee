"""How values differ from those without flips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from art_snn.bounds.box import Away, Box, Change
from art_snn.bounds.rounding import widening
from art_snn.pooling import Pair


@dataclass(frozen=True)
class Window:
    """Where one flip can change values: in all channels of a window of places.

    :param shape: channels, rows and columns of a sample; values lie in this order.
    :param sides: rows and columns of the window, anywhere in the plane."""

    shape: tuple[int, ...]
    sides: tuple[int, int]

    @property
    def places(self) -> int:
        """Rows times columns of the plane."""
        return prod(self.shape[1:])

    @property
    def size(self) -> int:
        """Values of a sample."""
        return prod(self.shape)

    def behind(
        self, kernel: Sequence[int], stride: Pair, dilation: Pair, shape: Sequence[int]
    ) -> "Window | None":
        """What it becomes behind a convolution or a pooling; None where it fills the plane.

        An output sees inputs within dilation (kernel - 1) of its first one. So the first inputs of
        those that see a window lie within its side - 1 + dilation (kernel - 1), a stride apart.

        :param shape: of the outputs [N, C, H, W]."""
        axes = zip(self.sides, kernel, stride, dilation, strict=True)
        rows, columns = ((side - 1 + d * (k - 1)) // s + 1 for side, k, s, d in axes)
        fits = rows < shape[2] or columns < shape[3]
        return Window(tuple(shape[1:]), (rows, columns)) if fits else None


@dataclass(frozen=True)
class Departure(Away):
    """How values differ from those without flips: in as many windows as there are flips.

    :param clean: the values without flips; their intervals are of rounding alone.
    :param count: flips of a sample.
    :param window: that one flip changes; None where it may be any value.
    :param change: of all flips, where the box is wider.
    :param fewer: changes by one flip at a step, by two, and so on to all but one, where no flip
        changes two steps; None where one may.
    :param rows: of samples at a step, in which no flip changes two."""

    clean: Box
    count: float
    window: Window | None
    change: Change | None = None
    fewer: tuple[Change, ...] | None = None
    rows: int = 0

    def with_changes(self, function: Callable[[Change], Change]) -> "Departure":
        """The same with other changes."""
        change = None if self.change is None else function(self.change)
        fewer = None if self.fewer is None else tuple(map(function, self.fewer))
        return replace(self, change=change, fewer=fewer)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Departure":
        moved = self.with_changes(lambda change: (function(change[0]), function(change[1])))
        return replace(moved, clean=self.clean.mapped(function))

    def narrowed(self, box: Box) -> Box:
        """A box [T, N, ...] without what no flips reach, for neurons."""
        apart = self.fewer is not None and self.rows == box.shape[0] * box.shape[1]
        box = Box.around(box.centre, replace(box.spread, away=self if apart else None))
        if self.change is None:
            return box
        (low, high), (lowest, highest), (fall, rise) = box.ends, self.clean.ends, self.change
        low, high = torch.maximum(low, lowest - fall), torch.minimum(high, highest + rise)
        slack = 4 * torch.finfo(box.dtype).eps * box.most.detach()
        radius = ((high - low) / 2).clamp(min=0)
        return Box.around((low + high) / 2, replace(box.spread, radius=radius, slack=slack))

    def by_flips(self, box: Box, rounding: Tensor) -> Change:
        """Lowest and highest values [K + 1, T, ...] by no flip at a step, by one, and so on.

        :param rounding: what both are widened by."""
        changes, ends, inner = self.fewer or (), box.ends, self.clean.ends
        low, high = box.centre.new_empty(2, len(changes) + 2, *box.shape)
        torch.sub(ends[0], rounding, out=low[-1])
        torch.add(ends[1], rounding, out=high[-1])
        torch.sub(inner[0], rounding, out=low[0])
        torch.add(inner[1], rounding, out=high[0])
        for place, (fall, rise) in enumerate(changes, 1):
            torch.sub(low[0], fall, out=low[place])
            torch.add(high[0], rise, out=high[place])
        return low, high

    def pooled(self, function: Callable[[Box], Box], shape: Sequence[int]) -> "Departure | None":
        window = self.window
        if window is None or len(shape) != 4 or tuple(self.clean.shape[1:]) != window.shape:
            return None
        rows, columns = (a // b for a, b in zip(window.shape[1:], shape[2:], strict=True))
        window = window.behind((rows, columns), (rows, columns), (1, 1), shape)
        return Departure(function(self.clean), self.count, window) if window else None

    def scaled(self, factor: Tensor, function: Callable[[Box], Box]) -> "Departure":
        clean, plus, minus = function(self.clean), factor.clamp(min=0), (-factor).clamp(min=0)
        more = 1 + widening(8, clean)

        def change(pair: Change) -> Change:
            fall, rise = pair
            return (fall * plus + rise * minus) * more, (rise * plus + fall * minus) * more

        return replace(self.with_changes(change), clean=clean)
