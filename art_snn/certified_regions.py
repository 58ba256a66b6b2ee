"""Certified regions: changes of a sample that an encoder which draws makes harmless."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from art_snn.checks import require_number, require_whole


@dataclass(frozen=True)
class L1Ball:
    """All perturbations of a smaller l1 norm than a radius, in the unit of the samples.

    :param radius: of each sample (N,), 0 where there is none."""

    radius: NDArray[np.float64]
    changes: ClassVar[tuple[str, ...]] = ("radius",)
    measure: ClassVar[str] = "l1 radius"
    binary: ClassVar[bool] = False

    @property
    def size(self) -> NDArray[np.float64]:
        """The radius (N,)."""
        return self.radius

    def holds(self, radius: float = 0.0) -> NDArray[np.bool_]:
        """True for samples (N,) whose class stays under every perturbation of that l1 norm."""
        norm = require_number(
            "radius",
            radius,
            at_least=0,
            remedy="An l1 norm is in the unit of the samples, summed over all values of one.",
        )
        return np.asarray(self.radius > norm)


@dataclass(frozen=True)
class EventChanges:
    """Events that may be added (0 -> 1), removed (1 -> 0), moved, or flipped either way.

    The encoder keeps every value with probability `keep`. With A = (1 - keep)^added and
    R = (1 - keep)^removed, a class of probability p has after the changes at least::

        A (p - 1 + R) / R

    It stays more likely than not while that is above 1/2.

    Proof: let x be the sample and x' the changed one, and draw one mask for both. Where
    the mask hides all changes, both encodings are the encoding of the events that x and
    x' share. It hides the events that only x has with probability R, so the class has at
    least (p - 1 + R) / R of the draws of what is shared. It hides those that only x' has
    with probability A.

    Levine and Feizi (AAAI 2020) ablate pixels; Bojchevski et al. (ICML 2020) have the
    sparse case.

    :param keep: probability that a value is kept.
    :param probability: of the class of each sample (N,), or a lower bound of it."""

    keep: float
    probability: NDArray[np.float64]
    changes: ClassVar[tuple[str, ...]] = ("flips", "added", "removed", "moved")
    measure: ClassVar[str] = "number of flips"
    binary: ClassVar[bool] = True

    @property
    def size(self) -> NDArray[np.float64]:
        """The most flips of each sample that leave its class (N,)."""
        # With n flips, all added, the class has (1 - keep)^n p, which must be above 1/2.
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.log(2 * self.probability) / -np.log1p(-self.keep)
        # Below the reach, not at it.
        return np.asarray(np.maximum(np.ceil(reach) - 1, 0))

    def holds(
        self, flips: int = 0, added: int = 0, removed: int = 0, moved: int = 0
    ) -> NDArray[np.bool_]:
        """True for samples (N,) whose class stays under so many changes of every kind, or fewer.

        :param flips: changes of any kind. The worst are added events alone: with removed
            ones the bound never falls below 1/2 first.
        :param moved: events that go to another time or place: one is added, one
            removed."""
        for name, count in zip(self.changes, (flips, added, removed, moved), strict=True):
            require_whole(name, count, remedy="Give a number of events.")
        unseen_added = (1 - self.keep) ** (added + moved + flips)
        unseen_removed = (1 - self.keep) ** (removed + moved)

        # The class stays while A (p - 1 + R) / R is above 1/2.
        least = unseen_added * (self.probability - 1 + unseen_removed)
        return np.asarray(least > unseen_removed / 2)
