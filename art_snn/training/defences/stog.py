from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.checks import require, require_number, set_fields
from art_snn.modulation import gates_of
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import AT, Learner


@dataclass(frozen=True, kw_only=True)
class StoG(AT):
    """Stochastic gating (AAAI 2024): adversarial training of a network with random gates.

    The loss of adversarial training. In the first half of the training every step also changes the
    numbers rho of :class:`~art_snn.modulation.Gates`, from which the gates have their probability::

        rho <- (1 - r) rho - (r / prior) g,   r = 1 - opening^(2 / steps of the training)

    g is the gradient of the cross entropy at rho, with the sign that the authors' code gives it.
    That is gradient descent on the cross entropy and on prior/2 sum rho^2. The rate r / prior is
    ours: the prior alone brings rho to `opening` in a training of any length, as the authors' own
    SGD does in theirs, of 78,200 steps.

    :param opening: rho that the prior alone leads to, in (0, 1).
    :param prior: weight of the prior against the cross entropy, above 0; the paper takes 5e-6."""

    opening: float = 0.7
    prior: float = 5e-6

    def __post_init__(self) -> None:
        remedy = "The prior of the paper leads to about 0.7."
        opening = require_number("opening", self.opening, above=0, below=1, remedy=remedy)
        limits, remedy = (1e-12, 1e6), "The paper takes 5e-6."
        prior = require_number("prior", self.prior, above=0, within=limits, remedy=remedy)
        set_fields(self, opening=opening, prior=prior)

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network without gates."""
        remedy = "Build it with modulation='gates', --modulation in commands."
        require(gates_of(network), "network", "a network with gates for StoG", "none", remedy)

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy of the adversarial samples, with a graph to rho at first."""
        for gates in gates_of(learner.network):
            gates.rho.requires_grad_(learner.progress <= 0.5)
        return super().loss(learner, x, adversarial, y)

    @torch.no_grad()
    def after_step(self, network: SpikingNetwork, share: float = 0.0) -> None:
        """Change rho by the gradient that the step has given it, where it has."""
        rate = 1 - self.opening ** (2 * share)
        for gates in gates_of(network):
            rho, gradient = gates.rho, gates.rho.grad
            rho.requires_grad_(False).grad = None
            if gradient is not None:
                rho.sub_(rate * (rho + gradient / self.prior))

    def describe(self) -> str:
        """Name and strength."""
        return f"StoG, opening {self.opening:g}"
