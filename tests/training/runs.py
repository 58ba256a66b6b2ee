"""A network with everything that training could forget, its samples, and runs that are killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import LIF, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.modulation import Gates, Noise
from art_snn.training import Recipe, train
from tests.architectures import Switch
from tests.seeds import varied

SETTINGS = Recipe.short(epochs=3, batch_size=8, learning_rate=0.01, seed=4)
STEPS_PER_EPOCH = 3


class Killed(BaseException):
    """What ends a run in the middle."""


def build(seed: int = 0, hidden: int = 10, **options: Any) -> SpikingNetwork:
    """A network with everything that training could forget: buffers, dropout, gates, noise."""
    torch.manual_seed(varied(seed))
    layers = nn.Sequential(
        Switch(),
        Timed(nn.Linear(6, hidden), nn.BatchNorm1d(hidden)),
        LIF(),
        Gates((hidden,)),
        Noise(0.05),
        Timed(nn.Dropout(0.2), nn.Linear(hidden, 3)),
    )
    return SpikingNetwork(layers, Poisson(3), "stbp", **options)


def samples(count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that differ in which two inputs are large; the last batch is smaller."""
    y = np.arange(count) % 3
    x = np.random.default_rng(varied()).uniform(0, 0.4, (count, 6))
    x[np.arange(count), 2 * y] += 0.6
    x[np.arange(count), 2 * y + 1] += 0.6
    return x.astype(np.float32), y


def kill_at(net: SpikingNetwork, step: int) -> None:
    """Let a layer raise at a step, counted from 1."""
    seen = []

    def count(x: Tensor) -> None:
        seen.append(x)
        if len(seen) == step:
            raise Killed

    watch(net, count)


def watch(net: SpikingNetwork, action: Callable[[Tensor], Any]) -> None:
    """Do that at every pass, save the look at one sample before the training."""
    net.layers[0].action = lambda x: action(x) if x.shape[1] > 1 else None


def assert_same_state(ours: SpikingNetwork, theirs: SpikingNetwork) -> None:
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def trained(resume: Path | None = None, settings: Recipe = SETTINGS, seed: int = 0):
    net = build(seed)
    train(net, *samples(), settings, resume)
    return net
