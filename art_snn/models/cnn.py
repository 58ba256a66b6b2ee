"""A small convolutional network without batch norm, for images of few pixels."""

from typing import Any

from torch import nn

from art_snn.layers import TimeDistributed
from art_snn.models.options import Options
from art_snn.models.parts import halved
from art_snn.network import SpikingNetwork

CHANNELS, HIDDEN = 32, 128


def cnn4(**options: Any) -> SpikingNetwork:
    """CNN-4: two convolutions of 32 channels, the second of stride 2, linear 128, readout.

    All four layers have a bias and no batch norm. A side that cannot be halved is rounded up.
    Options as in :func:`art_snn.models.vgg`.

    :return: network from [N, in_channels, height, width] to [N, classes]."""
    settings = Options(**options)
    channels, hidden = settings.scaled(CHANNELS), settings.scaled(HIDDEN)
    height, width = halved(settings.sides)
    first = nn.Conv2d(settings.in_channels, channels, 3, padding=1)
    second = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
    linear = nn.Linear(channels * height * width, hidden)
    layers: list[nn.Module] = [
        TimeDistributed(*settings.normalisation(), first),
        settings.neuron(),
        TimeDistributed(second),
        settings.neuron(),
        TimeDistributed(nn.Flatten(), linear),
        settings.neuron(),
        TimeDistributed(nn.Linear(hidden, settings.classes)),
    ]
    return settings.network(layers)
