"""Certificates: samples that no perturbation within a budget breaks. Decisions: also those that one
does. And how many synaptic operations inputs within a budget can cause."""

import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor

from art_snn.attacks.measures import SIZES, Norm, require_measure
from art_snn.bounds.bounding import Bounding, check_bounded, enclose_samples
from art_snn.bounds.box import round_toward
from art_snn.bounds.firing import METHODS, SpikeCounts
from art_snn.bounds.operations import Propagation
from art_snn.bounds.propagate import Ends
from art_snn.bounds.reduced import Reduction, TooLarge
from art_snn.bounds.search import Falsifier, Search, bound_margin
from art_snn.checks import (
    ArgumentError,
    require,
    require_choice,
    require_count,
    require_number,
    require_seed,
)
from art_snn.classifier.inputs import as_array, check_samples, class_indices, require_network
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.metrics.energy import count_accumulates, count_synapses, input_operations
from art_snn.metrics.robust import Share
from art_snn.network import SpikingNetwork
from art_snn.passes import keep_modes
from art_snn.progress import progress_over

_TRAINS = "trains"
_MOST_STEPS, _MOST_OPEN = 5, 1024
"""Steps, and neurons of a layer that are not fixed, up to which trains are the usual method."""


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
        return np.asarray(self.margin > 0)

    @property
    def certified_accuracy(self) -> Share:
        """The share of those samples: a lower bound of the robust accuracy on all of them."""
        return Share.of(self.certified)

    def __str__(self) -> str:
        return f"certified accuracy {self.certified_accuracy} by {self.method}"


