"""The base of attacks that go from point to point, and of those that walk through a ball.

A reader who knows PGD finds its loop in these places, in the order of the calls:

1. ``persample.CountedAttack.generate`` splits the samples into blocks.
   ``PerSampleAttack`` leaves out what is misclassified already, and calls ``craft``.
2. :meth:`IteratedAttack.craft` goes through the random starts, each a run over what is left.
   ``measures.Ball.start`` finds the points where a run begins.
3. ``StepwiseAttack._run`` is the loop over the steps, also that of ``spike_retiming``. A step is:

   * ``queries.Queries.gradients``: logits and the gradient of the objective at the points,
   * ``persample.BestPoints.take``: what is broken, or the best so far, is kept,
   * ``persample.ActiveRows.select``: samples that are broken leave,
   * :meth:`AttackState.advance`: the step itself, by the equations of ``auto_pgd``, ``pgd``,
     ``stable_adaptive_pgd`` or ``square_search``. It ends with ``measures.Ball.project``.

A plan (``spiking_auto_attack``) calls ``craft`` itself, stage by stage."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from art_snn.attacks.measures import SIZES, SMALLEST, Ball, Norm, require_measure
from art_snn.attacks.persample import ActiveRows, BestPoints, PerSampleAttack
from art_snn.attacks.queries import Objective, Queries, cross_entropy, margin
from art_snn.checks import require, require_choice, require_count, require_whole
from art_snn.network import SpikingNetwork
from art_snn.seeding import uniform_noise


def _logits_ratio(logits: Tensor, classes: Tensor) -> Tensor:
    """Difference of logits ratio (Croce and Hein, ICML 2020, equation 6), free of their scale.

    The margin over the largest less the third largest logit; of two classes the margin."""
    if logits.shape[1] < 3:
        return margin(logits, classes)
    ordered = logits.topk(3).values
    return margin(logits, classes) / (ordered[:, 0] - ordered[:, 2]).clamp_min(SMALLEST)


_LOSSES: dict[str, Objective] = {
    "cross_entropy": cross_entropy,
    "difference_logits_ratio": _logits_ratio,
    "margin": margin,
}
"""Objectives that lead away from the true class, by the names of ART."""


class AttackState(ABC):
    """The state of an attack on samples [n] after `done` steps; it asks next at the points."""

    points: Tensor
    done = 0

    @abstractmethod
    def advance(self, values: Tensor, gradient: Tensor) -> None:
        """Go on to other points, by values [n] and gradient of the objective at these."""

    def goes_on(self, values: Tensor, logits: Tensor, aims: Tensor) -> Tensor | bool:
        """True to go on with all samples that are not broken, or which of them, bool [n]."""
        return True

    @abstractmethod
    def select(self, which: Tensor) -> "AttackState":
        """The state of some of the samples, rows [m]."""


@dataclass(eq=False)
class BallState(AttackState):
    """The state of a walk through a ball; the samples are the rows of its tensors.

    :param points: where it begins."""

    ball: Ball
    points: Tensor
    attack: "IteratedAttack"

    def __post_init__(self) -> None:
        """Set what else the steps need."""

    def select(self, which: Tensor) -> "BallState":
        some = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(some, name, value[which])
        some.ball = self.ball.select(which)
        return some


class StepwiseAttack(PerSampleAttack):
    """An attack that asks for a gradient, and takes a step by it, `max_iter` times.

    A sample is left as soon as it is broken; one that is never broken is returned where
    the objective was highest."""

    max_iter: int

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """The function that is raised."""

    def _run(
        self,
        queries: Queries,
        best: BestPoints,
        rows: Tensor,
        walk: AttackState,
        classes: Tensor,
    ) -> None:
        """One run over the samples rows [m], of all classes [n]."""
        left = ActiveRows(rows, rows.cpu())
        aims = classes[rows]
        for _ in range(self.max_iter):
            if self.by_gradients:
                logits, gradient = queries.gradients(
                    walk.points, aims, self.objective, left.here
                )
            else:
                logits = queries.logits(walk.points, left.here)
                gradient = logits.new_zeros(len(logits), 0)
            values, broken = self.take(best, left.rows, walk.points, logits, aims)
            stay = ~broken & ~logits.isnan().any(1) & walk.goes_on(values, logits, aims)
            stay = stay.cpu()  # The only wait of a step.
            queries.keep(stay)
            left, walk, aims, values, gradient = left.select(
                stay, walk, aims, values, gradient
            )
            if not len(left.here):
                return
            walk.advance(values, gradient)
            walk.done += 1
        logits = queries.logits(walk.points, left.here)
        self.take(best, left.rows, walk.points, logits, aims)

    def take(
        self, best: BestPoints, rows: Tensor, points: Tensor, logits: Tensor, aims: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The objective at the points [m], and whether they are broken [m]."""
        values = self.objective(logits, aims)
        broken = self.succeeded(logits, aims)
        best.take(rows, points, values, broken)
        if best.reached is not None:
            best.reached.take(rows, points, margin(logits, aims))
        return values, broken


