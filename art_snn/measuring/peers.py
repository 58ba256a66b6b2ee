"""Our networks as users of other frameworks build them, differentiated by those frameworks.

A framework is imported where it is used: none needs to be installed."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module, metadata
from types import MappingProxyType

import torch
from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.dynamics import Dynamics
from art_snn.layers import TimeDistributed
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

JELLY = "spikingjelly.activation_based."


class SpikingJelly(nn.Module):
    """The network in SpikingJelly 2, with its multi-step containers and neurons.

    Its surrogate is the triangle of width 1, and its gradient goes through the reset, as STBP's."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder
        self._reset = import_module(JELLY + "functional").reset_net
        container = import_module(JELLY + "layer").SeqToANNContainer
        self.layers = rebuilt(deepcopy(network.layers), lambda inner: container(*inner), self._node)

    @staticmethod
    def _node(dynamics: Dynamics) -> nn.Module:
        neuron = import_module(JELLY + "neuron")
        surrogate = import_module(JELLY + "surrogate")
        options = {
            "v_threshold": float(dynamics.threshold),
            "v_reset": 0.0 if dynamics.reset == "hard" else None,
            "surrogate_function": surrogate.PiecewiseQuadratic(alpha=1.0),
            "step_mode": "m",
        }
        if dynamics.decay == 1:
            node: nn.Module = neuron.IFNode(**options)
        else:
            node = neuron.LIFNode(tau=1 / (1 - dynamics.decay), decay_input=False, **options)
        return node

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K]."""
        self._reset(self.layers)
        outputs: Tensor = self.layers(self.encoder(x).contiguous())
        return outputs.mean(0)


class SnnTorch(nn.Module):
    """The network in snnTorch: one call of all layers for every time step.

    Its surrogate is snnTorch's default, an arctangent, since snnTorch has no triangle. A neuron
    fires above the threshold, not at it. Batch norm in training mode sees one step at a time."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.layers = rebuilt(deepcopy(network.layers), lambda inner: inner, self._leaky)

    @staticmethod
    def _leaky(dynamics: Dynamics) -> nn.Module:
        options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
        kind: Callable[..., nn.Module] = import_module("snntorch").Leaky
        return kind(dynamics.decay, threshold=dynamics.threshold, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K]."""
        for module in self.layers.modules():
            if callable(reset := getattr(module, "reset_mem", None)):
                reset()
        return torch.stack([self.layers(now) for now in self.encoder(x)]).mean(0)


def rebuilt(
    module: nn.Module,
    stateless: Callable[[nn.Sequential], nn.Module],
    neuron: Callable[[Dynamics], nn.Module],
) -> nn.Module:
    """The module, changed in place: `neuron` makes what replaces a neuron, `stateless` what
    replaces a TimeDistributed of these layers."""
    if isinstance(module, TimeDistributed):
        return stateless(module.module)
    if isinstance(module, Neuron):
        return neuron(module.dynamics)
    for name, child in module.named_children():
        setattr(module, name, rebuilt(child, stateless, neuron))
    return module


@dataclass(frozen=True)
class Peer:
    """A framework whose own gradient is measured next to ours.

    :param wanted: its name and the supported versions, in words.
    :param major: supported versions, by the number before the first point.
    :param modules: what :attr:`build` imports.
    :param soft: whether a reset by subtraction fires as ours does."""

    build: Callable[[SpikingNetwork], nn.Module]
    wanted: str
    package: str
    major: range
    modules: tuple[str, ...]
    soft: bool
    remark: str

    def version(self) -> str | None:
        """The installed version, where it is supported."""
        try:
            version = metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None
        major = version.partition(".")[0]
        return version if major.isdecimal() and int(major) in self.major else None


PEERS = MappingProxyType(
    {
        "SpikingJelly": Peer(
            build=SpikingJelly,
            wanted="SpikingJelly 2.x",
            package="spikingjelly",
            major=range(2, 3),
            modules=tuple(JELLY + name for name in ("functional", "layer", "neuron", "surrogate")),
            soft=True,
            remark="SpikingJelly differentiates spikes by the triangle of width 1, as STBP here.",
        ),
        "snnTorch": Peer(
            build=SnnTorch,
            wanted="snnTorch 1.0 or later",
            package="snntorch",
            major=range(1, 1000),
            modules=("snntorch",),
            # A potential above twice the threshold is reset a second time, without a spike.
            soft=False,
            remark="snnTorch differentiates spikes by its default surrogate, an arctangent: none "
            "of its own is the triangle of STBP.",
        ),
    }
)
"""Frameworks by their names as their authors write them."""


def installed() -> dict[str, str]:
    """The frameworks that are installed, name -> version; a ValueError where one is broken."""
    versions = {name: version for name, peer in PEERS.items() if (version := peer.version())}
    for name, version in versions.items():
        try:
            for module in PEERS[name].modules:
                import_module(module)
        except ImportError as error:
            expected, got = "frameworks that can be imported", f"{name} {version} ({error})"
            raise invalid("peers", expected, got, "Repair it, or leave peers out.") from error
    return versions


def without(versions: Mapping[str, str]) -> str | None:
    """A sentence about the frameworks that are not installed; None where all are."""
    missing = [peer.wanted for name, peer in PEERS.items() if name not in versions]
    if not versions:
        return f"No other framework was found; looked for {' and '.join(missing)}."
    return f"{' and '.join(missing)} was not found." if missing else None


def peer_objection(name: str, network: SpikingNetwork) -> str | None:
    """Why the framework cannot have neurons that fire as those of the network, or None."""
    sites = network.sites()
    if not all(site.dynamics.uniform for site in sites):
        return f"{name} is left out: its neurons of a layer are all alike."
    if PEERS[name].soft or not any(site.dynamics.reset == "soft" for site in sites):
        return None
    reason = "its reset by subtraction fires otherwise above twice the threshold"
    return f"{name} is left out: {reason}."


def mirrored(name: str, network: SpikingNetwork) -> nn.Module:
    """The network as a user of that framework builds it: weights, device and mode of ours, copied.

    It maps [N, ...] to logits [N, K], and starts from rest at every call."""
    mirror = PEERS[name].build(network)
    return mirror.to(next(network.parameters())).train(network.training)
