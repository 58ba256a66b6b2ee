"""Networks of a few pixels whose classes can be computed for every pattern of spikes."""

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn

from art_snn import LIF, Poisson, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed as Timed
from art_snn.classifier import wrap
from art_snn.gradients.base import simulation
from art_snn.layers import dtype_of
from tests.seeds import varied


def linear(weight: Any, bias: Any, steps: int, dtype: torch.dtype = torch.float32) -> Any:
    """The classifier whose logits are weight @ (rates of the spikes) + bias.

    A neuron whose current is a spike fires at that spike, and at once."""
    weight, bias = torch.tensor(weight, dtype=dtype), torch.tensor(bias, dtype=dtype)
    readout = nn.Linear(weight.shape[1], len(weight), dtype=dtype)
    with torch.no_grad():
        readout.weight.copy_(weight)
        readout.bias.copy_(bias)
    return classifier([LIF(), Timed(readout)], weight.shape[1], len(weight), steps)


def l1_radius(probability: float, steps: int) -> float:
    return float(Poisson(steps).certified(probability).radius)


def hidden(draw: int, pixels: int, steps: int) -> PyTorchSpikingClassifier:
    """A drawn network whose hidden neurons carry a potential from one step to the next."""
    torch.manual_seed(varied(draw))
    layers = [Timed(nn.Linear(pixels, 8)), LIF(decay=0.8), Timed(nn.Linear(8, 3, bias=False))]
    with torch.no_grad():
        layers[0].module[0].weight.mul_(4)
    return classifier(layers, pixels, 3, steps)


def classifier(layers, pixels, classes, steps):
    network = SpikingNetwork(layers, encoder=Poisson(steps))
    return wrap(network, (pixels,), classes, (0.0, 1.0), "cpu")


def answers(classifier: PyTorchSpikingClassifier, pixels: int, steps: int) -> np.ndarray:
    """Class of every pattern of spikes, an array of 2 along each of steps * pixels axes."""
    every = list(itertools.product((0.0, 1.0), repeat=steps * pixels))
    encoded = torch.tensor(every, dtype=dtype_of(classifier.model)).view(-1, steps, pixels)
    with torch.no_grad():
        logits = classifier.model.body.run(encoded.transpose(0, 1), simulation)
    return logits.argmax(1).numpy().reshape((2,) * (steps * pixels))


def probabilities(classes: np.ndarray, x: np.ndarray, steps: int, count: int = 3) -> np.ndarray:
    """Exact probabilities [count] of the classes of all patterns, for one sample [pixels]."""
    weight = np.ones(())
    for probability in np.tile(np.asarray(x, dtype=np.float64), steps):
        weight = np.multiply.outer(weight, [1 - probability, probability])
    # Sums of all patterns may exceed 1 in their last bit.
    return np.array([min(weight[classes == k].sum(), 1.0) for k in range(count)])
