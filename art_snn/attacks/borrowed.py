"""ART's own attacks as part of a plan: they generate, and results are projected and predicted."""

from typing import Any

import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.balls import Ball
from art_snn.attacks.persample import Best, PerSampleAttack
from art_snn.attacks.queries import Queries, margin
from art_snn.seeding import seeded


class Borrowed(PerSampleAttack):
    """An attack of ART's under the rules of ours.

    Its results are projected to the ball before they count. One seed serves all samples, and they
    share the passes that it makes.

    :param options: its settings, those of the budget and the batch among them."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        kind: type[EvasionAttack],
        options: dict[str, Any],
        norm: float,
        eps: float,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(estimator, targeted=False, batch_size=batch_size, verbose=False)
        self.kind, self.options = kind, options
        self.norm, self.eps, self.seed = norm, eps, seed

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, best: Best, classes: Tensor) -> None:
        x = best.samples.clone()
        ball = Ball(self.norm, self.eps, x, *self.clip_range(x))
        estimator = queries.estimator
        if queries.draws > 1:
            # Of a random network the attack sees mean predictions.
            estimator = object.__new__(type(estimator))
            vars(estimator).update(vars(queries.estimator))
            estimator.predict = lambda points, **_: queries.predict(points)
        attack = self.kind(estimator, **self.options)
        with seeded(self.seed), queries.counting():
            array = attack.generate(x.cpu().numpy(), classes.cpu().numpy())
        points = torch.as_tensor(array, device=x.device).to(x)
        points = ball.project(torch.where(points.isfinite(), points, x))
        rows = torch.arange(len(x), device="cpu")
        logits = queries.logits(points, rows)
        values, broken = margin(logits, classes), self.succeeded(logits, classes)
        best.take(rows.to(x.device), points, values, broken)
