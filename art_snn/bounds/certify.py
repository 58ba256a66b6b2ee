"""Certificates by bounds: samples whose class no perturbation within a budget changes."""

from dataclasses import dataclass

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray

from art_snn.attacks.balls import NORMS
from art_snn.bounds.bounding import REMEDY, Bounding
from art_snn.bounds.firing import METHODS
from art_snn.checks import require, require_choice, require_count, require_number, shown
from art_snn.classifier.inputs import as_array, check_samples, class_indices, require_network
from art_snn.encoders import Poisson
from art_snn.layers import device_of
from art_snn.metrics.robust import Share
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress


@dataclass(frozen=True)
class BoundsCertificate:
    """Samples that no perturbation within a budget can break.

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
        """Samples that are classified correctly everywhere within the budget, bool (N,)."""
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
    them. They cost a few forward passes.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose encoder draws nothing, of
        convolutions, linear layers, batch norms, pooling, sums, and LIF or IF neurons.
    :param x: samples ``(N, *input_shape)``.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: the budget.
    :param norm: numpy.inf or 2.
    :param method: "counts", or "s-ibp", which is never tighter.
    :param batch_size: samples per pass.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for a layer or neuron without bounds, by its name; for preprocessing, half
        precision, samples outside the clip values, or a bad setting."""
    network = require_network(
        "classifier",
        classifier,
        "Put it into the network: TimeDistributed(Normalize(mean, std), ...).",
    )
    changed = bool(getattr(classifier, "postprocessing_defences", None))
    expected = "a classifier without postprocessing"
    require(not changed, "classifier", expected, "one with it", "Leave it out.")
    check_bounded(network)
    remedy = "Attacks also run in norm 0 and 'shift'; certificates do not."
    supported = isinstance(norm, int | float | str) and norm in NORMS
    require(supported, "norm", "numpy.inf or 2", shown(norm), remedy)
    norm = NORMS[norm]
    eps = require_number("eps", eps, above=0, remedy="A usual budget is 8/255.")
    require_choice("method", method, METHODS, remedy="counts is never looser.")
    batch_size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_array(check_samples(x, classifier.input_shape))
    labels = class_indices(y, len(samples), classifier.nb_classes)
    limits = classifier.clip_values
    if limits is not None:
        inside = bool(((samples >= limits[0]) & (samples <= limits[1])).all())
        got = "others" if inside else f"values from {samples.min():g} to {samples.max():g}"
        remedy = "Scale the samples, or make the classifier with other clip_values."
        require(inside, "x", f"values within clip_values, {limits}", got, remedy)
    if type(network) is not SpikingNetwork:
        classifier.predict(samples[:1])  # Adapted networks verify their model, or refuse it.
    bounding = Bounding(network, METHODS[method](), eps, norm, limits)
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
    return BoundsCertificate(eps, norm, method, np.concatenate(results))


def check_bounded(network: SpikingNetwork) -> None:
    """Refuse, by a ValueError, a network whose encoder, precision or neurons have no bounds."""
    drawn, encoder = isinstance(network.encoder, Poisson), f"{network.encoder}"
    remedy = "art_snn.metrics.certify is for spikes drawn."
    require(not drawn, "classifier", "an encoder that draws nothing", encoder, remedy)
    dtype = network.dtype or torch.get_default_dtype()
    fits, remedy = dtype in (torch.float32, torch.float64), "Use network.float()."
    require(fits, "classifier", "a network in single or double precision", f"{dtype}", remedy)
    lowered = torch.is_autocast_enabled(device_of(network).type)
    expected, remedy = "a call outside of torch.autocast", "Close its block first."
    require(not lowered, "classifier", expected, "one within it", remedy)
    objection = network.bounds_objection()
    expected = "a network whose neurons take all time steps in one call"
    require(objection is None, "classifier", expected, str(objection), REMEDY)
    compiled = [n for n, m in network.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    expected, remedy = "layers whose operations can be followed", "Leave torch.jit out."
    got = f"{compiled[0]}, compiled by torch.jit" if compiled else ""
    require(not compiled, "classifier", expected, got, remedy)
    for site in network.sites():
        unknown = site.dynamics.unknown
        fits = unknown is None and site.dynamics.obeys_equations
        got = f"{site.name} ({unknown or 'of other equations'})"
        require(fits, "classifier", "LIF and IF neurons", got, REMEDY)
