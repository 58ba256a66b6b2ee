"""The adversarial samples that an attack has found so far."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.attacks.balls import wide


@dataclass
class Best:
    """Of every sample the first point that is broken; until then the one of the highest value.

    :param samples: adversarial samples ``[n, *shape]``; at first the samples themselves.
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
        """The samples themselves, below any other point."""
        lowest = _lowest(x)
        return cls(x.clone(), lowest, torch.zeros_like(lowest, dtype=torch.bool), reached, warm)

    def take(self, rows: Tensor, points: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in points of some samples that were not broken before.

        :param rows: which samples [m].
        :param points: ``[m, *shape]``, with the values [m] there, and whether these are broken."""
        better = broken | (values > self.values[rows])
        self.samples[rows[better]] = points[better]
        self.values[rows[better]] = values[better].to(self.values)
        self.broken[rows[broken]] = True

    def start(self, rows: Tensor, cold: Callable[[], Tensor]) -> Tensor:
        """Where to begin with some samples [m]: where margins were largest, or at a cold start.

        :param cold: gives such starts ``[m, *shape]``; it is not called where it is not needed."""
        if self.reached is None or not self.warm:
            return cold()
        asked = self.reached.margins[rows].isfinite()
        points = self.reached.points[rows]
        if bool(asked.all()):
            return points
        return torch.where(wide(asked, points), points, cold())


@dataclass
class Reached:
    """Of every sample the point with the largest margin that attacks have come to.

    Unlike losses, margins mean the same for all attacks, whatever they raise.

    :param points: ``[n, *shape]``.
    :param margins: there [n]; -inf where nothing was asked for yet.
    :param heights: how far the true class's logit lies above the mean of all, at the samples [n]:
        the unit in which :meth:`near` measures margins."""

    points: Tensor
    margins: Tensor
    heights: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "Reached":
        """Before any attack."""
        lowest = _lowest(x)
        return cls(x.clone(), lowest, torch.zeros_like(lowest))

    def of(self, rows: Tensor) -> "Reached":
        """A copy for some samples [m]."""
        return Reached(self.points[rows], self.margins[rows], self.heights[rows])

    def put(self, rows: Tensor, others: "Reached") -> None:
        """Replace those of some samples [m]."""
        self.points[rows], self.margins[rows] = others.points, others.margins

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


def _lowest(x: Tensor) -> Tensor:
    """-inf for each of the samples [n, ...], [n]."""
    return torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
