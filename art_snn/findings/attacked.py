"""An attack that has run once on samples, and what it has computed on its way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from art.attacks import EvasionAttack

from art_snn.attacks.borrowed import watching
from art_snn.attacks.distances import FLIPS
from art_snn.attacks.persample import ROUNDING
from art_snn.checks import require, shown
from art_snn.findings.base import Subject
from art_snn.findings.path import Path
from art_snn.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class Attacked(Subject):
    """Samples with an attack on them, which runs once.

    :param attack: untargeted, with its settings."""

    attack: EvasionAttack

    @cached_property
    def run(self) -> tuple[np.ndarray, Path]:
        """What the attack returns ``(N, *input_shape)``, and what it computed on its way."""
        path = self._path()
        with seeded(self.seed), watching(self.estimator, path.take):
            found = self.attack.generate(self.x.copy(), self.y.copy())
        fits = isinstance(found, np.ndarray) and found.shape == self.x.shape
        got = f"shape {found.shape}" if isinstance(found, np.ndarray) else shown(found)
        remedy = "Patches are no changes of samples within a ball."
        require(fits, "attack", "one that returns samples of x's shape", got, remedy)
        return found, path

    def _path(self) -> Path:
        device = self.estimator.device
        x = torch.as_tensor(self.x, dtype=torch.float64, device=device).flatten(1)
        classes = torch.as_tensor(self.y, device=device)
        low, high = self.limits
        nothing = x.new_zeros(len(x))
        radius = self.eps + self.slack
        return Path(x, classes, x.clone(), nothing, float(self.norm), radius, low, high)

    @property
    def slack(self) -> float:
        """By how much rounding may take a sample out of the ball or the range."""
        return ROUNDING * max(self.span, 0 if self.norm == FLIPS else self.eps)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values, rounding included; infinite where none are known."""
        values = self.estimator.clip_values
        low, high = (-np.inf, np.inf) if values is None else values
        return np.asarray(low) - self.slack, np.asarray(high) + self.slack

    @cached_property
    def finite(self) -> np.ndarray:
        """Which of what is returned are numbers throughout, bool (N,)."""
        rows = self.run[0].reshape(len(self.x), -1)
        return np.asarray(np.isfinite(rows).all(1))

    @cached_property
    def returned(self) -> np.ndarray:
        """What is returned, the sample itself where that is not a number."""
        which = self.finite.reshape(-1, *(1,) * (self.x.ndim - 1))
        return np.where(which, self.run[0], self.x).astype(self.x.dtype)
