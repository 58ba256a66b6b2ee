"""What smoothing certifies of the samples of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from art_snn.experiments.resume import expect
from art_snn.metrics import Certificate


@dataclass(frozen=True)
class Certified:
    """Certificates of all samples (:func:`art_snn.metrics.certify`), one entry per sample.

    :param draws: of every sample, those that choose the class not counted.
    :param alpha: probability that the certificate of a sample is wrong, at most.
    :param predicted: class that is certified; -1 where none is.
    :param radius: in the l1 norm, in the unit of the samples; 0 where there is none."""

    draws: int
    alpha: float
    predicted: tuple[int, ...]
    radius: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = sorted({len(self.predicted), len(self.radius)})
        expect(len(sizes) == 1, "a class and a radius for every sample", sizes)

    @classmethod
    def joined(cls, parts: "Sequence[Certified]") -> "Certified":
        """Those of the samples of all parts, one after another."""
        first, *_ = parts
        predicted = tuple(one for part in parts for one in part.predicted)
        radius = tuple(one for part in parts for one in part.radius)
        return cls(first.draws, first.alpha, predicted, radius)

    def certificate(self, labels: Sequence[int]) -> Certificate:
        """The same as :func:`art_snn.metrics.certify` gives it.

        :param labels: true classes (N,)."""
        predicted = np.array(self.predicted)
        return Certificate(predicted, np.array(self.radius), predicted == np.array(labels))
