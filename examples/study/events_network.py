"""Small networks for the frames of an event camera, for --model in the study."""

from torch import nn

from art_snn import LIF, Frames, SpikingNetwork, TimeDistributed


def network() -> SpikingNetwork:
    """Linear layers of averages, of which one pixel is little; decay 0.5."""
    return _network(
        TimeDistributed(nn.AvgPool2d(2), nn.Flatten(), *_linear(2 * 17 * 17, 128)),
        LIF(),
        TimeDistributed(*_linear(128, 64)),
    )


def convolutions() -> SpikingNetwork:
    """Two convolutions and a linear layer; decay 0.5."""
    return _network(
        TimeDistributed(*_convolution(2, 16)),
        LIF(),
        TimeDistributed(*_convolution(16, 16)),
        LIF(),
        TimeDistributed(nn.Flatten(), *_linear(16 * 9 * 9, 64)),
    )


def _network(*layers: nn.Module) -> SpikingNetwork:
    """From [N, 10, 2, 34, 34] to [N, 10]."""
    readout = TimeDistributed(nn.Linear(64, 10))
    return SpikingNetwork([*layers, LIF(), readout], Frames(10), input_shape=(10, 2, 34, 34))


def _linear(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """With batch norm: without it few events would make no neuron fire at first."""
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return layer, nn.BatchNorm2d(outputs)
