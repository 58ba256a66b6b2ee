"""How many synaptic operations inputs within a budget can cause.

No neuron fires more often than a simulation at the upper ends of its currents, since more current
never gives fewer spikes."""

from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor

from art_snn.bounds.bounding import Bounding, enclose_samples
from art_snn.bounds.certify import read_budget
from art_snn.bounds.firing import SpikeCounts
from art_snn.bounds.operations import Propagation
from art_snn.checks import require_count
from art_snn.gradients.base import Site
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.metrics.energy import count_accumulates, count_synapses, input_operations


def bound_operations(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    eps: float,
    norm: float | str = np.inf,
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
                encoded = network.encode(box)
            bound = _bound_input(encoded, inputs)
            # A second pass may have followed one of means over time.
            for most, (_, leaving) in zip(counts.most[-len(layers) :], layers, strict=True):
                bound = bound + count_accumulates(most, leaving)
        bounds.append(bound.detach().cpu().numpy())
        counts.most.clear()
    return np.concatenate(bounds)


class _MostSpikes(SpikeCounts):
    """Spike counts that keep the most of every neuron [N, ...], in the order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.most = list[Tensor]()

    def fire(self, site: Site, current: Any) -> Tensor:
        spikes: Any = super().fire(site, current)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            if steps := spikes.enclosure.averaged:
                most = (spikes.ends[1][-1] * steps).round()
            else:
                most = self._simulate_ends(site, current.without_graph())[1].sum(0)
        self.most.append(most.double())
        return spikes  # type: ignore[no-any-return]


def _bound_input(encoded: Any, leaving: Tensor) -> Tensor:
    """Bounds of the input's operations [N], which is dense between whole numbers."""
    if repeats_one_step(encoded.centre):
        return input_operations(encoded.centre, leaving)[0]
    most = encoded.ends[1].clamp_min(0).floor()
    return torch.maximum(*(input_operations(part, leaving)[0] for part in (most, most + 0.5)))
