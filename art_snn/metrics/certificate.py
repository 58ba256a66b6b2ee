"""Certificates of Poisson encoding by random draws: a class, and the l1 radius where it holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from scipy.stats import binomtest

from art_snn.checks import invalid, require, require_count, require_number, require_seed
from art_snn.classifier.inputs import as_array, check_samples, class_indices, require_network
from art_snn.dynamics import MOST_STEPS
from art_snn.encoders import Poisson
from art_snn.metrics.robust import Share
from art_snn.progress import Progress
from art_snn.seeding import seeded

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


def _lower_bound(count: int, draws: int, alpha: float) -> float:
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

    def __str__(self) -> str:
        return (
            f"certified accuracy {self.certified_accuracy()}, abstentions {self.abstentions}, "
            f"average l1 radius {self.average_radius:.3g}"
        )


def certify(
    estimator: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    selection: int = 100,
    draws: int = 1000,
    alpha: float = 0.001,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> Certificate:
    """Certify a network with Poisson encoding, sample by sample (Cohen et al., ICML 2019).

    `selection` draws choose the most frequent class; then it is counted how many of `draws` fresh
    ones agree. Draws with NaN logits agree with none. :func:`l1_radius` turns the Clopper-Pearson
    bound at `alpha` into a radius; a bound of 1/2 or less abstains. The draws of a sample follow
    from the seed, its position and the batch size, and from no other sample.

    The radius of Mukhoty et al. (ICLR 2024), bound - 1/2, holds for T = 1 alone.

    :param estimator: a classifier of ART around a :class:`~art_snn.SpikingNetwork` with
        :class:`~art_snn.Poisson` encoding.
    :param x: samples ``(N, *input_shape)`` in [0, 1].
    :param y: true classes, indices (N,) or scores (N, K).
    :param alpha: probability that the certificate of a sample is wrong, at most.
    :param batch_size: draws per forward pass of the network.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for another encoder, preprocessing, a network in half precision, no sample,
        another shape, values outside [0, 1], or a bad setting."""
    steps = _steps(estimator)
    samples = _samples(estimator, x)
    labels = class_indices(y, len(samples), estimator.nb_classes)
    selection = require_count("selection", selection, remedy="100 are usual.")
    draws = require_count("draws", draws, remedy="1000 are usual, more give larger radii.")
    alpha = require_number("alpha", alpha, above=0, below=1, remedy="0.001 is usual.")
    batch_size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    seed = require_seed("seed", seed)
    predicted, radius = np.full(len(samples), ABSTAINED), np.zeros(len(samples))
    total = len(samples) * (selection + draws)
    with Progress("Certificates", total, unit="draws", verbose=verbose) as progress:
        for i, sample in enumerate(samples):
            with seeded(seed + i):
                answer = int(_counts(estimator, sample, selection, batch_size, progress).argmax())
                agreeing = int(_counts(estimator, sample, draws, batch_size, progress)[answer])
            radius[i] = l1_radius(_lower_bound(agreeing, draws, alpha), steps)
            predicted[i] = answer if radius[i] > 0 else ABSTAINED
    return Certificate(predicted, radius, predicted == labels, draws, alpha)


def _counts(
    estimator: PyTorchClassifier,
    sample: np.ndarray,
    draws: int,
    batch_size: int,
    progress: Progress,
) -> np.ndarray:
    """Draws of a sample for every class [K]; those with NaN logits count for none."""
    counts = np.zeros(estimator.nb_classes, dtype=np.int64)
    for start in range(0, draws, batch_size):
        size = min(batch_size, draws - start)
        logits = estimator.predict(np.repeat(sample[None], size, axis=0), batch_size=size)
        answered = logits[~np.isnan(logits).any(1)]
        counts += np.bincount(answered.argmax(1), minlength=estimator.nb_classes)
        progress.update(size)
    return counts


def _samples(estimator: PyTorchClassifier, x: np.ndarray) -> np.ndarray:
    samples = as_array(check_samples(x, estimator.input_shape))
    require(len(samples), "x", "at least one sample", "none", "Take some of the test samples.")
    least, most = float(samples.min()), float(samples.max())
    remedy = "They are probabilities of a spike: bring them into that range before you certify."
    got = f"values from {least:g} to {most:g}"
    require(least >= 0 and most <= 1, "x", "values from 0 to 1", got, remedy)
    return samples if samples.dtype.kind == "f" else samples.astype(np.float32)


def _steps(estimator: PyTorchClassifier) -> int:
    """Time steps of a network with nothing but a Poisson encoder between samples and layers."""
    remedy = "Put it into the network, after the encoder; before it, radii have another unit."
    network = require_network("estimator", estimator, remedy)
    encoder = network.encoder
    # A class derived from it may draw with other probabilities.
    if type(encoder) is not Poisson:
        remedy = "Only spikes that are drawn certify: build the network with encoder=Poisson(8)."
        raise invalid("estimator", "a network with Poisson encoding", f"{encoder}", remedy)
    dtype = network.dtype or torch.get_default_dtype()
    remedy = "Half precision rounds the probabilities themselves: use network.float()."
    fits = dtype in (torch.float32, torch.float64)
    require(fits, "estimator", "a network in single or double precision", f"{dtype}", remedy)
    return encoder.steps
