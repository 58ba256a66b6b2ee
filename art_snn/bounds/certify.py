"""Certificates, decisions, and bounds of synaptic operations for samples within a budget.

A certificate tells which samples no perturbation breaks. A decision also tells which
samples a perturbation breaks."""

import time
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from art_snn.attacks.measures import SIZES, Norm, require_measure
from art_snn.bounds.bounding import Bounding
from art_snn.bounds.box import Box, round_toward
from art_snn.bounds.falsify import Falsifier
from art_snn.bounds.firing import METHODS, BoundingMethod, Counts, bound_currents
from art_snn.bounds.operations import Propagation
from art_snn.bounds.reduced import ProblemBuilder, TooLarge
from art_snn.bounds.search import Search, bound_margin
from art_snn.checks import (
    ArgumentError,
    invalid,
    require,
    require_choice,
    require_count,
    require_number,
    require_seed,
)
from art_snn.classifier.inputs import (
    as_array,
    as_tensor,
    check_samples,
    class_indices,
    require_network,
)
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import repeats_one_step
from art_snn.interop.body import ModelBody
from art_snn.layers import device_of, dtype_of
from art_snn.metrics.energy import count_accumulates, count_synapses, input_operations
from art_snn.metrics.robust import Share
from art_snn.network import SpikingNetwork
from art_snn.progress import progress_over
from art_snn.running.context import keep_modes

_TRAINS = "trains"
_MOST_STEPS = 5
"""Up to so many time steps trains are the usual method."""
_MOST_OPEN = 1024
"""The usual method follows trains of up to so many neurons of a layer that are not
fixed."""


@dataclass(frozen=True)
class BoundsCertificate:
    """Samples that no perturbation within a budget can break.

    :param eps, norm: the budget.
    :param method: the method that bounded the spikes.
    :param margin: a lower bound of the true class's logit minus the largest other one,
        anywhere within the budget, float (N,)."""

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
        """The share of certified samples: a lower bound of the robust accuracy."""
        return Share.of(self.certified)

    def __str__(self) -> str:
        return f"certified accuracy {self.certified_accuracy} by {self.method}"


def certify_bounds(
    classifier: PyTorchClassifier,
    x: ndarray,
    y: ndarray,
    eps: float,
    norm: Norm = np.inf,
    method: str | None = None,
    *,
    batch_size: int = 32,
    verbose: bool = False,
) -> BoundsCertificate:
    """Bound what any attack within a budget can do, sample by sample.

    Bounds hold for the network as it is computed, in any order of its sums: rounding is
    part of them. They cost a few forward passes.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose encoder draws nothing, of
        convolutions, linear layers, batch norms, pooling, sums, and LIF or IF neurons.
    :param x: samples ``(N, *input_shape)``.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps, norm: the budget, in norm numpy.inf or 2.
    :param method: "counts"; "s-ibp", which is never tighter; or "trains", which is
        never looser: it follows sets of spike trains, as :func:`decide_bounds` does,
        around each sample that counts do not certify. None takes trains in norm inf, for
        a chain of layers under direct encoding of up to five steps, and else counts.
    :param batch_size: samples per pass.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for a layer or neuron without bounds, by its name; preprocessing;
        half precision; samples outside the clip values; or a bad setting."""
    if method is not None:
        require_choice(
            "method", method, [*METHODS, _TRAINS], remedy="counts is never looser."
        )
    plain = "counts" if method in (None, _TRAINS) else method
    bounding, samples = _read_budget(classifier, x, eps, norm, METHODS[plain]())
    builder = _choose_builder(bounding, method)
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    labels = class_indices(y, len(samples), classifier.nb_classes)
    margin = np.zeros(len(samples))
    starts = range(0, len(samples), size)
    for start in progress_over(starts, "Bounds", unit="batches", verbose=verbose):
        rows = slice(start, start + size)
        x_batch = _as_input(bounding.network, samples[rows])
        y_batch = torch.as_tensor(labels[rows], device=x_batch.device)
        margin[rows] = as_array(bounding.margin(x_batch, y_batch))
        if builder is None:
            continue

        # Trains may raise what is not above 0.
        with keep_modes(bounding.network, False), torch.no_grad():
            is_right = as_array(bounding.network(x_batch).argmax(1) == y_batch)
        for i in np.flatnonzero(is_right & (margin[rows] <= 0)):
            with suppress(TooLarge):
                by_trains = bound_margin(
                    builder.build(x_batch[i : i + 1], int(y_batch[i]))
                )
                margin[start + i] = max(margin[start + i], by_trains)
    name = _TRAINS if builder else plain
    return BoundsCertificate(bounding.eps, bounding.norm, name, margin)


