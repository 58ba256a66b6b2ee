"""Convolution, batch norm and neurons of a training step in one piece, on a CPU.

Values between the two are seen by nobody where all modules are torch's or ours, without hooks. So
they need not exist: see :mod:`art_snn.gradients.normed`."""

import torch
from torch import Tensor, nn

from art_snn.gradients.base import Site
from art_snn.gradients.normed import fired, rule_of
from art_snn.gradients.temporal import TemporalGradient
from art_snn.layers import TimeDistributed
from art_snn.neurons import PASS, Neuron, Pass
from art_snn.state import hooks_of


def applied(layers: nn.Module, x: Tensor) -> Tensor:
    """layers(x), x [T, N, ...], which must run within a pass of their network."""
    running, modules = PASS.get(), list(layers.children())
    rule = None if running is None or not running.plain else rule_of(running.firing)
    if running is None or rule is None or not _is_chain(layers) or not torch.is_grad_enabled():
        y: Tensor = layers(x)
        return y
    while modules:
        module = modules.pop(0)
        if modules and _is_block(module, modules[0], x):
            x = _block(rule, running, module, modules.pop(0), x)
        else:
            x = applied(module, x) if _is_chain(module) else module(x)
    return x


def _is_chain(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and not hooks_of(module)


def _is_block(layer: nn.Module, neuron: nn.Module, x: Tensor) -> bool:
    """Whether a layer ends in a batch norm in training mode, and neurons follow."""
    if type(layer) is not TimeDistributed or not isinstance(neuron, Neuron):
        return False
    norm = layer.module[-1] if len(layer.module) else None
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and type(neuron).forward is Neuron.forward
        and not any(hooks_of(module) for module in (*layer.modules(), neuron))
        and type(x) is Tensor
        and x.device.type == "cpu"
        and not layer.computes_once(x)
    )


def _block(
    rule: TemporalGradient, running: Pass, layer: nn.Module, neuron: nn.Module, x: Tensor
) -> Tensor:
    """neuron(layer(x)) of two that :func:`_is_block` names."""
    assert isinstance(layer, TimeDistributed)
    assert isinstance(neuron, Neuron)
    *before, norm = layer.module
    assert isinstance(norm, nn.BatchNorm2d)
    site = Site(running.names[neuron], neuron.dynamics)
    return fired(rule, site, norm, layer.stateless(x.flatten(0, 1), before), len(x))
