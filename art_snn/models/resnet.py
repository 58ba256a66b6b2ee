"""Residual networks of seventeen weighted layers, with and without an addition of spikes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from art_snn.layers import TimeDistributed
from art_snn.models.options import Options, convolution, halved, pooling
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

_STEM = 64
_STAGES = ((64, 3), (128, 4))
_HIDDEN = 256

_Block = Callable[[int, int, int, Callable[[], Neuron]], list[nn.Module]]
"""(input channels, output channels, stride, maker of neurons) -> layers."""


class Residual(nn.Module):
    """body(x) + shortcut(x) on tensors [T, N, ...]; each a sequence of modules; none is x."""

    def __init__(self, body: list[nn.Module], shortcut: list[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, C, H, W] -> the sum of both branches, of one shape."""
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


def resnet17(**options: Any) -> SpikingNetwork:
    """ResNet-17: stem 64, three blocks of 64 and four of 128 channels, linear 256, readout.

    The network of Bu et al. (CVPR 2023). A block is convolution, batch norm, neuron, convolution,
    batch norm; its sum with the shortcut is the current of another neuron. The first block of a
    stage halves the sides, and its shortcut is a convolution 1x1 with batch norm.

    As in the authors' code no neuron follows the linear layer, which ends in a batch norm. A side
    that cannot be halved is rounded up.

    :param options: fields of :class:`art_snn.models.Options`.
    :return: network from [N, in_channels, height, width] to [N, classes]."""
    return _resnet17(_summed_currents, Options(**options))


def sew_resnet17(**options: Any) -> SpikingNetwork:
    """:func:`resnet17` with spike-element-wise residuals: spikes are added instead of currents.

    Fang et al. (NeurIPS 2021), with ADD. A block is convolution, batch norm, neuron, twice, plus
    the spikes of the shortcut, where a convolution is followed by a neuron too. **Values between
    neurons are then counts**, from 0 to k + 1 in the k-th block of a stage."""
    return _resnet17(_summed_spikes, Options(**options))


def _summed_currents(
    inputs: int, outputs: int, stride: int, neuron: Callable[[], Neuron]
) -> list[nn.Module]:
    first = convolution(inputs, outputs, stride=stride)
    body = [first, neuron(), convolution(outputs, outputs)]
    return [Residual(body, _downsampling(inputs, outputs, stride)), neuron()]


def _summed_spikes(
    inputs: int, outputs: int, stride: int, neuron: Callable[[], Neuron]
) -> list[nn.Module]:
    first = convolution(inputs, outputs, stride=stride)
    body = [first, neuron(), convolution(outputs, outputs), neuron()]
    shortcut = _downsampling(inputs, outputs, stride)
    return [Residual(body, [*shortcut, neuron()] if shortcut else [])]


def _downsampling(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """What gives the shortcut the shape of the body; nothing where it has that already."""
    if (inputs, stride) == (outputs, 1):
        return []
    return [convolution(inputs, outputs, kernel=1, stride=stride)]


def _resnet17(block: _Block, settings: Options) -> SpikingNetwork:
    channels, sides = settings.scaled(_STEM), settings.sides
    stem = convolution(settings.in_channels, channels, before=settings.normalisation())
    layers: list[nn.Module] = [stem, settings.neuron()]
    for unscaled, blocks in _STAGES:
        outputs = settings.scaled(unscaled)
        for index in range(blocks):
            layers += block(channels, outputs, 2 if index == 0 else 1, settings.neuron)
            channels = outputs
        sides = halved(sides)
    height, width = halved(sides)
    hidden = settings.scaled(_HIDDEN)
    # Batch norm has a bias of its own.
    linear = nn.Linear(channels * height * width, hidden, bias=False)
    layers += [
        pooling(),
        TimeDistributed(nn.Flatten(), linear, nn.BatchNorm1d(hidden)),
        TimeDistributed(nn.Linear(hidden, settings.classes)),
    ]
    return settings.network(layers)
