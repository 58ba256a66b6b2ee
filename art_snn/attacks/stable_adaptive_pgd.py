"""SA-PGD: projected gradient descent with a step of its own for every input value."""

from dataclasses import dataclass

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.balls import SMALLEST, Ball, require_norm
from art_snn.attacks.best import Best
from art_snn.attacks.objectives import cross_entropy, towards
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.queries import Queries
from art_snn.attacks.starts import uniform
from art_snn.checks import require_count, require_number, require_seed, require_whole

KEPT, KEPT_SQUARES = 0.5, 0.8
"""Shares of the two moments that survive a step."""


class StableAdaptivePGD(PerSampleAttack):
    """Stable adaptive projected gradient descent (Wang et al., 2025).

    From a random start, moments of the gradient g give the step::

        m <- .5 m + g / mean |g|                v <- .8 v + g^2 / mean g^2
        delta <- project(delta + clip(eta m / (sqrt v + 1e-12), -eta, eta))

    Means are over a sample. The first step has no moments before it, their bias is not corrected,
    and where g vanishes its terms are 0. With norm=2 the step is shortened to the Euclidean length
    eta, and the ball is Euclidean. eta begins at eps and is halved after the steps of
    :func:`halvings`. A sample is left as soon as it is broken; one that is never broken is
    returned where its loss was highest.

    A sample has the same adversarial alone and in any batch, up to the last bits that the network
    computes: its start is drawn from a seed of its own, and its moments are of itself alone.

    :param estimator: a classifier of torch's, which is differentiated by the rule of its network.
    :param norm: numpy.inf, "inf" or 2.
    :param eps: radius of the ball, in the unit of the samples.
    :param max_iter: steps n of a run [100].
    :param num_random_init: runs, each from a random start; 0: one run, from the sample itself.
    :param targeted: whether y are targets.
    :param batch_size: samples per batch.
    :param seed: of the random starts.
    :param verbose: show a progress bar.
    :raises ValueError: for a setting out of its range."""

    attack_params = PerSampleAttack.attack_params + [  # noqa: RUF005
        "norm",
        "eps",
        "max_iter",
        "num_random_init",
        "seed",
    ]

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
    ) -> None:
        super().__init__(estimator, targeted=targeted, batch_size=batch_size, verbose=verbose)
        self.norm, self.eps, self.max_iter = norm, eps, max_iter
        self.num_random_init, self.seed = num_random_init, seed
        self._check_params()

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, x: Tensor, classes: Tensor, mask: Tensor | None) -> Tensor:
        ball = Ball(require_norm(self.norm), self.eps, x, *self.clip_range(x), mask)
        best, left = Best.none(x), torch.arange(len(x), device=x.device)
        for draw in range(max(1, self.num_random_init)):
            around = ball.of(left)
            start = around.centre
            if self.num_random_init:
                start = around.start(uniform(around.centre, self.seed, draw))
            left = self._run(queries, best, left, around, start, classes[left])
        return best.samples

    def _run(
        self, queries: Queries, best: Best, left: Tensor, ball: Ball, found: Tensor, classes: Tensor
    ) -> Tensor:
        """One run from one start, over the samples [m] that are left; those that it breaks not."""
        eta, halved, moments = self.eps, halvings(self.max_iter), Moments.none(found)
        objective = towards if self.targeted else cross_entropy
        for step in range(1, self.max_iter + 1):
            logits, gradient = queries.gradients(found, classes, objective, left.cpu())
            broken = self.succeeded(logits, classes)
            best.take(left, found, objective(logits, classes), broken)
            stay = ~broken & ~logits.isnan().any(1)
            left, classes, found, ball = left[stay], classes[stay], found[stay], ball.of(stay)
            if not len(left):
                return left
            moments = moments.of(stay).after(gradient[stay])
            found = ball.project(found + ball.step(moments.direction() * eta, eta))
            eta = eta / 2 if step in halved else eta
        logits = queries.logits(found, left.cpu())
        broken = self.succeeded(logits, classes)
        best.take(left, found, objective(logits, classes), broken)
        return left[~broken]

    def _check_params(self) -> None:
        super()._check_params()
        self.norm = require_norm(self.norm)
        self.eps = require_number("eps", self.eps, above=0, remedy="A usual budget is 8/255.")
        require_count("max_iter", self.max_iter, remedy="The paper takes 100 steps.")
        remedy = "0 starts at the samples themselves, 1 at one random point of the ball."
        require_whole("num_random_init", self.num_random_init, remedy=remedy)
        require_seed("seed", self.seed)


@dataclass
class Moments:
    """Moments of the gradient, normalised per sample ``[n, *shape]``."""

    mean: Tensor
    square: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "Moments":
        """Before the first step."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def of(self, which: Tensor) -> "Moments":
        """Those of some samples, bool [n]."""
        return Moments(self.mean[which], self.square[which])

    def after(self, gradient: Tensor) -> "Moments":
        """With another gradient ``[n, *shape]``."""
        # Scaled first, so that squares of small gradients do not underflow.
        dims = tuple(range(1, gradient.ndim))
        largest = gradient.abs().amax(dims, keepdim=True)
        scaled = torch.where(largest > 0, gradient / largest, 0)
        square = scaled.square()
        mean, mean_square = (g.mean(dims, keepdim=True) for g in (scaled.abs(), square))
        first = torch.where(mean > 0, scaled / mean, 0)
        second = torch.where(mean_square > 0, square / mean_square, 0)
        return Moments(self.mean * KEPT + first, self.square * KEPT_SQUARES + second)

    def direction(self) -> Tensor:
        """``m / (sqrt v + 1e-12)``."""
        return self.mean / (self.square.sqrt() + SMALLEST)


def halvings(steps: int) -> list[int]:
    """After which of n steps the step is halved: the checkpoints of APGD.

    The first lasts .22 n steps, and every other .03 n less than the one before it, but at least
    .06 n (Croce and Hein, ICML 2020, in whole steps): 22 41 57 70 80 87 93 99 of 100."""
    first, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    ends, length = [], first
    end = first
    while end < steps:
        ends.append(end)
        length = max(length - less, least)
        end += length
    return ends
