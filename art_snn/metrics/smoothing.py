"""Randomised smoothing by the spikes that Poisson encoding draws: forward passes only."""

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier

from art_snn.checks import invalid, require, require_count, require_number, require_seed
from art_snn.classifier.inputs import as_array, check_samples, class_indices, require_network
from art_snn.encoders import Poisson
from art_snn.metrics.certificate import ABSTAINED, Certificate, l1_radius, lower_bound
from art_snn.progress import Progress
from art_snn.seeding import seeded

_SELECTION = 100
"""Draws that choose the class of a sample."""


def certify(
    estimator: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    selection: int = _SELECTION,
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
            radius[i] = l1_radius(lower_bound(agreeing, draws, alpha), steps)
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
