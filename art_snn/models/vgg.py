"""VGG networks of the spiking-robustness papers, with average pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from art_snn.checks import invalid, require_count
from art_snn.encoders import Direct, Encoder, Poisson
from art_snn.gradients import Gradient
from art_snn.layers import Normalize, TimeDistributed
from art_snn.models.initial import kaiming
from art_snn.network import SpikingNetwork
from art_snn.neurons import LIF


@dataclass(frozen=True)
class Plan:
    """Widths of the convolutions, stage by stage, and of the hidden linear layers.

    :param stages: output channels of the 3x3 convolutions of each stage.
    :param hidden: widths of the linear layers between the last stage and the readout.
    :param last_pool: whether the last stage, too, ends with an average pooling.
    """

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    last_pool: bool = True


VGG5 = Plan(((64,), (128, 128)), (1024,))
VGG11 = Plan(((64,), (128, 256), (512, 512, 512), (512, 512)), (4096, 4096), last_pool=False)
VGG16 = Plan(
    ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), (4096, 4096)
)


def vgg(
    plan: Plan,
    *,
    in_channels: int = 3,
    classes: int = 10,
    image_size: int | tuple[int, int] = 32,
    steps: int = 8,
    decay: float = 0.5,
    threshold: float = 1.0,
    reset: Literal["hard", "soft"] = "hard",
    encoder: Encoder | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    gradient: Gradient | str = "rga",
    training_gradient: Gradient | str = "stbp",
) -> SpikingNetwork:
    """A spiking VGG: convolution 3x3, batch norm and neuron each; an average pooling per stage.

    Weights are drawn by :func:`art_snn.models.kaiming`. Images of any size are accepted: a side
    that cannot be halved is rounded up.

    :param plan: widths of all layers.
    :param in_channels: channels of the input.
    :param classes: number of classes K.
    :param image_size: side of a square input, or (height, width).
    :param steps: time steps T of the Direct encoder; not used when `encoder` is given.
    :param decay: decay of every neuron, in (0, 1]; 1 makes IF neurons.
    :param threshold: threshold of every neuron.
    :param reset: reset of every neuron, "hard" or "soft".
    :param encoder: encoder in place of Direct(steps).
    :param mean: mean per channel that the network subtracts from its input, or None.
    :param std: standard deviation per channel that it then divides by, or None.
    :param gradient: attack gradient of the network.
    :param training_gradient: training gradient of the network.
    :return: network from [N, in_channels, height, width] to [N, classes].
    :raises ValueError: when a size is not a whole number >= 1, or mean and std do not fit.
    """
    height, width = _sides(image_size)
    encoder = Direct(steps) if encoder is None else encoder
    still = isinstance(encoder, Direct | Poisson)
    input_shape = (in_channels, height, width) if still else None
    require_count("in_channels", in_channels, remedy="Grey images have 1, colour images 3.")
    require_count("classes", classes, remedy="Give the number of classes of the data.")

    def neuron() -> LIF:
        return LIF(decay=decay, threshold=threshold, reset=reset)

    layers: list[nn.Module] = []
    prologue = _normalisation(mean, std, in_channels)
    channels = in_channels
    for index, stage in enumerate(plan.stages):
        for outputs in stage:
            convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            block = TimeDistributed(*prologue, convolution, nn.BatchNorm2d(outputs))
            layers += [block, neuron()]
            prologue, channels = [], outputs
        if index + 1 < len(plan.stages) or plan.last_pool:
            layers.append(TimeDistributed(nn.AvgPool2d(2, ceil_mode=True)))
            height, width = math.ceil(height / 2), math.ceil(width / 2)
    features = channels * height * width
    flatten: list[nn.Module] = [nn.Flatten()]
    for outputs in plan.hidden:
        layers += [TimeDistributed(*flatten, nn.Linear(features, outputs)), neuron()]
        flatten, features = [], outputs
    layers.append(TimeDistributed(*flatten, nn.Linear(features, classes)))
    network = SpikingNetwork(
        layers,
        encoder,
        gradient,
        training_gradient,
        input_shape=input_shape,
        initialise=kaiming,
    )
    return kaiming(network)


def _sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    sides = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    if len(sides) != 2:
        raise invalid(
            "image_size",
            expected="a side, or (height, width)",
            got=repr(image_size),
            remedy="Channels go to in_channels.",
        )
    remedy = "Give the side of a square image, or (height, width), in pixels."
    height, width = (require_count("image_size", side, remedy=remedy) for side in sides)
    return height, width


def _normalisation(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, channels: int
) -> list[nn.Module]:
    if mean is None and std is None:
        return []
    mean = (0.0,) * channels if mean is None else mean
    std = (1.0,) * channels if std is None else std
    if len(mean) != channels or len(std) != channels:
        raise invalid(
            "mean, std",
            expected=f"{channels} numbers each, one per channel",
            got=f"{len(mean)} and {len(std)}",
            remedy="Give one number for every channel of the input.",
        )
    return [Normalize(mean, std)]


def vgg5(**options: Any) -> SpikingNetwork:
    """VGG-5: [64 A][128 128 A], linear 1024, readout. Options as in :func:`vgg`."""
    return vgg(VGG5, **options)


def vgg11(**options: Any) -> SpikingNetwork:
    """VGG-11: [64 A][128 256 A][512 512 512 A][512 512], linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`.
    """
    return vgg(VGG11, **options)


def vgg16(**options: Any) -> SpikingNetwork:
    """VGG-16: thirteen convolutions in five pooled stages, linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`.
    """
    return vgg(VGG16, **options)
