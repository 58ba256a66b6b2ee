"""The networks of the papers and a small one, what they share, their names and settings.

A new network is a function that returns ``Options(...).network(layers)``, and a line in
MODELS."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import Module

from art_snn.checks import (
    require,
    require_count,
    require_memory,
    require_number,
    require_sides,
    set_fields,
)
from art_snn.encoders import KNOWN, Direct, Encoder, Frames, parse_encoder
from art_snn.gradients import Gradient
from art_snn.layers import Normalize, Residual, TimeDistributed, device_of
from art_snn.modulation import Gates, gates_of, parse_modulation
from art_snn.network import SpikingNetwork
from art_snn.neurons import LIF
from art_snn.seeding import fix_seed


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of all models, by keyword: ``vgg5(classes=100, width=0.25)``.

    Event frames [N, T, C, H, W] are taken with ``encoder=Frames(T)``.

    :param in_channels, classes: channels of the input, and number of classes K.
    :param image_size: side of a square input, or (height, width), in pixels; any size.
    :param steps: time steps T of the default encoder; not used with another `encoder`.
    :param decay, threshold, reset, synapse: of all neurons; a decay of 1 makes IF neurons.
    :param encoder: in place of Direct(steps).
    :param mean, std: per channel, which the network subtracts from its input and divides
        it by.
    :param gradient, training_gradient: of the network.
    :param width: factor of all convolution and hidden widths, 64 at most.
    :param modulation: modules next to all neurons, "gains" for example.
    :raises ValueError: for a number outside its range, or mean and std of other
        lengths."""

    in_channels: int = 3
    classes: int = 10
    image_size: int | tuple[int, int] = 32
    steps: int = 8
    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"
    synapse: float = 0.0
    encoder: Encoder | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    gradient: Gradient | str | None = None
    training_gradient: Gradient | str = "stbp"
    width: float = 1.0
    modulation: str | None = None
    sides: tuple[int, int] = field(init=False, repr=False)
    """Height and width of the input."""

    def __post_init__(self) -> None:
        sides = require_sides(self.image_size, channels="Channels go to in_channels.")
        set_fields(self, sides=sides)
        require_count(
            "in_channels",
            self.in_channels,
            up_to=2**16,
            remedy="Grey images have 1, colour images 3, event frames 2.",
        )
        require_count(
            "classes", self.classes, remedy="Give the number of classes of the data."
        )
        require_number(
            "width",
            self.width,
            above=0,
            within=(0, 64),
            remedy="1 gives the widths of the paper.",
        )

    def scale(self, channels: int) -> int:
        """A width of the paper times `width`, rounded and at least 1."""
        return max(1, round(channels * self.width))

    def neuron(self) -> Module:
        """A new layer of neurons, with what modulates it."""
        neuron = LIF(self.decay, self.threshold, self.reset, self.synapse)
        if self.modulation is None:
            return neuron
        steps = (
            self.steps if self.encoder is None else getattr(self.encoder, "steps", None)
        )
        modulation = parse_modulation(self.modulation, steps)
        # Gates take spikes, all others take currents.
        if isinstance(modulation, Gates):
            return nn.Sequential(neuron, modulation)
        return nn.Sequential(modulation, neuron)

    def normalisation(self) -> list[Module]:
        """The layer that subtracts mean and divides by std; none where neither is given."""
        if self.mean is None and self.std is None:
            return []
        mean = (0.0,) * self.in_channels if self.mean is None else self.mean
        std = (1.0,) * self.in_channels if self.std is None else self.std
        require(
            len(mean) == len(std) == self.in_channels,
            "mean, std",
            f"{self.in_channels} numbers each, one per channel",
            f"{len(mean)} and {len(std)}",
            "Give one number for every channel of the input.",
        )
        return [Normalize(mean, std)]

    def network(self, layers: Sequence[Module]) -> SpikingNetwork:
        """The network of these layers, with weights drawn as by He et al. (ICCV 2015)."""
        encoder = Direct(self.steps) if self.encoder is None else self.encoder
        image = (self.in_channels, *self.sides)
        shape: tuple[int | None, ...] | None = None
        if isinstance(encoder, Frames):
            shape = (encoder.steps, *image)
        elif isinstance(encoder, KNOWN):
            shape = image
        network = SpikingNetwork(
            layers,
            encoder,
            self.gradient,
            self.training_gradient,
            input_shape=shape,
            initialise=_draw_weights,
        )
        _draw_weights(network)
        if gates_of(network):
            # Gates take their shapes from a pass.
            sizes = (size or 1 for size in shape or image)
            with torch.no_grad():
                network.eval()(torch.zeros(1, *sizes, device=device_of(network)))
        return network.train()


