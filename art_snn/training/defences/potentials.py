"""Losses on potentials, currents and spikes: a pass that keeps them."""

from typing import ClassVar

from torch import Tensor

from art_snn.checks import require
from art_snn.dynamics import operand
from art_snn.engine.body import readout_dtype
from art_snn.gradients.base import Firing, NeuronRef
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Learner, Weighted, require_temporal

Layer = tuple[NeuronRef, Tensor, Tensor, Tensor]
"""Neurons in a pass: dynamics; current, spikes, before their height, and potentials,
before the reset, [T, N, ...]. The spikes follow from the potentials bit for bit."""


class Watching(Weighted):
    """A defence whose loss depends on currents, potentials or spikes of the neurons."""

    entropy_alone: ClassVar[bool] = False

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose neurons do not fire for all steps at once by a temporal rule."""
        require_temporal(network)
        objection = network.body.bounds_objection()
        require(
            objection is None,
            "network",
            f"neurons that get all time steps in one call for {type(self).__name__}",
            objection,
            "Take another defence.",
        )


def run_watched(learner: Learner, x: Tensor) -> tuple[Tensor, list[Layer]]:
    """Logits [N, K] of samples [N, ...], and the layers of neurons in the order of their calls.

    All have the training gradient, which is a temporal rule."""
    twin = learner.network.with_gradient(learner.network.gradient)
    layers = list[Layer]()
    run = twin.body.run
    rule = require_temporal(twin)

    def run_through(encoded: Tensor, _: Firing) -> Tensor:
        layers.clear()  # Those of a pass that has verified an adapted network.

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes, potential = rule.fire_watched(site, current)
            layers.append((site, current, spikes, potential))
            return spikes

        return run(encoded, fire)

    # The modules are shared, and have no hook that would outlive an error.
    vars(twin.body)["run"] = run_through
    return Learner(twin, learner.train_dtype)(x), layers


def gaps(layers: list[Layer]) -> list[Tensor]:
    """u - threshold [T, N, ...] of every layer, in single precision at least."""
    wide = [(site, u.to(readout_dtype(u))) for site, *_, u in layers]
    return [u - operand(site.dynamics.threshold, u) for site, u in wide]
