"""SA-PGD: projected gradient descent with a step of its own for every input value."""

import torch
from torch import Tensor

from art_snn.attacks.iterated import BallState, IteratedAttack, checkpoints
from art_snn.attacks.measures import SMALLEST

KEPT = 0.5
KEPT_SQUARES = 0.8
"""Shares of the two moments that survive a step."""


class _Adaptive(BallState):
    """The equations of :class:`StableAdaptivePGD`, eta being `step`.

    `mean` and `square` are the moments of the gradient, normalised per sample ``[n, *shape]``."""

    def __post_init__(self) -> None:
        self.mean = self.square = torch.zeros_like(self.points)
        self.step = self.ball.eps
        self.halvings = checkpoints(self.attack.max_iter)

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        if self.done in self.halvings:
            self.step /= 2

        # Scaled first, so that squares of small gradients do not underflow.
        dims = tuple(range(1, gradient.ndim))
        scaled = gradient / _divisor(gradient.abs().amax(dims, keepdim=True))
        squared = scaled.square()

        # m and v; where the gradient is 0 its terms are.
        scaled.div_(_divisor(scaled.abs().mean(dims, keepdim=True)))
        squared.div_(_divisor(squared.mean(dims, keepdim=True)))
        self.mean = scaled.add_(self.mean, alpha=KEPT)
        self.square = squared.add_(self.square, alpha=KEPT_SQUARES)

        direction = self.mean / self.square.sqrt().add_(SMALLEST)
        change = self.ball.step(direction * self.step, self.step)
        self.points = self.ball.project(self.points + change)


def _divisor(scale: Tensor) -> Tensor:
    """Means [n, 1, ...]; where one is 0, so is what it divides, and stays so."""
    return torch.where(scale > 0, scale, torch.inf)


class StableAdaptivePGD(IteratedAttack):
    """Stable adaptive projected gradient descent (Wang et al., 2025).

    From a random start, moments of the gradient g give the step::

        m <- 0.5 m + g / mean |g|               v <- 0.8 v + g^2 / mean g^2
        delta <- project(delta + clip(eta m / (sqrt v + 1e-12), -eta, eta))

    Means are over a sample. The bias of the moments is not corrected; where g vanishes
    its terms are 0. With norm=2 the step is shortened to the Euclidean length eta. eta
    begins at eps and is halved at the checkpoints of :class:`AutoPGD`.

    The parameters are those of :class:`IteratedAttack`."""

    state = _Adaptive
