"""Certificates by bounds: samples whose class no perturbation within a budget changes."""

from dataclasses import dataclass

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray

from art_snn.attacks.balls import FLIPS, SHIFT, require_budget, require_measure
from art_snn.bounds.applicable import check_bounded
from art_snn.bounds.bounding import Bounding
from art_snn.bounds.firing import METHODS
from art_snn.checks import require, require_choice, require_count
from art_snn.classifier.inputs import as_array, checked_samples, class_indices, network_behind
from art_snn.layers import device_of
from art_snn.metrics.shares import Share
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress


@dataclass(frozen=True)
class BoundsCertificate:
    """Which samples no perturbation within a budget can break.

    :param eps, norm: the budget.
    :param method: that bounded the spikes.
    :param margin: lower bound of the true class's logit minus the largest other one, anywhere
        within the budget, float (N,)."""

    eps: float
    norm: float
    method: str
    margin: NDArray[np.float64]

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Whether a sample is classified correctly everywhere within the budget, bool (N,)."""
        certified: NDArray[np.bool_] = self.margin > 0
        return certified

    @property
    def certified_accuracy(self) -> Share:
        """The share of those samples: a lower bound of the robust accuracy on all of them."""
        return Share(int(self.certified.sum()), len(self.margin))

    def __str__(self) -> str:
        return f"certified accuracy {self.certified_accuracy} by {self.method}"


def certify_bounds(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    norm: float | str = np.inf,
    method: str = "counts",
    *,
    batch_size: int = 32,
    verbose: bool = False,
) -> BoundsCertificate:
    """Bound what any attack within a budget can do, sample by sample.

    Bounds hold for the network as it is computed, in any order of its sums: rounding is part of
    them. They cost a few forward passes, behind convolutions up to two dozen in norm 0.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose encoder draws nothing, of
        convolutions, linear layers, batch norms, pooling, sums, and LIF or IF neurons.
    :param x: samples ``(N, *input_shape)``.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: the budget; in norm 0 a number of values.
    :param norm: numpy.inf, 2, or 0 of binary event frames.
    :param method: "counts", or "s-ibp", which is never tighter.
    :param batch_size: samples per pass.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for a layer or neuron without bounds, by its name; for preprocessing, half
        precision, samples outside the clip values or other than binary ones in norm 0, or a bad
        setting."""
    network, measure = _network(classifier), require_measure(norm)
    expected, remedy = "numpy.inf, 2 or 0", "Shifts of spikes have no bounds yet."
    require(measure != SHIFT, "norm", expected, repr(norm), remedy)
    assert isinstance(measure, float)
    eps = require_budget(measure, eps)
    require_choice("method", method, METHODS, remedy="counts is never looser.")
    batch_size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_array(checked_samples(x, classifier.input_shape))
    labels = class_indices(y, len(samples), classifier.nb_classes)
    _check_range(classifier, samples, measure)
    if type(network) is not SpikingNetwork:
        classifier.predict(samples[:1])  # Adapted networks verify their model, or refuse it.
    bounding = Bounding(network, METHODS[method](), eps, measure, classifier.clip_values)
    device, dtype = device_of(network), network.dtype or torch.get_default_dtype()
    results = [np.zeros(0)]
    with Progress("Bounds", len(samples), unit="samples", verbose=verbose) as progress:
        for start in range(0, len(samples), batch_size):
            rows = slice(start, start + batch_size)
            x_batch = torch.as_tensor(samples[rows], dtype=dtype, device=device)
            y_batch = torch.as_tensor(labels[rows], device=device)
            margin = bounding.margin(x_batch, y_batch)
            results.append(margin.double().cpu().numpy())
            progress.update(len(margin))
    return BoundsCertificate(float(eps), measure, method, np.concatenate(results))


def _network(classifier: object) -> SpikingNetwork:
    """The network of a classifier that certificates hold for."""
    remedy = "Put it into the network: TimeDistributed(Normalize(mean, std), ...)."
    network = network_behind("classifier", classifier, remedy)
    expected = "a classifier without postprocessing"
    changed = bool(getattr(classifier, "postprocessing_defences", None))
    require(not changed, "classifier", expected, "one with it", "Leave it out.")
    check_bounded(network)
    return network


def _check_range(classifier: PyTorchClassifier, samples: np.ndarray, norm: float) -> None:
    """Refuse samples outside of the clip values, and for flips others than of the two."""
    limits = classifier.clip_values
    if norm == FLIPS:
        expected, remedy = "a classifier with clip_values", "Give clip_values=(0, 1)."
        require(limits is not None, "classifier", expected, "one without", remedy)
        inside = bool(((samples == limits[0]) | (samples == limits[1])).all())
        remedy = "Flips are of binary event frames: clip counts at 1."
        expected = f"values {np.min(limits[0]):g} and {np.max(limits[1]):g} alone in norm 0"
        require(inside, "x", expected, "others", remedy)
    elif limits is not None:
        inside = bool(((samples >= limits[0]) & (samples <= limits[1])).all())
        got = "others" if inside else f"values from {samples.min():g} to {samples.max():g}"
        remedy = "Scale the samples, or make the classifier with other clip_values."
        require(inside, "x", f"values within clip_values, {limits}", got, remedy)
