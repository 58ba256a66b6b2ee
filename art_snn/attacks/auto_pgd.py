"""APGD: projected gradient descent with momentum, whose step follows the progress it makes."""

import torch
from torch import Tensor

from art_snn.attacks.iterated import BallState, IteratedAttack, checkpoints
from art_snn.gradients.shared import align

MOMENTUM = 0.75
"""alpha, the share of the new step."""
PROGRESS = 0.75
"""rho, the share of steps that must have raised the loss."""


class _Momentum(BallState):
    """The equations of :class:`AutoPGD`.

    `before` is x[k-1] with the loss `last` [n], `step` eta [n, 1, ...], `best` the
    highest loss [n], `done` k. `step_then` and `best_then` are those of the last
    checkpoint, after `then` steps, and `raised` [n] counts the steps since then that
    raised the loss."""

    def __post_init__(self) -> None:
        start = self.points
        lowest = start.new_full((len(start),), -torch.inf)
        self.checkpoints = checkpoints(self.attack.max_iter)
        self.before = start
        self.last = lowest
        self.step = self.step_then = align(
            torch.full_like(lowest, 2 * self.ball.eps), start
        )
        self.best = self.best_then = lowest
        self.best_points = start
        self.best_gradient = torch.zeros_like(start)
        self.raised = torch.zeros_like(lowest)
        self.then = 0

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        if self.done:
            self.raised = self.raised + (values > self.last)
        rest = align(~(values > self.best), gradient)
        self.best = self.best.fmax(values)
        self.best_points = torch.where(rest, self.best_points, self.points)
        self.best_gradient = torch.where(rest, self.best_gradient, gradient)
        if self.done in self.checkpoints:
            gradient = self._look_back(gradient)

        x = self.points
        share = MOMENTUM if self.done else 1.0
        z = self.ball.project(torch.addcmul(x, self.ball.direction(gradient), self.step))
        moved = torch.lerp(x, z, share).add_(x - self.before, alpha=1 - share)
        self.before = x
        self.last = values
        self.points = self.ball.project(moved)

    def _look_back(self, gradient: Tensor) -> Tensor:
        """Halve steps that make no progress and go back to the best points; the gradients there."""
        same = (self.step == self.step_then).flatten() & (self.best == self.best_then)
        back = same | (self.raised < PROGRESS * (self.done - self.then))
        self.step_then = self.step
        self.best_then = self.best
        self.then = self.done
        self.raised = torch.zeros_like(self.raised)
        rest = align(~back, gradient)
        self.step = torch.where(rest, self.step, self.step / 2)
        self.points = torch.where(rest, self.points, self.best_points)
        return torch.where(rest, gradient, self.best_gradient)


class AutoPGD(IteratedAttack):
    """Auto-PGD (Croce and Hein, ICML 2020), with one gradient per step and no other query.

    ART's AutoProjectedGradientDescent asks for a loss with every gradient, and goes on with samples
    that are broken. From a start x[0], g the gradient::

        z = project(x[k] + eta d(g[k]))
        x[k+1] = project(x[k] + 0.75 (z - x[k]) + 0.25 (x[k] - x[k-1]))

    with x[1] = z; d is the sign of the gradient, with norm=2 its direction. eta begins at
    2 eps. Checkpoints are 22, 41, 57, 70, 80, 87, 93 and 99 of 100 steps. A sample makes
    no progress where fewer than 0.75 of the steps since the last one raised its loss, or
    where neither its eta nor its best loss has changed since. Then eta is halved, and the
    sample goes back to its best point.

    The parameters are those of :class:`IteratedAttack`."""

    state = _Momentum


class OnwardPGD(AutoPGD):
    """AutoPGD that goes on where it has succeeded, so that adversarials may carry over."""

    def succeeded(self, logits: Tensor, classes: Tensor) -> Tensor:
        return torch.zeros_like(classes, dtype=torch.bool)
