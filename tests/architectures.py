"""Tiny networks of every shape that the gradient tests need: builders, not fixtures."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from art_snn import LIF, Ablation, Direct, Frequency, Poisson, SpikingNetwork, TimeDistributed
from art_snn.encoders import SQE, Frames
from art_snn.gradients import RGA
from art_snn.gradients.base import simulation
from art_snn.models import vgg
from art_snn.neurons import Neuron

SHAPE = (2, 6, 6)
CLASSES = 3
TINY = (((4,), (6, 6)), (16,))


class Residual(nn.Module):
    """x + body(x) on tensors [T, N, ...], as in SEW-ResNet."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Switch(nn.Module):
    """The identity on [T, N, ...], until `action` is set: then it does that first."""

    def __init__(self, action: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()
        self.action = action

    def forward(self, x: Tensor) -> Tensor:
        if self.action is not None:
            self.action(x)
        return x


def convolution(inputs: int, outputs: int) -> TimeDistributed:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return TimeDistributed(layer, nn.BatchNorm2d(outputs))


def chain(neuron: Callable[[], nn.Module] = LIF, bias: bool = False) -> nn.Sequential:
    """Linear layers only, no bias in the first."""
    return nn.Sequential(
        TimeDistributed(nn.Flatten(), nn.Linear(72, 10, bias=bias)),
        neuron(),
        TimeDistributed(nn.Linear(10, 8)),
        neuron(),
        TimeDistributed(nn.Linear(8, CLASSES)),
    )


def residual(neuron: Callable[[], nn.Module] = LIF) -> nn.Sequential:
    """Two residual blocks whose sums carry up to three spikes at once."""
    return nn.Sequential(
        convolution(2, 4),
        neuron(),
        Residual(convolution(4, 4), neuron(), convolution(4, 4), neuron()),
        TimeDistributed(nn.AvgPool2d(2)),
        Residual(convolution(4, 4), neuron()),
        TimeDistributed(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)),
    )


def repeated(neuron: Callable[[], nn.Module] = LIF) -> nn.Sequential:
    """One neuron layer that is called twice in a forward pass."""
    twice = neuron()
    return chain(lambda: twice, bias=True)


def max_pooled(neuron: Callable[[], nn.Module] = LIF) -> nn.Sequential:
    """Max pooling of spikes: not affine, except where nothing fires. No bias before the readout."""
    return nn.Sequential(
        TimeDistributed(nn.Conv2d(2, 4, 3, padding=1, bias=False)),
        neuron(),
        TimeDistributed(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1, bias=False)),
        neuron(),
        TimeDistributed(nn.Flatten(), nn.Linear(36, CLASSES)),
    )


def tiny_vgg(neuron: Callable[[], nn.Module] = LIF) -> nn.Module:
    of = neuron().dynamics
    dynamics = {"decay": of.decay, "threshold": of.threshold, "reset": of.reset}
    sizes = {"in_channels": 2, "classes": CLASSES, "image_size": 6}
    return vgg(*TINY, **sizes, **dynamics, mean=(0.1, 0.2), std=(0.9, 1.1)).layers


AFFINE = {"chain": chain, "vgg": tiny_vgg, "residual": residual}
"""Networks whose layers between neurons are affine in evaluation mode."""
ARCHITECTURES = {**AFFINE, "max pool": max_pooled, "repeated": repeated}


def settled(module: nn.Module) -> nn.Module:
    """The module in evaluation mode and float64, with lively weights and batch-norm statistics."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.uniform_(child.bias, -0.4, 0.7)
            nn.init.normal_(child.running_mean, std=0.2)
            nn.init.uniform_(child.running_var, 0.5, 1.5)
        elif isinstance(child, nn.Linear):
            child.weight.data.mul_(3)
        elif isinstance(child, nn.Conv2d):
            child.weight.data.mul_(2)
    return module.double().eval()


def lively(net: SpikingNetwork) -> bool:
    """Whether many of 64 inputs make every layer fire and give every rule a slope.

    Drawn weights may leave a small network silent or saturated, and then no rule has a gradient:
    that of the static curve needs a mean current between the knee and the threshold.
    """
    alive: list[Tensor] = []

    def note(neuron: Neuron, given: tuple[Tensor], spikes: Tensor) -> None:
        threshold, current = neuron.dynamics.threshold, given[0].mean(0).flatten(1)
        slope = (current > (1 - neuron.dynamics.decay) * threshold) & (current < threshold)
        alive.append(slope.any(1) & spikes.flatten(2).any(2).any(0))

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, Neuron)]
    steps = getattr(net.encoder, "steps", None) or 4
    frames = steps if isinstance(net.encoder, Frames) else 1
    x = torch.rand(frames, 64, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        net.body.run(x.expand(steps, *x.shape[1:]), simulation)
    for hook in hooks:
        hook.remove()
    return bool(torch.stack(alive).all(0).float().mean() > 0.4)


def network(architecture=chain, *, encoder=None, **options):
    """A settled float64 network, lively if one of a hundred draws is.

    Options that a LIF knows go to its neurons.
    """
    dynamics = {k: options.pop(k) for k in ("decay", "threshold", "reset") if k in options}
    encoder = Direct(4) if encoder is None else encoder
    gradient = options.pop("gradient", RGA())
    for _ in range(100):
        layers = architecture(lambda: LIF(**dynamics))
        net = SpikingNetwork(layers, encoder, gradient, **options)
        settled(net)
        if not list(layers.parameters()) or lively(net):
            break
    return net


def batch(samples: int = 3, encoder: Any = None, dtype: torch.dtype = torch.float64) -> Tensor:
    """Inputs in [0, 1] for the networks above: images, or frames where the encoder wants them."""
    shape = (samples, encoder.steps, *SHAPE) if isinstance(encoder, Frames) else (samples, *SHAPE)
    return torch.rand(shape).to(dtype)


ENCODERS = {
    "direct": Direct,
    "poisson": Poisson,
    "sqe": SQE,
    "frequency": Frequency,
    "frames": Frames,
    "ablation": partial(Ablation, keep=0.5),
}


def of(net: nn.Module, kind: Any) -> list[Any]:
    """All modules of a kind."""
    return [module for module in net.modules() if isinstance(module, kind)]


def weights(network: SpikingNetwork) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, copied."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
