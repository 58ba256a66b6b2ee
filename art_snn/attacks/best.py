"""The adversarial samples that an attack has found so far."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Best:
    """Of every sample the first one that is broken; until then the one with the highest value.

    Stages of a plan are asked for what is broken alone: of the others they keep what is reached.

    :param samples: adversarial samples ``[n, *shape]``; before anything was found, the samples.
    :param values: what the attack raises, there [n].
    :param broken: bool [n].
    :param reached: where margins were largest, of this attack and of those before it in a plan;
        None outside of one.
    :param warm: whether the attack begins there, where it can."""

    samples: Tensor
    values: Tensor
    broken: Tensor
    reached: "Reached | None" = None
    warm: bool = False

    @classmethod
    def none(cls, x: Tensor, reached: "Reached | None" = None, warm: bool = False) -> "Best":
        """The samples themselves, below whatever is found."""
        lowest = lowest_of(x)
        return cls(x.clone(), lowest, torch.zeros_like(lowest, dtype=torch.bool), reached, warm)

    def take(self, rows: Tensor, found: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in what was found for some samples that were not broken before.

        :param rows: which samples [m].
        :param found: ``[m, *shape]``, with the values [m] there and whether they are broken [m]."""
        better = broken if self.reached is not None else broken | (values > self.values[rows])
        self.samples[rows[better]] = found[better]
        self.values[rows[better]] = values[better].to(self.values)
        self.broken[rows[broken]] = True

    def start(self, rows: Tensor, cold: Callable[[], Tensor]) -> Tensor:
        """Where to begin with some samples [m]: what cold gives, unless something is warm.

        :param cold: gives ``[m, *shape]``; it is not asked where nothing begins there."""
        return cold() if self.reached is None or not self.warm else self.reached.start(rows, cold)


@dataclass
class Reached:
    """Of every sample the point with the largest margin that attacks have come to.

    Unlike losses, margins are the same for all of them, whatever they raise.

    :param points: ``[n, *shape]``.
    :param margins: there [n]; -inf where nothing was asked for yet.
    :param heights: how far the true class's logit stands above the mean of all, at the samples [n],
        which is what margins are compared with."""

    points: Tensor
    margins: Tensor
    heights: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "Reached":
        """Before any attack."""
        lowest = lowest_of(x)
        return cls(x.clone(), lowest, torch.zeros_like(lowest))

    def of(self, rows: Tensor) -> "Reached":
        """A copy for some samples [m]."""
        return Reached(self.points[rows], self.margins[rows], self.heights[rows])

    def put(self, rows: Tensor, found: "Reached") -> None:
        """Replace those of some samples [m]."""
        self.points[rows], self.margins[rows] = found.points, found.margins

    def near(self, rows: Tensor, share: float) -> Tensor:
        """Which samples of rows [m] lack no more than that share of their height, bool [m].

        Those of which nothing was asked are among them."""
        margins = self.margins[rows]
        return (margins >= -share * self.heights[rows]) | ~margins.isfinite()

    def take(self, rows: Tensor, points: Tensor, margins: Tensor) -> None:
        """Take in points ``[m, *shape]`` of some samples, with the margins [m] there."""
        larger = margins > self.margins[rows]
        self.points[rows[larger]] = points[larger]
        self.margins[rows[larger]] = margins[larger].to(self.margins)

    def start(self, rows: Tensor, cold: Callable[[], Tensor]) -> Tensor:
        """The points of some samples [m], or those that cold gives where there are none."""
        known, points = self.margins[rows].isfinite(), self.points[rows]
        if bool(known.all()):
            return points
        return torch.where(known.view(-1, *(1,) * (points.ndim - 1)), points, cold())


def lowest_of(x: Tensor) -> Tensor:
    """Below all values of samples [n, ...], [n]."""
    return torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
