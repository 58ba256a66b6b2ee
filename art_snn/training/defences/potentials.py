"""Losses on potentials and currents: a pass that keeps what the neurons got, and how they fired."""

import torch
from torch import Tensor

from art_snn.checks import require
from art_snn.dynamics import operand
from art_snn.gradients.base import Firing, Site
from art_snn.gradients.temporal import TemporalGradient
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Learner

Layer = tuple[Site, Tensor, Tensor, Tensor]
"""Neurons in a pass: their dynamics, current, spikes and potentials before the reset [T, N, ...].

Spikes are before their height. They follow from the potentials bit for bit."""


def run_watched(learner: Learner, x: Tensor) -> tuple[Tensor, list[Layer]]:
    """Logits [N, K] of samples [N, ...], and the layers of neurons in the order of their calls.

    All have the training gradient, which is a temporal rule."""
    twin, layers = learner.network.twin(), list[Layer]()
    run, rule = twin.run, twin.training_gradient
    assert isinstance(rule, TemporalGradient)

    def run_through(encoded: Tensor, _: Firing) -> Tensor:
        def fire(site: Site, current: Tensor) -> Tensor:
            spikes, potential = rule.fire_watched(site, current)
            layers.append((site, current, spikes, potential))
            return spikes

        return run(encoded, fire)

    # The modules are shared, and have no hook that would outlive an error.
    vars(twin)["run"] = run_through
    return learner.through(twin)(x), layers


def distances(layers: list[Layer]) -> list[Tensor]:
    """u - threshold [T, N, ...] of every layer, in single precision at least."""
    wide = (u.to(torch.promote_types(u.dtype, torch.float32)) for _, _, _, u in layers)
    return [u - operand(one[0].dynamics.threshold, u) for one, u in zip(layers, wide, strict=True)]


def check_watched(network: SpikingNetwork, defence: str) -> None:
    """Refuse a network whose neurons do not fire for all steps at once by a temporal rule."""
    rule, remedy = network.training_gradient, "Set network.training_gradient to STBP()."
    expected = f"a temporal rule for {defence}, whose loss is on potentials or spikes"
    temporal = isinstance(rule, TemporalGradient)
    require(temporal, "training_gradient", expected, repr(rule), remedy)
    objection = network.bounds_objection()
    expected = f"neurons that get all time steps in one call for {defence}"
    require(objection is None, "network", expected, objection, "Take another defence.")
