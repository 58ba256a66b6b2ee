"""What all models share: their options, layers and initial weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from torch import nn

from art_snn.checks import require, require_count, require_number, require_sides, set_fields
from art_snn.encoders import Direct, Encoder, Frames, Poisson
from art_snn.gradients import Gradient
from art_snn.layers import Normalize, TimeDistributed
from art_snn.network import SpikingNetwork
from art_snn.neurons import LIF

_Module = TypeVar("_Module", bound=nn.Module)

MOST_CHANNELS = 2**16
"""The largest number of channels of the input."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of all models, by keyword: ``vgg5(classes=100, width=0.25)``.

    Event frames [N, T, C, H, W] are taken with ``encoder=Frames(T)``.

    :param in_channels, classes: channels of the input, and number of classes K.
    :param image_size: side of a square input, or (height, width), in pixels; any size.
    :param steps: time steps T of the default encoder; not used with another `encoder`.
    :param decay, threshold, reset: of all neurons; a decay of 1 makes IF neurons.
    :param encoder: in place of Direct(steps).
    :param mean, std: per channel, which the network subtracts from its input and divides it by.
    :param gradient, training_gradient: of the network.
    :param width: factor of all convolution and hidden widths, 64 at most.
    :raises ValueError: for a number outside its range, or mean and std of other lengths."""

    in_channels: int = 3
    classes: int = 10
    image_size: int | tuple[int, int] = 32
    steps: int = 8
    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"
    encoder: Encoder | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    gradient: Gradient | str = "rga"
    training_gradient: Gradient | str = "stbp"
    width: float = 1.0
    sides: tuple[int, int] = field(init=False, repr=False)
    """Height and width of the input."""

    def __post_init__(self) -> None:
        sides = require_sides(self.image_size, channels="Channels go to in_channels.")
        set_fields(self, sides=sides)
        remedy = "Grey images have 1, colour images 3, event frames 2."
        require_count("in_channels", self.in_channels, up_to=MOST_CHANNELS, remedy=remedy)
        require_count("classes", self.classes, remedy="Give the number of classes of the data.")
        remedy = "1 gives the widths of the paper."
        require_number("width", self.width, above=0, within=(0, 64), remedy=remedy)

    def scaled(self, channels: int) -> int:
        """A width of the paper times `width`, rounded and at least 1."""
        return max(1, round(channels * self.width))

    def neuron(self) -> LIF:
        """A new layer of neurons."""
        return LIF(decay=self.decay, threshold=self.threshold, reset=self.reset)

    def normalisation(self) -> list[nn.Module]:
        """The layer that subtracts mean and divides by std; none where neither is given."""
        if self.mean is None and self.std is None:
            return []
        mean = (0.0,) * self.in_channels if self.mean is None else self.mean
        std = (1.0,) * self.in_channels if self.std is None else self.std
        expected = f"{self.in_channels} numbers each, one per channel"
        fits, got = len(mean) == len(std) == self.in_channels, f"{len(mean)} and {len(std)}"
        require(fits, "mean, std", expected, got, "Give one number for every channel of the input.")
        return [Normalize(mean, std)]

    def network(self, layers: Sequence[nn.Module]) -> SpikingNetwork:
        """The network of these layers, with weights drawn by :func:`art_snn.models.kaiming`."""
        encoder = Direct(self.steps) if self.encoder is None else self.encoder
        rules = (self.gradient, self.training_gradient)
        image, shape = (self.in_channels, *self.sides), None
        if isinstance(encoder, Direct | Poisson | Frames):
            shape = (encoder.steps, *image) if isinstance(encoder, Frames) else image
        options: dict[str, Any] = {"input_shape": shape, "initialise": kaiming}
        return kaiming(SpikingNetwork(layers, encoder, *rules, **options))


def convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: Literal[1, 3] = 3,
    stride: int = 1,
    before: Sequence[nn.Module] = (),
) -> TimeDistributed:
    """Convolution without bias and batch norm, after stateless modules if `before` has any.

    [T, N, inputs, ...] -> [T, N, outputs, ...]; a side is divided by the stride and rounded up."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return TimeDistributed(*before, layer, nn.BatchNorm2d(outputs))


def pooling() -> TimeDistributed:
    """Average of 2x2 pixels; a side that cannot be halved is rounded up."""
    return TimeDistributed(nn.AvgPool2d(2, ceil_mode=True))


def halved(sides: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a :func:`pooling`, or a convolution of stride 2."""
    height, width = sides
    return (height + 1) // 2, (width + 1) // 2


def kaiming(network: _Module) -> _Module:
    """Draw new weights: He normal for convolutions and linear layers, zero biases; norms at 1, 0.

    He et al., ICCV 2015, with fan-out for convolutions, fan-in for linear layers, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
            continue
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
