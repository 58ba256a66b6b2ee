"""What a network that is built in another framework has in common with ours; for both suites."""

from __future__ import annotations

import sys
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import STBP, SpikingNetwork
from art_snn.gradients.surrogates import ATan
from art_snn.measuring import peers
from art_snn.measuring.peers import mirrored
from art_snn.models import MODELS, Architecture
from tests.standins import snntorch, spikingjelly

# snnTorch keeps decay and threshold in single precision, which has these.
SETTINGS: list[dict[str, Any]] = [{}, {"decay": 0.75, "threshold": 0.75}, {"decay": 1.0}]
PAIRS = [
    *((peer, model, one) for peer in peers.PEERS for model in MODELS for one in SETTINGS),
    ("SpikingJelly", "vgg5", {"reset": "soft"}),
]
SAMPLES, STEPS, CLASSES, SIDE = 5, 3, 4, 8
PARTS = ("functional", "layer", "neuron", "surrogate")


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Only these frameworks are installed, and they are the stand-ins."""

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    error = metadata.PackageNotFoundError
    stand_in = SimpleNamespace(version=version, PackageNotFoundError=error)
    monkeypatch.setattr(peers, "metadata", stand_in)
    for part in PARTS:
        monkeypatch.setitem(sys.modules, f"spikingjelly.activation_based.{part}", spikingjelly)
    monkeypatch.setitem(sys.modules, "snntorch", snntorch)


def network(model: str, **options: Any) -> SpikingNetwork:
    """In float64 and evaluation mode."""
    made = Architecture(model=model, width=0.1, steps=STEPS, **options)
    net = made.made(in_channels=1, image_size=SIDE, classes=CLASSES).double()
    return lively(net, samples(net))


def lively(net: SpikingNetwork, x: Tensor) -> SpikingNetwork:
    """The network in evaluation mode, with statistics or biases by which its neurons fire."""
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.constant_(module.bias, 0.5)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1.5)
            nn.init.constant_(module.bias, 0.3)
            module.momentum = None
    with torch.no_grad():
        net.train()(x)
    return net.eval()


def samples(net: SpikingNetwork) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(SAMPLES, *net.input_shape, generator=generator, dtype=torch.float64)


def in_double(mirror: nn.Module) -> nn.Module:
    """snnTorch's spikes are single precision, which layers in double precision do not take."""
    for module in mirror.modules():
        if hasattr(module, "reset_mem"):
            module.register_forward_hook(lambda _, __, spikes: spikes.double())
    return mirror


def differentiated(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [N, K], and the gradient of the cross entropy at the input."""
    leaf, labels = x.clone().requires_grad_(), torch.arange(len(x)) % CLASSES
    logits = net(leaf)
    loss = nn.functional.cross_entropy(logits, labels)
    return logits.detach(), torch.autograd.grad(loss, leaf)[0]


def assert_own_gradient_is_stbp(peer: str, model: str, options: dict[str, Any]) -> None:
    """That of SpikingJelly by our surrogate, that of snnTorch by its own one."""
    net, exact = network(model, **options), peer == "SpikingJelly"
    x, mirror = samples(net), in_double(mirrored(peer, net))
    with net.using(STBP() if exact else STBP(surrogate=ATan(alpha=2.0))):
        logits, gradient = differentiated(net, x)
    assert gradient.any()
    near = {} if exact else {"rtol": 0, "atol": 1e-5 * float(gradient.abs().max())}
    # Twice, since states outlive a call.
    for _ in range(2):
        theirs, native = differentiated(mirror, x)
        torch.testing.assert_close(theirs, logits)
        torch.testing.assert_close(native, gradient, **near)


def assert_snntorch_differs_under_a_soft_reset() -> None:
    """Which is why it is left out there."""
    net = network("vgg5", reset="soft")
    with torch.no_grad():
        ours, theirs = net(samples(net)), in_double(mirrored("snnTorch", net))(samples(net))
    assert not torch.allclose(ours, theirs, atol=1e-3)


def assert_spikingjelly_trains_as_stbp() -> None:
    """Gradients at the weights, with batch norm over the samples at hand."""
    net = network("resnet17").train()
    x, labels = samples(net), torch.arange(SAMPLES) % CLASSES
    mirror = mirrored("SpikingJelly", net)
    assert mirror.training
    for module in (net, mirror):
        nn.functional.cross_entropy(module(x), labels).backward()
    theirs = list(mirror.parameters())
    for ours, their in zip(net.parameters(), theirs, strict=True):
        assert ours.grad.any()
        torch.testing.assert_close(their.grad, ours.grad)
