"""The white box with the network's present rule, and its controls, each run once."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import SquareAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.balls import Ball
from art_snn.attacks.best import Best
from art_snn.attacks.grids import OnwardPGD
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.plan import Stage
from art_snn.attacks.queries import Queries
from art_snn.attacks.randomness import uniform_noise
from art_snn.findings.base import Subject
from art_snn.metrics import Robustness, union
from art_snn.seeding import seeded

DRAWS = 10
"""Random points at the rim of the ball."""
WINDOW = 10
"""Steps at the end of the white box."""


@dataclass(frozen=True, kw_only=True)
class WhiteBox(Subject):
    """Samples with AutoPGD on them: cross entropy, one random start, the network's rule."""

    sources: tuple[PyTorchClassifier, ...] = ()
    max_iter: int = 100
    square_iter: int = 500

    @cached_property
    def traced(self) -> tuple[Robustness, np.ndarray]:
        """The white box, and how much the best loss of every sample that it leaves rose at last."""
        attack = _Traced(self.estimator, **self._settings())
        return self._outcome(attack), np.concatenate([np.zeros(0), *attack.rises])

    @property
    def white(self) -> Robustness:
        """The white box."""
        return self.traced[0]

    @cached_property
    def longer(self) -> Robustness:
        """The white box with twice as many steps."""
        return self._auto_pgd(max_iter=2 * self.max_iter)

    @cached_property
    def one_step(self) -> Robustness:
        """FGSM: AutoPGD's first step is 2 eps long, and projected."""
        return self._auto_pgd(max_iter=1, num_random_init=0)

    @cached_property
    def unbounded(self) -> Robustness:
        """The white box with a ball around every sample that holds the whole range."""
        return self._auto_pgd(eps=self.reach)

    @cached_property
    def noise(self) -> Robustness:
        """Whichever of several random points at the rim of the ball is misclassified."""
        x = torch.as_tensor(self.x, device="cpu")
        limits = AutoPGD(self.estimator, **self._settings()).clip_range(x)
        ball = Ball(float(self.norm), self.eps, x, *(end.to(x) for end in limits))
        # The white box begins at draw 0.
        points = (ball.start(uniform_noise(x, self.seed, draw)) for draw in range(1, DRAWS + 1))
        return union([self._judged(point.numpy()) for point in points])

    @cached_property
    def square(self) -> Robustness | None:
        """SquareAttack; None where it does not suit the samples."""
        stage = Stage(SquareAttack, None, {"max_iter": self.square_iter})
        some = torch.as_tensor(self.x[:1], device="cpu")
        if stage.objection(self.estimator, self.norm, some) is not None:
            return None
        attack = stage.build(self.estimator, self.norm, self.eps, self.batch_size, self.seed)
        return self._outcome(attack)

    @cached_property
    def transfers(self) -> list[Robustness]:
        """What is crafted on every source, and shown to the network at the end."""
        attacks = [OnwardPGD(source, **self._settings()) for source in self.sources]
        return [self._outcome(attack) for attack in attacks]

    def _auto_pgd(self, **others: Any) -> Robustness:
        return self._outcome(AutoPGD(self.estimator, **self._settings(**others)))

    def _settings(self, **others: Any) -> dict[str, Any]:
        usual = {"norm": self.norm, "eps": self.eps, "max_iter": self.max_iter, "seed": self.seed}
        return usual | {"batch_size": self.batch_size, "verbose": False} | others

    def _outcome(self, attack: PerSampleAttack) -> Robustness:
        with seeded(self.seed):
            adversarial: np.ndarray = attack.generate(self.x, self.y)
        return self._judged(adversarial)

    def _judged(self, adversarial: np.ndarray) -> Robustness:
        return Robustness(self.correct, ~self.wrong(adversarial))


class _Traced(AutoPGD):
    """AutoPGD that keeps how much the best loss of unbroken samples rose over its last steps."""

    def __init__(self, estimator: PyTorchClassifier, **options: Any) -> None:
        super().__init__(estimator, **options)
        self.rises: list[np.ndarray] = []

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        history = _History(best.samples, best.values, best.broken)
        super().craft(queries, history, classes, mask)
        left = ~best.broken
        if left.any():
            # Fewer steps than that where the last samples leave because they have no answer.
            rise = history.best[-1] - history.best[max(-1 - WINDOW, -len(history.best))]
            self.rises.append(rise[left].double().cpu().numpy())


@dataclass
class _History(Best):
    """The tensors of another Best, and the best values [n] of each step."""

    best: list[Tensor] = field(default_factory=list)

    def take(self, rows: Tensor, points: Tensor, values: Tensor, broken: Tensor) -> None:
        super().take(rows, points, values, broken)
        self.best.append(self.values.clone())
