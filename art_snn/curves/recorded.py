"""Recording what rate which mean current causes in a network that runs on data."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid, require, require_count, require_seed
from art_snn.classifier.inputs import checked_samples
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.passes import calls_of, modes_kept
from art_snn.progress import progress_over
from art_snn.seeding import seeded


@dataclass(frozen=True)
class Pairs:
    """Mean current and mean rate at places (sample, neuron), drawn from all of a layer.

    :param places: number of places there are, samples times neurons.
    :param sample, neuron: index of the sample [P], ascending, and in the flattened layer [P].
    :param current: mean input current over time [P], in the unit of the threshold.
    :param rate: spikes per time step [P]."""

    layer: str
    places: int
    sample: np.ndarray
    neuron: np.ndarray
    current: np.ndarray
    rate: np.ndarray


def record(
    network: SpikingNetwork,
    x: np.ndarray,
    layer: int | str = 1,
    *,
    pairs: int = 8000,
    batch_size: int = 64,
    seed: int = 0,
) -> Pairs:
    """Run the network on data and pick pairs of mean current and mean rate from one layer.

    The places are drawn uniformly and without repetition from all pairs of a sample and a neuron.
    They depend only on the seed and on the numbers of samples and neurons. Of a layer that is
    called several times in one pass the first call is recorded.

    The network runs in evaluation mode and is left as it was, like the random states. An encoder
    such as Poisson draws from the seed, batch after batch.

    :param network: with any neurons.
    :param x: samples [N, ...].
    :param layer: name of a layer of neurons (as in `network.layer_names`), or its index among them
        in order of definition; 1 is the second, that of figure 2 in Bu et al. (CVPR 2023).
    :param pairs: number P of pairs; all places when there are fewer.
    :param batch_size: samples per pass.
    :param seed: of the places, >= 0.
    :raises TypeError: when network or x are of another kind.
    :raises ValueError: when there is no such layer or it is not called, or without samples."""
    name = find_layer(network, layer)
    require_count("pairs", pairs, remedy="The paper draws 8000.")
    require_count("batch_size", batch_size, remedy="64 is usual.")
    seed = require_seed("seed", seed)
    x = checked_samples(x, np.shape(x)[1:])
    require(len(x), "x", "at least one sample", "none", "Give samples.")
    device, picker = device_of(network), _Picker(len(x), pairs, seed)
    neurons = next(layer for layer in network.neuron_layers() if layer.name == name)
    got, expected = f"{name!r}, which was not called", "a layer that the network calls"
    hooked = calls_of(neurons.module)
    with hooked as calls, seeded(seed), modes_kept(network), torch.no_grad():
        network.eval()
        starts = range(0, len(x), batch_size)
        for start in progress_over(starts, f"Recording {name}", unit="batches", leave=False):
            calls.clear()
            network(torch.as_tensor(x[start : start + batch_size], device=device))
            require(calls, "layer", expected, got, "Choose another layer.")
            picker.pick(start, *network.in_time(neurons, calls))
    return picker.result(name)


def find_layer(network: SpikingNetwork, layer: int | str) -> str:
    """Name of a layer of neurons, by its name or by its index among the layers of neurons.

    :raises TypeError, ValueError: when the network is no SpikingNetwork, or has no such layer."""
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"network: expected an art_snn.SpikingNetwork, got {type(network).__name__}. "
            "That of a classifier is classifier.model."
        )
    layers = network.neuron_layers()
    names = [neurons.name for neurons in layers]
    for neurons in layers:
        if isinstance(layer, str) and layer in (neurons.name, neurons.site.name):
            return neurons.name
    if isinstance(layer, int) and not isinstance(layer, bool) and 0 <= layer < len(names):
        return names[layer]
    expected = f"one of {', '.join(names)}, or an index from 0 to {len(names) - 1}"
    raise invalid("layer", expected, repr(layer), "Only layers of neurons have a rate.")


class _Picker:
    """Keeps the mean currents and rates of a layer of neurons at random places."""

    def __init__(self, samples: int, pairs: int, seed: int) -> None:
        self.samples, self.pairs, self.seed, self.neurons = samples, pairs, seed, 0
        self.places = np.zeros(0)
        self.picked: list[tuple[np.ndarray, np.ndarray]] = []

    def pick(self, first: int, currents: Tensor, spikes: Tensor) -> None:
        """From the batch that begins with that sample; both [T, N, ...]."""
        if not self.picked:
            self.neurons = spikes[0, 0].numel()
            count, draw = self.samples * self.neurons, np.random.default_rng(self.seed)
            # In ascending order, the neurons of one sample next to one another.
            places = draw.choice(count, min(self.pairs, count), replace=False, shuffle=False)
            self.places = np.sort(places)
        ends = np.array([first, first + spikes.shape[1]]) * self.neurons
        begin, end = np.searchsorted(self.places, ends)
        here = torch.as_tensor(self.places[begin:end] - ends[0], device=spikes.device)
        self.picked.append((_means(currents, here), _means(spikes, here)))

    def result(self, layer: str) -> Pairs:
        sample, neuron = np.divmod(self.places, self.neurons)
        current, rate = (np.concatenate(means) for means in zip(*self.picked, strict=True))
        return Pairs(layer, self.samples * self.neurons, sample, neuron, current, rate)


def _means(values: Tensor, places: Tensor) -> np.ndarray:
    """Means over time [P] of values [T, N, ...] at flat places [P] of [N, ...], in float64."""
    means: np.ndarray = values.flatten(1).index_select(1, places).cpu().double().mean(0).numpy()
    return means
