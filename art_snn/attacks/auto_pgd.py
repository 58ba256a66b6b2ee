"""APGD: projected gradient descent with momentum, whose step follows the progress it makes."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.balls import SMALLEST, Ball, wide
from art_snn.attacks.iterated import IteratedAttack, Walk, checkpoints
from art_snn.attacks.queries import Objective, cross_entropy, margin
from art_snn.checks import require, require_choice

MOMENTUM, PROGRESS = 0.75, 0.75
"""alpha, the share of the new step, and rho, the share of steps that must have raised the loss."""


def _logits_ratio(logits: Tensor, classes: Tensor) -> Tensor:
    """Difference of logits ratio (Croce and Hein, ICML 2020, equation 6), free of their scale.

    The margin over the largest less the third largest logit; of two classes the margin."""
    if logits.shape[1] < 3:
        return margin(logits, classes)
    ordered = logits.topk(3).values
    return margin(logits, classes) / (ordered[:, 0] - ordered[:, 2]).clamp_min(SMALLEST)


_LOSSES: Mapping[str, Objective] = MappingProxyType(
    {"cross_entropy": cross_entropy, "difference_logits_ratio": _logits_ratio, "margin": margin}
)
"""Objectives that lead away from the true class, by the names of ART."""


class AutoPGD(IteratedAttack):
    """Auto-PGD (Croce and Hein, ICML 2020), with one gradient per step and no other query.

    ART's AutoProjectedGradientDescent asks for a loss with every gradient, and goes on with samples
    that are broken. From a start x[0], g the gradient::

        z = project(x[k] + eta d(g[k]))
        x[k+1] = project(x[k] + 0.75 (z - x[k]) + 0.25 (x[k] - x[k-1]))

    with x[1] = z; d is the sign of the gradient, with norm=2 its direction. eta begins at 2 eps.
    Checkpoints are 22, 41, 57, 70, 80, 87, 93 and 99 of 100 steps. A sample makes no progress where
    fewer than 0.75 of the steps since the last one raised its loss, or where neither its eta nor
    its best loss has changed since. Then eta is halved, and the sample goes back to its best point.

    :param loss_type: "cross_entropy", "difference_logits_ratio" (DLR), or "margin"; a targeted
        attack takes cross entropy.
    :raises ValueError: for a setting out of its range. The other parameters are those of
        :class:`IteratedAttack`."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        norm: float | str = np.inf,
        eps: float = 8 / 255,
        max_iter: int = 100,
        num_random_init: int = 1,
        targeted: bool = False,
        batch_size: int = 32,
        seed: int = 0,
        verbose: bool = True,
        loss_type: str = "cross_entropy",
    ) -> None:
        self.loss_type = loss_type
        super().__init__(
            estimator, norm, eps, max_iter, num_random_init, targeted, batch_size, seed, verbose
        )

    def walk(self, ball: Ball, start: Tensor) -> Walk:
        return _Momentum(ball, start, 2 * self.eps, checkpoints(self.max_iter))

    @property
    def objective(self) -> Objective:
        return super().objective if self.targeted else _LOSSES[self.loss_type]

    def _check_params(self) -> None:
        super()._check_params()
        remedy = "Cross entropy rises fastest at first; the other two do not saturate."
        require_choice("loss_type", self.loss_type, _LOSSES, remedy=remedy)
        fits = not self.targeted or _LOSSES[self.loss_type] is cross_entropy
        expected = "cross_entropy for a targeted attack"
        remedy = "Leave loss_type out, or attack without targets."
        require(fits, "loss_type", expected, repr(self.loss_type), remedy)


class _Momentum(Walk):
    """The equations of the class.

    `before` is x[k-1] with the loss `last` [n], `step` eta [n, 1, ...], `best` the highest loss
    [n], `done` k. `step_then` and `best_then` are those of the last checkpoint, and `raised` [n]
    counts the steps since then that raised the loss."""

    def __init__(self, ball: Ball, start: Tensor, step: float, checkpoints: list[int]) -> None:
        super().__init__(ball, start)
        lowest = start.new_full((len(start),), -torch.inf)
        self.checkpoints, self.done = checkpoints, 0
        self.before, self.last = start, lowest
        self.step = self.step_then = wide(torch.full_like(lowest, step), start)
        self.best = self.best_then = lowest
        self.best_points, self.best_gradient = start.clone(), torch.zeros_like(start)
        self.raised = torch.zeros_like(lowest)

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        if self.done:
            self.raised = self.raised + (values > self.last)
        rest = wide(~(values > self.best), gradient)
        self.best = self.best.fmax(values)
        self.best_points = torch.where(rest, self.best_points, self.points)
        self.best_gradient = torch.where(rest, self.best_gradient, gradient)
        if self.done in self.checkpoints:
            gradient = self._look_back(gradient)
        x, share = self.points, MOMENTUM if self.done else 1.0
        z = self.ball.project(torch.addcmul(x, self.ball.direction(gradient), self.step))
        moved = torch.lerp(x, z, share).add_(x - self.before, alpha=1 - share)
        self.before, self.points, self.last = x, self.ball.project(moved), values
        self.done += 1

    def _look_back(self, gradient: Tensor) -> Tensor:
        """Halve steps that make no progress and go back to the best points; the gradients there."""
        earlier = [0, *self.checkpoints][self.checkpoints.index(self.done)]
        same = (self.step == self.step_then).flatten() & (self.best == self.best_then)
        back = same | (self.raised < PROGRESS * (self.done - earlier))
        self.step_then, self.best_then = self.step, self.best
        self.raised = torch.zeros_like(self.raised)
        rest = wide(~back, gradient)
        self.step = torch.where(rest, self.step, self.step / 2)
        self.points = torch.where(rest, self.points, self.best_points)
        return torch.where(rest, gradient, self.best_gradient)
