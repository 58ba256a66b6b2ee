"""Decisions: samples that no perturbation within a budget breaks, and samples that one does."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray

from art_snn.bounds.certify import certify_bounds
from art_snn.bounds.falsify import Falsifier
from art_snn.bounds.propagate import Ends
from art_snn.bounds.reduced import Reduction, TooLarge
from art_snn.bounds.rounding import round_toward
from art_snn.bounds.search import decide
from art_snn.checks import require_count, require_number, require_seed
from art_snn.classifier.inputs import as_array, check_samples, class_indices, require_network
from art_snn.layers import device_of
from art_snn.metrics.robust import Share
from art_snn.passes import modes_kept
from art_snn.progress import progress_over


@dataclass(frozen=True)
class Decision:
    """For every sample whether a perturbation within a budget breaks it, as far as is known.

    :param eps: the budget, in the maximum norm.
    :param safe: samples that none breaks, proven, bool (N,).
    :param broken: samples that the classifier gets wrong at their `adversarial`, bool (N,).
    :param adversarial: points within the budget where broken, else the samples (N, ...).
    :param nodes: divisions of the search (N,).
    :param seconds: that each sample took (N,)."""

    eps: float
    safe: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    adversarial: np.ndarray
    nodes: NDArray[np.int64]
    seconds: NDArray[np.float64]

    @property
    def open(self) -> NDArray[np.bool_]:
        """Samples that are neither safe nor broken, bool (N,)."""
        return np.asarray(~(self.safe | self.broken))

    @property
    def robust_accuracy(self) -> tuple[Share, Share]:
        """Both ends of the robust accuracy; the same where no sample is open."""
        total = len(self.safe)
        return Share(int(self.safe.sum()), total), Share(int((~self.broken).sum()), total)

    def __str__(self) -> str:
        low, high = self.robust_accuracy
        if low == high:
            return f"robust accuracy {low}, exactly on these samples"
        return f"robust accuracy from {low.percent} to {high.percent}, {self.open.sum()} open"


def decide_bounds(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    *,
    seconds: float = 10.0,
    nodes: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    verbose: bool = False,
) -> Decision:
    """Decide, sample by sample, whether any perturbation within a budget breaks it.

    A sample is safe where every division of what neurons may do is refuted, for the network as it
    is computed. It is broken where the classifier gets a point within the budget wrong. Samples
    that it gets wrong themselves are broken.

    :param classifier: as for :func:`certify_bounds`, around a chain of convolutions, linear layers,
        batch norms, average pooling, and LIF or IF neurons, under direct encoding of up to 8 steps.
    :param x: samples ``(N, *input_shape)``.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: the budget, in the maximum norm.
    :param seconds: of search for each sample.
    :param nodes: divisions for each sample, instead of seconds, for the same decisions everywhere.
    :param seed: of random points.
    :param batch_size: samples per pass of :func:`certify_bounds`.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: as :func:`certify_bounds`, and for what is no such chain."""
    seconds = require_number("seconds", seconds, at_least=0, remedy="Ten decide most samples.")
    if nodes is not None:
        nodes = require_count("nodes", nodes, remedy="None, for a limit in seconds.")
    seed = require_seed("seed", seed)
    certificate = certify_bounds(classifier, x, y, eps, method="counts", batch_size=batch_size)
    network, eps = require_network("classifier", classifier, ""), certificate.eps
    samples = as_array(check_samples(x, classifier.input_shape))
    labels = class_indices(y, len(samples), classifier.nb_classes)
    broken = classifier.predict(samples, batch_size=batch_size).argmax(1) != labels
    device, dtype = device_of(network), network.dtype or torch.get_default_dtype()
    adversarial = samples.astype(np.result_type(samples, str(dtype).removeprefix("torch.")))
    safe = certificate.certified & ~broken
    visited, took = np.zeros(len(samples), dtype=np.int64), np.zeros(len(samples))
    reduction = Reduction(network, eps, classifier.clip_values)
    rows = np.flatnonzero(~(safe | broken))
    for row in progress_over(rows, "Decisions", unit="samples", verbose=verbose):
        start = time.monotonic()

        def go_on(count: int, start: float = start) -> bool:
            return time.monotonic() - start < seconds if nodes is None else count < nodes

        label, sample = int(labels[row]), samples[row : row + 1]
        limits = limit_points(sample, eps, classifier.clip_values, dtype)
        point = torch.as_tensor(sample, dtype=dtype, device=device)
        with suppress(TooLarge), modes_kept(network, False), torch.no_grad():
            falsifier = Falsifier(classifier, point, label, limits, seed + int(row))
            outcome, visited[row] = decide(reduction.around(point, label), falsifier, go_on)
            safe[row], broken[row] = outcome is True, outcome is False
            if outcome is False:
                adversarial[row] = falsifier.best[0]
        took[row] = time.monotonic() - start
    return Decision(eps, safe, broken, adversarial, visited, took)


def limit_points(sample: np.ndarray, eps: float, limits: Any, dtype: torch.dtype) -> Ends:
    """The least and the largest points, in a precision, that are within eps and the limits."""
    low, high = (
        np.nextafter(sample + np.float64(change), -change * np.inf) for change in (-eps, eps)
    )
    if limits is not None:
        low, high = np.maximum(low, limits[0]), np.minimum(high, limits[1])
    least, largest = (torch.as_tensor(end, device="cpu") for end in (low, high))
    return round_toward(torch.inf, least, dtype), round_toward(-torch.inf, largest, dtype)