def _convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    before: Sequence[Module] = (),
) -> TimeDistributed:
    """Convolution without bias and batch norm, after stateless modules if `before` has any.

    [T, N, inputs, ...] -> [T, N, outputs, ...]; with an odd kernel a side is divided by the
    stride and rounded up."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
    return TimeDistributed(*before, layer, nn.BatchNorm2d(outputs))


def _pooling(side: int = 2) -> TimeDistributed:
    """Average of windows of pixels; sides that they do not divide are rounded up."""
    return TimeDistributed(nn.AvgPool2d(side, ceil_mode=True))


def _count_features(channels: int, sides: tuple[int, int], halvings: int) -> int:
    """Values of a sample whose sides were halved so often, and rounded up each time."""
    return channels * math.prod(math.ceil(side / 2.0**halvings) for side in sides)


def _draw_weights(network: Module) -> None:
    """Draw new weights: He normal for convolutions and linear layers, zero biases; norms at 1, 0.

    He et al., ICCV 2015, with fan-out for convolutions before a batch norm, which have no
    bias, and fan-in for all others, in place. With fan-out no neuron after a convolution of
    one channel would reach its threshold, and no gradient would reach its weights."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            is_normed = isinstance(module, nn.Conv2d) and module.bias is None
            fan: Any = "fan_out" if is_normed else "fan_in"
            nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def vgg(
    stages: Sequence[Sequence[int]],
    hidden: Sequence[int],
    *,
    last_pool: bool = True,
    kernel: int = 3,
    stride: int = 1,
    pooling: int = 2,
    norm: bool = False,
    **options: Any,
) -> SpikingNetwork:
    """A spiking VGG of convolutions, each with batch norm and neurons, and average poolings.

    A side that pooling does not divide is rounded up. Options:
    :class:`art_snn.models.Options`.

    :param stages: widths of the convolutions, stage by stage.
    :param hidden: widths of the linear layers before the readout.
    :param last_pool: True if the last stage, too, ends with an average pooling.
    :param kernel, stride: of the convolutions. An odd kernel of stride 1 keeps the sides; an
        even one makes them smaller by a pixel, and needs images of two at least.
    :param pooling: sides of its windows.
    :param norm: True for batch norms behind the linear layers, too, in place of their biases.
    :return: network from [N, in_channels, height, width] to [N, classes]."""
    settings = Options(**options)
    layers: list[Module] = []
    before = settings.normalisation()
    channels = settings.in_channels
    sides: Sequence[int] = settings.sides
    poolings = len(stages if last_pool else stages[:-1])
    for index, stage in enumerate(stages):
        for outputs in map(settings.scale, stage):
            first = _convolution(
                channels, outputs, kernel=kernel, stride=stride, before=before
            )
            layers += [first, settings.neuron()]
            before = []
            channels = outputs
            sides = [(side - 2 + kernel % 2) // stride + 1 for side in sides]
        if index < poolings:
            layers.append(_pooling(pooling))
            sides = [math.ceil(side / pooling) for side in sides]

    flatten = [nn.Flatten()]
    features = channels * math.prod(sides)
    for outputs in map(settings.scale, hidden):
        linear = nn.Linear(features, outputs, bias=not norm)
        norms = [nn.BatchNorm1d(outputs)] if norm else []
        layers += [TimeDistributed(*flatten, linear, *norms), settings.neuron()]
        flatten = []
        features = outputs
    layers.append(TimeDistributed(*flatten, nn.Linear(features, settings.classes)))
    return settings.network(layers)


def vgg5(**options: Any) -> SpikingNetwork:
    """VGG-5: [64 A][128 128 A], linear 1024, readout. Options as in :func:`vgg`."""
    return vgg(((64,), (128, 128)), (1024,), **options)


def vgg11(**options: Any) -> SpikingNetwork:
    """VGG-11: [64 A][128 256 A][512 512 512 A][512 512], linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`."""
    return vgg(
        ((64,), (128, 256), (512, 512, 512), (512, 512)),
        (4096, 4096),
        last_pool=False,
        **options,
    )


def vgg16(**options: Any) -> SpikingNetwork:
    """VGG-16: thirteen convolutions in five pooled stages, linear 4096 twice, readout.

    The network of Bu et al. (CVPR 2023). Options as in :func:`vgg`."""
    return vgg(
        ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
        (4096, 4096),
        **options,
    )


def vgg_dvs(**options: Any) -> SpikingNetwork:
    """VGG for event frames: [64 128 A][256 256 A][512 512 A][512 512 A], readout.

    VGGSNN of Deng et al. (ICLR 2022). Options as in :func:`vgg`, with other defaults: ten
    frames of two polarities and 48x48 pixels. From [N, T, in_channels, height, width] to
    [N, classes]."""
    options = {"in_channels": 2, "image_size": 48, "steps": 10} | options
    if options.get("encoder") is None:
        options["encoder"] = Frames(options["steps"])
    return vgg(((64, 128), (256, 256), (512, 512), (512, 512)), (), **options)


def cnn4(**options: Any) -> SpikingNetwork:
    """CNN-4: two convolutions of 32 channels, the second of stride 2, linear 128, readout.

    All four layers have a bias and no batch norm. A side that cannot be halved is rounded
    up. Options as in :func:`vgg`.

    :return: network from [N, in_channels, height, width] to [N, classes]."""
    settings = Options(**options)
    channels = settings.scale(32)
    hidden = settings.scale(128)
    features = _count_features(channels, settings.sides, halvings=1)
    first = nn.Conv2d(settings.in_channels, channels, 3, padding=1)
    second = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
    linear = nn.Linear(features, hidden)
    return settings.network(
        [
            TimeDistributed(*settings.normalisation(), first),
            settings.neuron(),
            TimeDistributed(second),
            settings.neuron(),
            TimeDistributed(nn.Flatten(), linear),
            settings.neuron(),
            TimeDistributed(nn.Linear(hidden, settings.classes)),
        ]
    )


def shallow(**options: Any) -> SpikingNetwork:
    """Convolution 64 of 4x4 with stride 2, average pooling 4x4, linear 128, readout.

    A network for certified training: intervals grow with every sum over many inputs, and
    here are three. Options as in :func:`vgg`."""
    form = {"kernel": 4, "stride": 2, "pooling": 4, "norm": True}
    return vgg(((64,),), (128,), **form | options)


def resnet17(**options: Any) -> SpikingNetwork:
    """ResNet-17: stem 64, three blocks of 64 and four of 128 channels, linear 256, readout.

    The network of Bu et al. (CVPR 2023). A block is convolution, batch norm, neuron,
    convolution, batch norm; its sum with the shortcut is the current of another neuron.
    The first block of a stage halves the sides, and its shortcut is a convolution 1x1
    with batch norm.

    As in the authors' code no neuron follows the linear layer, which ends in a batch
    norm. A side that cannot be halved is rounded up.

    :param options: fields of :class:`art_snn.models.Options`.
    :return: network from [N, in_channels, height, width] to [N, classes]."""
    return _resnet17(Options(**options), adds_spikes=False)


def sew_resnet17(**options: Any) -> SpikingNetwork:
    """:func:`resnet17` with spike-element-wise residuals: spikes are added instead of currents.

    Fang et al. (NeurIPS 2021), with ADD. A block is convolution, batch norm, neuron,
    twice, plus the spikes of the shortcut, where a convolution is followed by a neuron
    too. **Values between neurons are then counts**, from 0 to k + 1 in the k-th block of
    a stage."""
    return _resnet17(Options(**options), adds_spikes=True)


def _resnet17(settings: Options, adds_spikes: bool) -> SpikingNetwork:
    """The network whose blocks add spikes, or currents, which are those of another neuron."""
    channels = settings.scale(64)
    stem = _convolution(settings.in_channels, channels, before=settings.normalisation())
    layers: list[Module] = [stem, settings.neuron()]
    for unscaled, blocks in ((64, 3), (128, 4)):
        outputs = settings.scale(unscaled)
        for stride in (2, *[1] * (blocks - 1)):
            first = _convolution(channels, outputs, stride=stride)
            body = [first, settings.neuron(), _convolution(outputs, outputs)]
            shortcut = list[Module]()
            if stride > 1:
                shortcut = [_convolution(channels, outputs, kernel=1, stride=stride)]
            if adds_spikes:
                body.append(settings.neuron())
                if shortcut:
                    shortcut.append(settings.neuron())
            layers.append(Residual(body, shortcut))
            if not adds_spikes:
                layers.append(settings.neuron())
            channels = outputs

    # Both stages halve the sides, and the pooling does.
    features = _count_features(channels, settings.sides, halvings=3)
    hidden = settings.scale(256)
    # Batch norm has a bias of its own.
    linear = nn.Linear(features, hidden, bias=False)
    layers += [
        _pooling(),
        TimeDistributed(nn.Flatten(), linear, nn.BatchNorm1d(hidden)),
        TimeDistributed(nn.Linear(hidden, settings.classes)),
    ]
    return settings.network(layers)


MODELS: Mapping[str, Callable[..., SpikingNetwork]] = {
    "vgg5": vgg5,
    "vgg11": vgg11,
    "vgg16": vgg16,
    "resnet17": resnet17,
    "sew-resnet17": sew_resnet17,
    "vgg-dvs": vgg_dvs,
    "cnn4": cnn4,
    "shallow": shallow,
}
"""Models by their name on the command line."""

DEFAULTS: Mapping[str, Any] = {
    "model": "vgg5",
    "width": Options.width,
    "steps": Options.steps,
    "readout": None,
    "decay": Options.decay,
    "threshold": Options.threshold,
    "reset": Options.reset,
    "synapse": Options.synapse,
    "encoder": "direct",
    "modulation": Options.modulation,
}
"""The settings of a network by their names, as they are on images. On event frames steps
and encoder are those of the frames; only models of other frameworks have a readout."""


def build_model(
    settings: Mapping[str, Any], seed: int = 0, **options: Any
) -> SpikingNetwork:
    """One of MODELS, with weights drawn from the seed.

    :param settings: its name and its settings; what is missing is as in DEFAULTS.
    :param options: other options of it, such as image_size.
    :raises KeyError: for an unknown model.
    :raises ValueError: for settings that it refuses, or weights that do not fit into memory."""
    usual = {"model": DEFAULTS["model"], "steps": DEFAULTS["steps"]}
    given = {**usual, **settings, **options}
    name = given.pop("model")
    if isinstance(given.get("encoder"), str):
        given["encoder"] = parse_encoder(given["encoder"], given["steps"])
    make = partial(MODELS[name], **given)
    with torch.device("meta"), fix_seed(seed):
        weights = make().state_dict().values()
    needed = sum(tensor.nbytes for tensor in weights)
    argument = "width" if given.get("width", 1) > 1 else "image_size"
    require_memory(
        argument,
        given.get(argument),
        "weights",
        needed,
        remedy="Make the network smaller.",
    )
    with fix_seed(seed):
        return make()
