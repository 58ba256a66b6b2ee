"""PGD of equal steps from the sample itself, which papers report."""

from dataclasses import dataclass

from torch import Tensor

from art_snn.attacks.balls import Ball
from art_snn.attacks.iterated import IteratedAttack, Walk

STEPS, STEP = 7, 2.55 / 8
"""Of PGD as Bu et al. (CVPR 2023) run it from their command line, the step in budgets."""


class PGD(IteratedAttack):
    """Projected gradient descent, as ART's ProjectedGradientDescent, for plans.

    From the sample itself or a random start, g the gradient of the cross entropy::

        x[k+1] = project(x[k] + 2.55/8 eps d(g[k]))

    where d is the sign of the gradient, with norm=2 its direction. Unlike ART's it leaves a sample
    at the first adversarial of its path."""

    def walk(self, ball: Ball, start: Tensor) -> Walk:
        return _Equal(ball, start, STEP * self.eps)


@dataclass
class _Equal(Walk):
    """The equation of the class, with steps of that length."""

    ball: Ball
    points: Tensor
    step: float

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        moved = self.ball.direction(gradient).mul_(self.step).add_(self.points)
        # ART clips first; in the Euclidean norm the order matters.
        self.points = self.ball.project(moved.clamp_(self.ball.low, self.ball.high))
