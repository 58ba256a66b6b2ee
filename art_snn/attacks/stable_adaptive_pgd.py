"""SA-PGD: projected gradient descent with a step of its own for every input value."""

from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.attacks.balls import SMALLEST, Ball
from art_snn.attacks.iterated import IteratedAttack, Walk, checkpoints

KEPT, KEPT_SQUARES = 0.5, 0.8
"""Shares of the two moments that survive a step."""


class StableAdaptivePGD(IteratedAttack):
    """Stable adaptive projected gradient descent (Wang et al., 2025).

    From a random start, moments of the gradient g give the step::

        m <- 0.5 m + g / mean |g|               v <- 0.8 v + g^2 / mean g^2
        delta <- project(delta + clip(eta m / (sqrt v + 1e-12), -eta, eta))

    Means are over a sample. The bias of the moments is not corrected; where g vanishes its terms
    are 0. With norm=2 the step is shortened to the Euclidean length eta. eta begins at eps and is
    halved at the checkpoints of :class:`AutoPGD`.

    The parameters are those of :class:`IteratedAttack`."""

    def walk(self, ball: Ball, start: Tensor) -> Walk:
        moments = GradientMoments.none(start)
        return _Adaptive(ball, start, moments, self.eps, checkpoints(self.max_iter))


@dataclass
class _Adaptive(Walk):
    """The equations of the class, eta being `step`; it is halved after some of the steps."""

    moments: "GradientMoments"
    step: float
    halvings: list[int]
    done: int = 0

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        self.moments = self.moments.after(gradient)
        change = self.ball.step(self.moments.direction() * self.step, self.step)
        self.points = self.ball.project(self.points + change)
        self.done += 1
        if self.done in self.halvings:
            self.step /= 2


@dataclass
class GradientMoments:
    """Moments of the gradient, normalised per sample ``[n, *shape]``."""

    mean: Tensor
    square: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "GradientMoments":
        """Before the first step."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def of(self, which: Tensor) -> "GradientMoments":
        """Those of some samples, rows [m]."""
        return GradientMoments(self.mean[which], self.square[which])

    def after(self, gradient: Tensor) -> "GradientMoments":
        """With another gradient ``[n, *shape]``."""
        # Scaled first, so that squares of small gradients do not underflow.
        dims = tuple(range(1, gradient.ndim))
        largest = gradient.abs().amax(dims, keepdim=True)
        scaled = gradient / _divisor(largest)
        square = scaled.square()
        mean, mean_square = (g.mean(dims, keepdim=True) for g in (scaled.abs(), square))
        first, second = scaled.div_(_divisor(mean)), square.div_(_divisor(mean_square))
        first.add_(self.mean, alpha=KEPT)
        return GradientMoments(first, second.add_(self.square, alpha=KEPT_SQUARES))

    def direction(self) -> Tensor:
        """``m / (sqrt v + 1e-12)``."""
        return self.mean / self.square.sqrt().add_(SMALLEST)


def _divisor(scale: Tensor) -> Tensor:
    """Means [n, 1, ...]; where one is 0, so is what it divides, and stays so."""
    return torch.where(scale > 0, scale, torch.inf)
