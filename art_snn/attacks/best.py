"""The points that an attack has reached so far, and the samples that remain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from art_snn.attacks.balls import wide


@dataclass
class Best:
    """Of every sample the first point that is broken; until then the one of the highest value.

    :param samples: those points ``[n, *shape]``, with the values [n] of what the attack raises.
    :param reached: where margins were largest in a plan so far; None outside of one.
    :param warm: whether the attack begins there, where it can."""

    samples: Tensor
    values: Tensor
    broken: Tensor
    reached: "BestMargin | None" = None
    warm: bool = False

    @classmethod
    def none(cls, x: Tensor, reached: "BestMargin | None" = None, warm: bool = False) -> "Best":
        """The samples themselves, below any other point."""
        lowest = x.new_full((len(x),), -torch.inf)
        return cls(x.clone(), lowest, torch.zeros_like(lowest, dtype=torch.bool), reached, warm)

    def take(self, rows: Tensor, points: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in points ``[m, *shape]`` of samples [m] that were not broken before."""
        better = broken | (values > self.values[rows])
        put(self.samples, rows, points, better)
        put(self.values, rows, values, better)
        self.broken[rows] = self.broken[rows] | broken

    def start(self, rows: Tensor, cold: Callable[[], Tensor]) -> Tensor:
        """Where to begin with samples [m]: where margins were largest, or at the cold starts."""
        if self.reached is None or not self.warm:
            return cold()
        asked = self.reached.margins[rows].isfinite()
        points = self.reached.points[rows]
        if bool(asked.all()):
            return points
        return torch.where(wide(asked, points), points, cold())


@dataclass
class BestMargin:
    """The point of every sample with the largest margin that attacks have reached.

    :param margins: there [n], in the same unit for all attacks; -inf where nothing was asked for.
    :param heights: how far the true class's logit is above the mean of all, at the samples [n]."""

    points: Tensor
    margins: Tensor
    heights: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "BestMargin":
        """Before any attack."""
        return cls(x.clone(), x.new_full((len(x),), -torch.inf), x.new_zeros(len(x)))

    def select(self, rows: Tensor) -> "BestMargin":
        """A copy for some samples [m]."""
        return BestMargin(self.points[rows], self.margins[rows], self.heights[rows])

    def put(self, rows: Tensor, others: "BestMargin") -> None:
        """Replace those of some samples [m]."""
        self.points[rows], self.margins[rows] = others.points, others.margins

    def near(self, rows: Tensor, share: float) -> Tensor:
        """Which of rows [m] lack at most that share of their height, or were never queried [m]."""
        margins = self.margins[rows]
        return (margins >= -share * self.heights[rows]) | ~margins.isfinite()

    def take(self, rows: Tensor, points: Tensor, margins: Tensor) -> None:
        """Take in points ``[m, *shape]`` of some samples, with the margins [m] there."""
        larger = margins > self.margins[rows]
        put(self.points, rows, points, larger)
        put(self.margins, rows, margins, larger)


def put(kept: Tensor, rows: Tensor, others: Tensor, which: Tensor) -> None:
    """Replace rows [m] of what is kept where a mask [m] says so, without a wait for the device."""
    kept[rows] = torch.where(wide(which, others), others.to(kept), kept[rows])


@dataclass(frozen=True)
class Remaining:
    """Rows of samples [n] on the device, and on the CPU, where they are counted without a wait."""

    rows: Tensor
    here: Tensor

    @classmethod
    def all_of(cls, like: Tensor) -> "Remaining":
        """All samples [N, ...] of a tensor."""
        return cls(*(torch.arange(len(like), device=place) for place in (like.device, "cpu")))

    def select(self, stay: Tensor, *others: Any) -> tuple[Any, ...]:
        """Those that a mask [n] on the CPU names, and the same rows of what belongs to them.

        :param others: tensors [n, ...], or what takes rows by a method `select`."""
        if stay.all():
            return self, *others
        which = stay.nonzero()[:, 0].to(self.rows.device)
        selected = (o[which] if isinstance(o, Tensor) else o.select(which) for o in others)
        return Remaining(self.rows[which], self.here[stay]), *selected
