"""Six samples of a few pixels, and the weights of networks on them."""

import numpy as np
import torch

from art_snn import SpikingNetwork
from art_snn.data import Dataset
from tests.conftest import varied


def images(name="tiny", shape=(1, 4, 4), classes=3):
    """Six training images of random pixels, two of them for testing, too."""
    draw = np.random.default_rng(varied())
    x = draw.random((6, *shape), dtype=np.float32)
    y = np.arange(6) % classes
    return Dataset(name, x, y, x[:2], y[:2])


def frames(steps: int = 3) -> Dataset:
    """The same of event frames, whose range is unknown."""
    x = np.random.default_rng(varied()).integers(0, 5, (6, steps, 2, 4, 6)).astype(np.float32)
    y = np.arange(6) % 3
    return Dataset("tiny events", x, y, x[:2], y[:2], value_range=None)


def weights(network: SpikingNetwork) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, copied."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
