"""PGD as papers on spiking networks run it."""

from torch import Tensor

from art_snn.attacks.iterated import BallState, IteratedAttack

STEPS = 7
STEP = 2.55 / 8
"""Of PGD as Bu et al. (CVPR 2023) run it from their command line, the step in budgets."""


class _Equal(BallState):
    """The equation of :class:`PGD`."""

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        moved = self.ball.direction(gradient).mul_(STEP * self.ball.eps).add_(self.points)
        # ART clips first; in the Euclidean norm the order matters.
        self.points = self.ball.project(moved.clamp_(self.ball.low, self.ball.high))


class PGD(IteratedAttack):
    """Projected gradient descent, as ART's ProjectedGradientDescent, with steps of 2.55/8 eps.

    From the sample itself or a random start, g the gradient of the cross entropy::

        x[k+1] = project(x[k] + 2.55/8 eps d(g[k]))

    where d is the sign of the gradient, with norm=2 its direction. Unlike ART's it leaves
    a sample at the first adversarial of its path."""

    state = _Equal