def _choose_builder(bounding: Bounding, method: str | None) -> ProblemBuilder | None:
    """Return what follows trains, if the method does; None if it does not."""
    if method == _TRAINS:
        require(
            bounding.norm == np.inf,
            "method",
            "'counts' or 's-ibp' in norm 2",
            method,
            "Only boxes have trains.",
        )
        return ProblemBuilder(bounding)
    has_few_steps = (bounding.network.body.steps or 0) <= _MOST_STEPS
    if method is None and bounding.norm == np.inf and has_few_steps:
        with suppress(ArgumentError):
            return ProblemBuilder(bounding, _MOST_OPEN)
    return None


def _read_budget(
    classifier: PyTorchClassifier,
    x: ndarray,
    eps: float,
    norm: Norm,
    method: BoundingMethod,
) -> tuple[Bounding, ndarray]:
    """Check a network, samples and a budget; return the passes of boxes, and the samples.

    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: for a network without bounds, preprocessing, or a bad sample or
        budget."""
    remedy = "Put it into the network: TimeDistributed(Normalize(mean, std), ...)."
    network = require_network("classifier", classifier, remedy)
    require(
        not classifier.postprocessing_defences,
        "classifier",
        "a classifier without postprocessing",
        "one with it",
        "Leave it out.",
    )
    measure = require_measure(norm, SIZES)
    eps = measure.require_budget(eps)
    samples = as_array(check_samples(x, classifier.input_shape))
    limits = classifier.clip_values
    if limits is not None and not ((samples >= limits[0]) & (samples <= limits[1])).all():
        raise invalid(
            "x",
            f"values within clip_values, {limits}",
            f"values from {samples.min():g} to {samples.max():g}",
            "Scale the samples, or make the classifier with other clip_values.",
        )
    if isinstance(network.body, ModelBody):
        # Adapted networks verify their model, or refuse it. That may show what has no bounds.
        classifier.predict(samples[:1])
    return Bounding(network, method, eps, float(measure.norm), limits), samples


def _as_input(network: SpikingNetwork, samples: ndarray) -> Tensor:
    """Return samples in the precision of a network, on its device."""
    return torch.as_tensor(samples, dtype=dtype_of(network), device=device_of(network))


@dataclass(frozen=True)
class Decision:
    """Which samples a perturbation within a budget breaks, as far as is known.

    :param eps: the budget, in the maximum norm.
    :param safe: samples that no perturbation breaks, by a proof, bool (N,).
    :param broken: samples that the classifier gets wrong at their `adversarial`, bool
        (N,).
    :param adversarial: points within the budget for broken samples, and the samples
        themselves for others (N, ...).
    :param nodes: divisions of the search (N,).
    :param seconds: the time that each sample took (N,)."""

    eps: float
    safe: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    adversarial: ndarray
    nodes: NDArray[np.int64]
    seconds: NDArray[np.float64]

    @property
    def open(self) -> NDArray[np.bool_]:
        """Samples that are neither safe nor broken, bool (N,)."""
        return np.asarray(~(self.safe | self.broken))

    @property
    def robust_accuracy(self) -> tuple[Share, Share]:
        """Both ends of the robust accuracy, which are equal if no sample is open."""
        return Share.of(self.safe), Share.of(~self.broken)

    def __str__(self) -> str:
        low, high = self.robust_accuracy
        if low == high:
            return f"robust accuracy {low}, exactly on these samples"
        return f"robust accuracy from {low.percent} to {high.percent}, {self.open.sum()} open"


def decide_bounds(
    classifier: PyTorchClassifier,
    x: ndarray,
    y: ndarray,
    eps: float,
    *,
    seconds: float = 10.0,
    nodes: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    verbose: bool = False,
) -> Decision:
    """Decide, sample by sample, whether any perturbation within a budget breaks it.

    A sample is safe if every division of what neurons may do is refuted, for the
    network as it is computed. It is broken if the classifier gets a point within the
    budget wrong.

    :param classifier: as for :func:`certify_bounds`, around a chain of convolutions,
        linear layers, batch norms, average pooling, and LIF or IF neurons, under
        direct encoding of up to 8 steps.
    :param x, y, batch_size, verbose: as for :func:`certify_bounds`.
    :param eps: the budget, in the maximum norm.
    :param seconds: the time of the search for each sample.
    :param nodes: divisions for each sample, instead of seconds, to decide alike
        everywhere.
    :param seed: of random points.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: as :func:`certify_bounds`, and for what is no such chain."""
    seconds = require_number(
        "seconds", seconds, at_least=0, remedy="Ten decide most samples."
    )
    if nodes is not None:
        nodes = require_count("nodes", nodes, remedy="None, for a limit in seconds.")
        seconds = inf
    seed = require_seed("seed", seed)
    certificate = certify_bounds(
        classifier, x, y, eps, method="counts", batch_size=batch_size
    )
    bounding, samples = _read_budget(classifier, x, eps, np.inf, Counts())
    builder = ProblemBuilder(bounding)
    labels = class_indices(y, len(samples), classifier.nb_classes)
    broken = classifier.predict(samples, batch_size=batch_size).argmax(1) != labels

    # The search finds points in the precision of the network.
    wider = np.result_type(samples, str(builder.dtype).removeprefix("torch."))
    decision = Decision(
        bounding.eps,
        safe=certificate.certified & ~broken,
        broken=broken,
        adversarial=samples.astype(wider),
        nodes=np.zeros(len(samples), dtype=np.int64),
        seconds=np.zeros(len(samples)),
    )
    rows = np.flatnonzero(decision.open).tolist()
    for row in progress_over(rows, "Decisions", unit="samples", verbose=verbose):
        _decide_sample(decision, row, builder, classifier, labels, seed, seconds, nodes)
    return decision