@dataclass(eq=False, repr=False)
class IteratedAttack(StepwiseAttack):
    """Runs from one or more starts, each of max_iter gradients.

    An adversarial is the same alone and in any batch, up to rounding.

    :param norm: numpy.inf, "inf" or 2.
    :param eps: radius of the ball, in the unit of the samples.
    :param max_iter: steps of a run [100].
    :param num_random_init: runs, each from a random start; 0: one run, from the sample itself.
    :param seed: of all that is drawn.
    :param loss_type: what is raised: "cross_entropy", "difference_logits_ratio" (DLR), or
        "margin"; a targeted attack takes cross entropy.
    :raises ValueError: for a setting out of its range. The other parameters are those of
        :class:`CountedAttack`."""

    norm: Norm = np.inf
    eps: float = 8 / 255
    max_iter: int = 100
    num_random_init: int = 1
    targeted: bool = False
    batch_size: int = 32
    seed: int = 0
    verbose: bool = True
    loss_type: str = "cross_entropy"

    state: ClassVar[type[BallState]]
    """Its steps are the equations of the attack."""

    @property
    def objective(self) -> Objective:
        """The function that is raised: that of the loss, or towards a target its negative."""
        if self.targeted:
            return lambda logits, classes: -cross_entropy(logits, classes)
        return _LOSSES[self.loss_type]

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        x = best.samples.clone()
        ball = Ball(require_measure(self.norm), self.eps, x, *self.clip_range(x))
        for draw in range(max(1, self.num_random_init)):
            left = (~best.broken).nonzero()[:, 0]
            if not len(left):
                return
            if isinstance(self.estimator.model, SpikingNetwork):
                self.estimator.model.forget()
            around = ball.select(left)
            start = self._cold(around, draw)
            if draw == 0:
                start = best.start(left, start)
            walk = self.state(around, start, self)
            self._run(queries, best, left, walk, classes)

    def _cold(self, around: Ball, draw: int) -> Tensor:
        """Where a run begins that is not warm: at the samples, or at random points of the ball."""
        if not self.num_random_init:
            return around.centre
        return around.start(uniform_noise(around.centre, self.seed, draw))

    def _check_params(self) -> None:
        super()._check_params()
        measure = require_measure(self.norm, SIZES)
        self.norm = measure.norm
        self.eps = measure.require_budget(self.eps)
        require_count("max_iter", self.max_iter, remedy="A hundred steps are usual.")
        require_whole(
            "num_random_init",
            self.num_random_init,
            remedy="0 starts at the samples themselves, 1 at one random point of the ball.",
        )
        require_choice(
            "loss_type",
            self.loss_type,
            _LOSSES,
            remedy="Cross entropy rises fastest at first; the other two do not saturate.",
        )
        require(
            not self.targeted or self.loss_type == "cross_entropy",
            "loss_type",
            "cross_entropy for a targeted attack",
            repr(self.loss_type),
            "Leave loss_type out, or attack without targets.",
        )


def checkpoints(steps: int) -> list[int]:
    """After which of n steps APGD looks back (Croce and Hein): 22 41 57 70 80 87 93 99 of 100.

    The first stretch lasts 0.22 n steps, and each next one 0.03 n less, but at least 0.06 n."""
    first, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    ends = []
    end = length = first
    while end < steps:
        ends.append(end)
        length = max(length - less, least)
        end += length
    return ends