def certify_bounds(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    norm: Norm = np.inf,
    method: str | None = None,
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
    :param method: "counts"; "s-ibp", which is never tighter; or "trains", never looser: it
        also follows sets of spike trains, as :func:`decide_bounds` does, around each sample that
        counts do not certify. None: trains where they are cheap, in norm inf, for a chain of layers
        under direct encoding of up to five steps, else counts.
    :param batch_size: samples per pass.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for a layer or neuron without bounds, by its name; for preprocessing, half
        precision, samples outside the clip values, or a bad setting."""
    network, samples, norm, eps = read_budget(classifier, x, eps, norm)
    methods = [*METHODS, _TRAINS]
    if method is not None:
        require_choice("method", method, methods, remedy="counts is never looser.")
    batch_size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    limits, labels = classifier.clip_values, class_indices(y, len(samples), classifier.nb_classes)
    expected, asked = "'counts' or 's-ibp' in norm 2", method == _TRAINS
    require(norm == np.inf or not asked, "method", expected, method, "Only boxes have trains.")
    reduction = None
    if asked or (method is None and norm == np.inf and (network.steps or 0) <= _MOST_STEPS):
        with nullcontext() if asked else suppress(ArgumentError):
            reduction = Reduction(network, eps, limits, *(() if asked else (_MOST_OPEN,)))
    plain = "counts" if method is None or asked else method
    bounding = Bounding(network, METHODS[plain](), eps, norm, limits)
    device, dtype = device_of(network), network.dtype or torch.get_default_dtype()
    margins, starts = [np.zeros(0)], range(0, len(samples), batch_size)
    for start in progress_over(starts, "Bounds", unit="batches", verbose=verbose):
        rows = slice(start, start + batch_size)
        x_batch = torch.as_tensor(samples[rows], dtype=dtype, device=device)
        y_batch = torch.as_tensor(labels[rows], device=device)
        margins.append(bounding.margin(x_batch, y_batch).double().cpu().numpy())
        if reduction is not None:
            _follow_trains(reduction, x_batch, y_batch, margins[-1])
    return BoundsCertificate(eps, norm, _TRAINS if reduction else plain, np.concatenate(margins))


def read_budget(
    classifier: PyTorchClassifier, x: np.ndarray, eps: float, norm: Norm
) -> tuple[SpikingNetwork, np.ndarray, float, float]:
    """The network, samples within the clip values, norm and eps of a bound.

    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: for a network without bounds, preprocessing, or a bad sample or budget."""
    remedy = "Put it into the network: TimeDistributed(Normalize(mean, std), ...)."
    network = require_network("classifier", classifier, remedy)
    changed = bool(getattr(classifier, "postprocessing_defences", None))
    expected = "a classifier without postprocessing"
    require(not changed, "classifier", expected, "one with it", "Leave it out.")
    check_bounded(network)
    measure = require_measure(norm, SIZES)
    eps = measure.require_budget(eps)
    samples, limits = as_array(check_samples(x, classifier.input_shape)), classifier.clip_values
    if limits is not None:
        inside = bool(((samples >= limits[0]) & (samples <= limits[1])).all())
        got = "others" if inside else f"values from {samples.min():g} to {samples.max():g}"
        remedy = "Scale the samples, or make the classifier with other clip_values."
        require(inside, "x", f"values within clip_values, {limits}", got, remedy)
    if type(network) is not SpikingNetwork:
        classifier.predict(samples[:1])  # Adapted networks verify their model, or refuse it.
    return network, samples, float(measure.norm), eps


def _follow_trains(
    reduction: Reduction, x: Tensor, y: Tensor, margins: NDArray[np.float64]
) -> None:
    """Raise the margins [N] that are not above 0, of samples x [N, ...] of classes y [N]."""
    with keep_modes(reduction.network, False), torch.no_grad():
        right = (reduction.network(x).argmax(1) == y).cpu().numpy()
    for i in np.flatnonzero(right & (margins <= 0)):
        with suppress(TooLarge):
            least = bound_margin(reduction.around(x[i : i + 1], int(y[i])))
            margins[i] = max(margins[i], least)


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
        return Share.of(self.safe), Share.of(~self.broken)

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
        with suppress(TooLarge), keep_modes(network, False), torch.no_grad():
            falsifier = Falsifier(classifier, point, label, limits, seed + int(row))
            search = Search(reduction.around(point, label), falsifier)
            outcome, visited[row] = search.decide(go_on), search.nodes
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


def bound_operations(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    eps: float,
    norm: Norm = np.inf,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """The most :func:`~art_snn.metrics.synaptic_operations` of any input within a budget.

    Rounding is part of the bound, as it is of :func:`certify_bounds`.

    :param classifier, x: as both functions take them.
    :param eps, norm: the budget, in norm numpy.inf or 2.
    :return: float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: as both functions."""
    network, samples, norm, eps = read_budget(classifier, x, eps, norm)
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    counts, bounds = _MostSpikes(), [np.zeros(0)]
    (_, inputs), *layers = count_synapses(network, classifier.input_shape)
    bounding = Bounding(network, counts, eps, norm, classifier.clip_values)
    for start in range(0, len(samples), size):
        batch = torch.tensor(samples[start : start + size], device=device_of(network))
        with bounding.evaluating():
            batch = batch.to(network.dtype or torch.get_default_dtype())
            box = enclose_samples(batch, eps, norm, classifier.clip_values)
            bounding.spread(box, checked=True)
            with Propagation():
                encoded: Any = network.encode(box)
            ends = [encoded.centre]
            if not repeats_one_step(encoded.centre):
                # The input is dense between whole numbers.
                most = encoded.ends[1].clamp_min(0).floor()
                ends = [most, most + 0.5]
            bound = torch.stack([input_operations(end, inputs)[0] for end in ends]).amax(0)
            # A second pass may have followed one of means over time.
            for most, (_, leaving) in zip(counts.most[-len(layers) :], layers, strict=True):
                bound = bound + count_accumulates(most, leaving)
        bounds.append(bound.detach().cpu().numpy())
        counts.most.clear()
    return np.concatenate(bounds)


class _MostSpikes(SpikeCounts):
    """Spike counts that keep the most of every neuron [N, ...], in the order of calls.

    None fires more often than at the upper ends of its currents: more never gives fewer spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.most = list[Tensor]()

    def fire(self, site: NeuronRef, current: Any) -> Tensor:
        spikes: Any = super().fire(site, current)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            if steps := spikes.enclosure.averaged:
                most = (spikes.ends[1][-1] * steps).round()
            else:
                most = self._simulate_ends(site, current.without_graph())[1].sum(0)
        self.most.append(most.double())
        return spikes  # type: ignore[no-any-return]
