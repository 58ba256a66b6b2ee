"""Small convolutional networks for the digits of scikit-learn, for --model in the study."""

from collections.abc import Sequence

from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed


def network(channels: int = 32, hidden: Sequence[int] = (128,)) -> SpikingNetwork:
    """From [N, 1, 8, 8] to [N, 10], T = 4, decay 0.5."""
    layers = [
        TimeDistributed(nn.Conv2d(1, channels, 3, padding=1)),
        LIF(),
        TimeDistributed(nn.Conv2d(channels, channels, 3, stride=2, padding=1)),
        LIF(),
    ]
    flatten, features = [nn.Flatten()], 16 * channels
    for width in hidden:
        layers += [TimeDistributed(*flatten, nn.Linear(features, width)), LIF()]
        flatten, features = [], width
    layers.append(TimeDistributed(nn.Linear(features, 10)))
    return SpikingNetwork(layers, Direct(4), input_shape=(1, 8, 8))


def deeper() -> SpikingNetwork:
    """The same with four layers of neurons, and fewer of these."""
    return network(16, (64, 32))
