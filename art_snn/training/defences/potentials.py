"""Losses on potentials and currents: a pass that keeps what the neurons got and fired."""

import torch
from torch import Tensor

from art_snn.checks import require
from art_snn.dynamics import empty_steps
from art_snn.gradients.base import Firing, Site
from art_snn.gradients.temporal import TemporalGradient, unroll
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Learner

Layer = tuple[Site, Tensor, Tensor]
"""A layer of neurons in a pass: its dynamics, current [T, N, ...] and spikes [T, N, ...]."""


def run_watched(learner: Learner, x: Tensor) -> tuple[Tensor, list[Layer]]:
    """Logits [N, K] of samples [N, ...], and the layers of neurons in the order of their calls.

    Both have the graph of the training gradient. Spikes are before their height."""
    twin, layers = learner.network.twin(), list[Layer]()
    run = twin.run

    def run_through(encoded: Tensor, firing: Firing) -> Tensor:
        def fire(site: Site, current: Tensor) -> Tensor:
            layers.append((site, current, firing(site, current)))
            return layers[-1][2]

        return run(encoded, fire)

    # The modules are shared, and have no hook that would outlive an error.
    vars(twin)["run"] = run_through
    return Learner(twin, learner.train_dtype, learner.progress)(x), layers


def recompute_potentials(learner: Learner, layer: Layer) -> Tensor:
    """Potentials u [T, N, ...] before the reset, in single precision at least.

    The values are those of the simulation, from which the spikes follow bit for bit. The gradient
    goes to currents and, unless the training gradient detaches the reset, to the spikes."""
    site, current, spikes = layer
    site.dynamics.simulate(current.detach(), values := empty_steps(current))
    wide = torch.promote_types(current.dtype, torch.float32)
    rule = learner.network.training_gradient
    resets = (spikes.detach() if getattr(rule, "detach_reset", False) else spikes).to(wide)
    resets = resets if site.dynamics.reset == "soft" else resets.clamp(max=1)
    how = values.detach().to(wide), current.to(wide), lambda u, t: resets[t]
    return torch.stack(unroll(site.dynamics, *how))


def check_watched(network: SpikingNetwork, defence: str) -> None:
    """Refuse a network whose neurons do not fire for all steps at once by a temporal rule."""
    rule, remedy = network.training_gradient, "Set network.training_gradient to STBP()."
    expected = f"a temporal rule for {defence}, whose loss is on potentials or spikes"
    temporal = isinstance(rule, TemporalGradient)
    require(temporal, "training_gradient", expected, repr(rule), remedy)
    objection = network.bounds_objection()
    expected = f"neurons that get all time steps in one call for {defence}"
    require(objection is None, "network", expected, objection, "Take another defence.")
