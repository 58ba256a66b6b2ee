"""Bounds of synaptic operations: how many an input within a budget can cause.

A neuron fires at most as often as a simulation at the upper ends of its currents, since more
current never gives fewer spikes."""

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor

from art_snn.bounds.bounding import Bounding, enclose_samples
from art_snn.bounds.box import Box
from art_snn.bounds.certify import read_budget
from art_snn.bounds.firing import SpikeCounts
from art_snn.bounds.operations import Propagation
from art_snn.checks import require_count
from art_snn.gradients.base import Site
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.metrics.energy import Synapses, count_synapses, input_operations, weigh


def bound_operations(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    eps: float,
    norm: float | str = np.inf,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """The most synaptic operations of any input within a budget.

    Bounds hold for the network as it is computed, in any order of its sums, as those of
    :func:`certify_bounds` do.

    :param classifier: as :func:`certify_bounds` and
        :func:`~art_snn.metrics.synaptic_operations` take it.
    :param x: samples ``(N, *input_shape)``.
    :param eps: the budget.
    :param norm: numpy.inf or 2.
    :param batch_size: samples per pass.
    :return: float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: as those two."""
    network, samples, norm, eps = read_budget(classifier, x, eps, norm)
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    synapses, counts = count_synapses(network, classifier.input_shape), _MostSpikes()
    bounding = Bounding(network, counts, eps, norm, classifier.clip_values)
    dtype, bounds = network.dtype or torch.get_default_dtype(), [np.zeros(0)]
    for start in range(0, len(samples), size):
        batch = torch.as_tensor(samples[start : start + size], dtype=dtype).clone()
        with bounding.evaluating():
            bounds.append(_bound(bounding, counts, batch.to(device_of(network)), synapses))
    return np.concatenate(bounds)


class _MostSpikes(SpikeCounts):
    """Spike counts that are noted, the most of every neuron [N, ...] in the order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.most = list[Tensor]()

    def fire(self, site: Site, current: Tensor) -> Tensor:
        spikes = super().fire(site, current)
        assert isinstance(current, Box)
        assert isinstance(spikes, Box)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            if steps := spikes.enclosure.averaged:
                most = (spikes.ends[1][-1] * steps).round()
            else:
                most = self._simulate_ends(site, current.without_graph())[1].sum(0)
        self.most.append(most.double())
        return spikes


def _bound(
    bounding: Bounding, counts: _MostSpikes, x: Tensor, synapses: Synapses
) -> NDArray[np.float64]:
    """Bounds of the operations [N] of samples [N, ...]."""
    box = enclose_samples(x, bounding.eps, bounding.norm, bounding.limits)
    bounding.spread(box, checked=True)
    with Propagation():
        encoded = bounding.network.encode(box)
    assert isinstance(encoded, Box)
    if repeats_one_step(encoded.centre):
        total, _ = input_operations(encoded.centre, synapses)
    else:
        most = encoded.ends[1].clamp_min(0).floor()
        # Inputs between whole numbers are dense.
        total = torch.maximum(*(input_operations(part, synapses)[0] for part in (most, most + 0.5)))
    # A second pass may have followed one of means over time.
    for most, leaving in zip(counts.most[-len(synapses.neurons) :], synapses.neurons, strict=True):
        total = total + weigh(most, leaving)
    counts.most.clear()
    return np.asarray(total.detach().cpu().numpy())
