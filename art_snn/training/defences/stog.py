from dataclasses import dataclass, field

import torch
from torch import Tensor

from art_snn.checks import require
from art_snn.modulation import gates_of
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import AT, Learner, Weighted


@dataclass(frozen=True, kw_only=True)
class StoG(Weighted, AT):
    """Stochastic gating (Ding et al., AAAI 2024): adversarial training that also learns gates.

    Each of the n / 2 first steps also changes rho of :class:`~art_snn.modulation.Gates`::

        rho <- opening^(2 / n) rho - rate g

    g is the gradient that gates give it. The prior alone brings rho to `opening` in a
    training of any length n; that is ours. The authors' brings it to 0.73 in 78,200
    steps.

    :param opening: rho that the prior alone leads to, in (0, 1).
    :param rate: above 0; 0.8 is the mean of their SGD of 0.1 with momentum 0.9 along a
        cosine."""

    opening: float = field(default=0.7, metadata={"below": 1})
    rate: float = 0.8

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network without gates."""
        require(
            gates_of(network),
            "network",
            "a network with gates for StoG",
            "none",
            "Build it with modulation='gates'.",
        )

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy of the adversarial samples, with a graph to rho at first."""
        for gates in gates_of(learner.network):
            gates.rho.requires_grad_(learner.progress <= 0.5)
        return super().loss(learner, x, adversarial, y)

    @torch.no_grad()
    def after_step(self, network: SpikingNetwork, share: float = 0.0) -> None:
        """Change every rho that the step has given a gradient."""
        for rho in (gates.rho for gates in gates_of(network)):
            gradient = rho.grad
            rho.requires_grad_(False).grad = None
            if gradient is not None:
                rho.mul_(self.opening ** (2 * share)).sub_(gradient, alpha=self.rate)
