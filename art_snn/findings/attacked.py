"""An attack that has run once on samples, and what it has computed on its way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from art.attacks import EvasionAttack
from torch import Tensor

from art_snn.attacks.borrowed import watching
from art_snn.attacks.distances import FLIPS
from art_snn.attacks.objectives import margin
from art_snn.attacks.persample import ROUNDING
from art_snn.checks import require, shown
from art_snn.findings.base import Subject
from art_snn.seeding import seeded


@dataclass
class Path:
    """The points of each sample's ball and range that were misclassified by the widest margin.

    A point in the balls of several samples is left out: nothing says for which of them the network
    computed it.

    :param centres: the samples [N, D] in double precision, with their true classes [N].
    :param points: the points [N, D], the samples where there is none.
    :param margins: there, best other logit minus that of the true class [N]; 0 where none."""

    centres: Tensor
    classes: Tensor
    points: Tensor
    margins: Tensor
    norm: float
    eps: float
    low: np.ndarray
    high: np.ndarray

    def take(self, inputs: Tensor, logits: Tensor) -> None:
        """Take in what the network computed: inputs ``[n, *shape]`` and logits [n, K]."""
        with torch.no_grad():
            points = inputs.to(self.centres).flatten(1)
            low, high = (self.centres.new_tensor(end) for end in (self.low, self.high))
            within = ((inputs >= low) & (inputs <= high)).flatten(1).all(1)
            exact = "donot_use_mm_for_euclid_dist"
            gaps = torch.cdist(points, self.centres, p=self.norm, compute_mode=exact)
            inside = gaps <= self.eps
            single = within & (inside.sum(1) == 1)
            rows = inside[single].int().argmax(1)
            values = margin(logits.detach()[single], self.classes[rows]).to(self.centres)
            self._keep(rows, points[single], values)

    def _keep(self, rows: Tensor, points: Tensor, values: Tensor) -> None:
        # One by one, since a sample may have several points in a batch; few are misclassified.
        for index in (values > self.margins[rows]).nonzero()[:, 0]:
            row = rows[index]
            if values[index] > self.margins[row]:
                self.points[row], self.margins[row] = points[index], values[index]

    @property
    def held(self) -> np.ndarray:
        """Which samples it held an adversarial of, bool (N,)."""
        return np.asarray((self.margins > 0).cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class Attacked(Subject):
    """Samples with an untargeted attack on them, which runs once."""

    attack: EvasionAttack

    @cached_property
    def run(self) -> tuple[np.ndarray, Path]:
        """What the attack returns ``(N, *input_shape)``, and what it computed on its way."""
        device = self.estimator.device
        x = torch.as_tensor(self.x, dtype=torch.float64, device=device).flatten(1)
        classes, margins = torch.as_tensor(self.y, device=device), x.new_zeros(len(x))
        radius = self.eps + self.slack
        path = Path(x, classes, x.clone(), margins, float(self.norm), radius, *self.limits)
        with seeded(self.seed), watching(self.estimator, path.take):
            returned = self.attack.generate(self.x.copy(), self.y.copy())
        array = isinstance(returned, np.ndarray)
        got = f"shape {returned.shape}" if array else shown(returned)
        fits = array and returned.shape == self.x.shape
        remedy = "Patches are no changes of samples within a ball."
        require(fits, "attack", "one that returns samples of x's shape", got, remedy)
        return returned, path

    @property
    def slack(self) -> float:
        """By how much rounding may take a sample out of the ball or the range."""
        return ROUNDING * max(self.span, 0 if self.norm == FLIPS else self.eps)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values, rounding included; infinite without clip_values."""
        values = self.estimator.clip_values
        low, high = (-np.inf, np.inf) if values is None else values
        return np.asarray(low) - self.slack, np.asarray(high) + self.slack

    @cached_property
    def finite(self) -> np.ndarray:
        """Which of the returned samples are numbers throughout, bool (N,)."""
        rows = self.run[0].reshape(len(self.x), -1)
        return np.asarray(np.isfinite(rows).all(1))

    @cached_property
    def returned(self) -> np.ndarray:
        """The returned samples; where one is not finite, the original."""
        which = self.finite.reshape(-1, *(1,) * (self.x.ndim - 1))
        return np.where(which, self.run[0], self.x).astype(self.x.dtype)
