"""Certificates of Poisson encoding: a class, and the l1 radius within which it is the answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from art_snn.checks import require_count, require_number
from art_snn.dynamics import MOST_STEPS
from art_snn.metrics.robust import Share

ABSTAINED = -1
"""Instead of a class that is not certified."""


def l1_radius(probability: float, steps: int) -> float:
    """The l1 radius r within which a class stays more likely than not.

    With one uniform draw u per value and step, spikes u < x and u < x + d differ with probability
    abs(d). So all of them agree with probability prod(1 - abs(d))^T >= (1 - r)^T, and that of a
    class changes by 1 - (1 - r)^T at most. It stays above 1/2 up to::

        r = 1 - (3/2 - probability)^(1/T)

    No larger radius holds for every network of probability 1. For T = 1 it is probability - 1/2,
    as in Mukhoty et al. (ICLR 2024).

    :param probability: of the class, or a lower bound of it, from 0 to 1.
    :param steps: time steps T of the encoder.
    :return: the radius in the unit of the encoder's input; 0 for probabilities of 1/2 or less."""
    remedy = "A share of draws is from 0 to 1."
    probability = require_number("probability", probability, at_least=0, up_to=1, remedy=remedy)
    remedy = "Take those of the network's encoder."
    steps = require_count("steps", steps, up_to=MOST_STEPS, remedy=remedy)
    surplus = max(probability - 0.5, 0.0)
    return -math.expm1(math.log1p(-surplus) / steps)


def lower_bound(count: int, draws: int, alpha: float) -> float:
    """The one-sided Clopper-Pearson bound: a probability exceeds it with confidence 1 - alpha."""
    test = binomtest(count, draws, alternative="greater")
    return float(test.proportion_ci(1 - alpha, method="exact").low)


@dataclass(frozen=True)
class Certificate:
    """Certified classes and radii of samples; each holds with probability 1 - alpha.

    :param predicted: class that most draws give, where it is certified, int (N,); otherwise -1.
    :param radius: perturbations of a smaller l1 norm, in the unit of the samples, leave the class
        the answer; (N,), 0 where there is none.
    :param correct: whether the class is the true one, bool (N,); False where there is none.
    :param draws: of each sample, without those that choose the class."""

    predicted: NDArray[np.int64]
    radius: NDArray[np.float64]
    correct: NDArray[np.bool_]
    draws: int
    alpha: float

    @classmethod
    def concatenate(cls, parts: "Sequence[Certificate]") -> "Certificate":
        """The certificates of all parts, of as many draws, one after another."""
        first, *_ = parts
        names = ("predicted", "radius", "correct")
        columns: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
        return replace(first, **columns)

    def certified_accuracy(self, radius: float = 0.0) -> Share:
        """Share of samples that are right under every perturbation of l1 norm `radius` or less."""
        remedy = "An l1 norm is in the unit of the samples, summed over all values of one."
        radius = require_number("radius", radius, at_least=0, remedy=remedy)
        return Share(int((self.correct & (self.radius > radius)).sum()), len(self.correct))

    @property
    def abstentions(self) -> Share:
        """Share of samples of which no class is certified."""
        return Share(int((self.predicted == ABSTAINED).sum()), len(self.predicted))

    @property
    def average_radius(self) -> float:
        """Mean radius, 0 where the class is wrong or none is certified (Zhai et al., ICLR 2020)."""
        return float(np.where(self.correct, self.radius, 0.0).mean())

    def as_dict(self) -> dict[str, dict[str, float | int | None] | float]:
        """For JSON: certified accuracy at radius 0, abstentions, average radius."""
        return {
            "certified_accuracy": self.certified_accuracy().as_dict(),
            "abstentions": self.abstentions.as_dict(),
            "average_radius": self.average_radius,
        }

    def __str__(self) -> str:
        return (
            f"certified accuracy {self.certified_accuracy()}, abstentions {self.abstentions}, "
            f"average l1 radius {self.average_radius:.3g}"
        )