def _decide_sample(
    decision: Decision,
    row: int,
    builder: ProblemBuilder,
    classifier: PyTorchClassifier,
    labels: ndarray,
    seed: int,
    seconds: float,
    nodes: int | None,
) -> None:
    """Decide the sample of a row, and write what is found to the decision."""
    start = time.monotonic()
    sample = decision.adversarial[row : row + 1]
    bounding = builder.bounding
    point = _as_input(bounding.network, sample)
    label = int(labels[row])

    # sample - eps < point < sample + eps, and lowest <= point <= highest.
    low = np.nextafter(sample - np.float64(bounding.eps), inf)
    high = np.nextafter(sample + np.float64(bounding.eps), -inf)
    if bounding.limits is not None:
        lowest, highest = bounding.limits
        low = np.maximum(low, lowest)
        high = np.minimum(high, highest)
    least = round_toward(inf, as_tensor(low), point.dtype)
    most = round_toward(-inf, as_tensor(high), point.dtype)

    with suppress(TooLarge), keep_modes(bounding.network, False), torch.no_grad():
        falsifier = Falsifier(classifier, point, label, (least, most), seed + row)
        search = Search(builder.build(point, label), falsifier)
        is_safe = search.decide(start + seconds, nodes or inf)
        decision.nodes[row] = search.nodes
        if is_safe:
            decision.safe[row] = True
        elif is_safe is not None:
            decision.broken[row] = True
            decision.adversarial[row] = falsifier.best[0]
    decision.seconds[row] = time.monotonic() - start


def bound_operations(
    classifier: PyTorchClassifier,
    x: ndarray,
    eps: float,
    norm: Norm = np.inf,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """Bound the :func:`~art_snn.metrics.synaptic_operations` of inputs within a budget.

    Rounding is part of the bound, as it is of :func:`certify_bounds`.

    :param classifier, x: as both functions take them.
    :param eps, norm: the budget, in norm numpy.inf or 2.
    :return: the most operations, float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: as both functions."""
    bounding, samples = _read_budget(classifier, x, eps, norm, Counts())
    network = bounding.network
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    (_, inputs), *layers = count_synapses(network, classifier.input_shape)
    bounds = [np.zeros(0)]
    spikes = list[Tensor]()
    for start in range(0, len(samples), size):
        spikes.clear()
        with bounding.evaluating():
            box = bounding.enclose(_as_input(network, samples[start : start + size]))
            bounding.spread(
                box, True, lambda *call: spikes.append(_count_most_spikes(*call))
            )
            with Propagation():
                encoded: Any = network.body.encode(box)
            bound = _bound_inputs(encoded, inputs)
            # A second pass may have followed one of means over time.
            for most, (_, leaving) in zip(spikes[-len(layers) :], layers, strict=True):
                bound = bound + count_accumulates(most, leaving)
        bounds.append(as_array(bound))
    return np.concatenate(bounds)


def _count_most_spikes(site: NeuronRef, current: Box, spikes: Box) -> Tensor:
    """Return the most spikes of every neuron [N, ...], over all steps."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        steps = spikes.averaged
        if steps:
            _, most = spikes.ends
            return (most[-1] * steps).round().double()
        # The number of spikes never falls where the current rises: N(x) <= N(h).
        _, high = bound_currents(site.dynamics, current.without_graph())
        return site.dynamics.simulate(high).sum(0).double()


def _bound_inputs(encoded: Box, leaving: Tensor) -> Tensor:
    """Bound the operations [N] of the encoded input [T, N, ...].

    :param leaving: how many synapses leave each value."""
    if repeats_one_step(encoded.centre):
        return input_operations(encoded.centre, leaving)[0]
    _, high = encoded.ends
    most = high.clamp_min(0).floor()
    # Between whole numbers the input is dense.
    events, _ = input_operations(most, leaving)
    dense, _ = input_operations(most + 0.5, leaving)
    return torch.maximum(events, dense)
