"""VGG networks of the spiking-robustness papers, with average pooling, and a small network."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from art_snn.encoders import Frames
from art_snn.layers import TimeDistributed
from art_snn.models.options import Options, convolution, halved, pooling
from art_snn.network import SpikingNetwork


@dataclass(frozen=True)
class Widths:
    """Widths of the convolutions, stage by stage, and of the linear layers before the readout.

    :param last_pool: whether the last stage, too, ends with an average pooling."""

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    last_pool: bool = True


_VGG5 = Widths(((64,), (128, 128)), (1024,))
_VGG11 = Widths(((64,), (128, 256), (512, 512, 512), (512, 512)), (4096, 4096), last_pool=False)
_VGG16 = Widths(
    ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), (4096, 4096)
)
_VGG_DVS = Widths(((64, 128), (256, 256), (512, 512), (512, 512)), ())


def vgg(widths: Widths, **options: Any) -> SpikingNetwork:
    """A spiking VGG: convolution 3x3, batch norm and neuron each; an average pooling per stage.

    A side that cannot be halved is rounded up. Options: :class:`art_snn.models.Options`.

    :return: network from [N, in_channels, height, width] to [N, classes]."""
    settings = Options(**options)
    layers: list[nn.Module] = []
    before, channels, sides = settings.normalisation(), settings.in_channels, settings.sides
    for index, stage in enumerate(widths.stages):
        for outputs in map(settings.scaled, stage):
            layers += [convolution(channels, outputs, before=before), settings.neuron()]
            before, channels = [], outputs
        if index + 1 < len(widths.stages) or widths.last_pool:
            layers.append(pooling())
            sides = halved(sides)
    flatten, features = [nn.Flatten()], channels * sides[0] * sides[1]
    for outputs in map(settings.scaled, widths.hidden):
        layers += [TimeDistributed(*flatten, nn.Linear(features, outputs)), settings.neuron()]
        flatten, features = [], outputs
    layers.append(TimeDistributed(*flatten, nn.Linear(features, settings.classes)))
    return settings.network(layers)


def vgg5(**options: Any) -> SpikingNetwork:
    """VGG-5: [64 A][128 128 A], linear 1024, readout. Options as in :func:`vgg`."""
    return vgg(_VGG5, **options)


def vgg11(**options: Any) -> SpikingNetwork:
    """VGG-11: [64 A][128 256 A][512 512 512 A][512 512], linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`."""
    return vgg(_VGG11, **options)


def vgg16(**options: Any) -> SpikingNetwork:
    """VGG-16: thirteen convolutions in five pooled stages, linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`."""
    return vgg(_VGG16, **options)


def vgg_dvs(**options: Any) -> SpikingNetwork:
    """VGG for event frames: [64 128 A][256 256 A][512 512 A][512 512 A], readout.

    VGGSNN of Deng et al. (ICLR 2022). Options as in :func:`vgg`, with other defaults: ten frames
    of two polarities and 48x48 pixels. From [N, T, in_channels, height, width] to [N, classes]."""
    options = {"in_channels": 2, "image_size": 48, "steps": 10} | options
    if options.get("encoder") is None:
        options["encoder"] = Frames(options["steps"])
    return vgg(_VGG_DVS, **options)


def cnn4(**options: Any) -> SpikingNetwork:
    """CNN-4: two convolutions of 32 channels, the second of stride 2, linear 128, readout.

    All four layers have a bias and no batch norm. A side that cannot be halved is rounded up.
    Options as in :func:`vgg`.

    :return: network from [N, in_channels, height, width] to [N, classes]."""
    settings = Options(**options)
    channels, hidden = settings.scaled(32), settings.scaled(128)
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
