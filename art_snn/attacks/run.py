"""Stages that run one after another on a block of samples."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.best import Best, Reached
from art_snn.attacks.distances import distances
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.persample import ROUNDING, CountedAttack, PerSampleAttack
from art_snn.attacks.plan import Stage
from art_snn.attacks.queries import Queries
from art_snn.attacks.remembering import attacking
from art_snn.gradients import Gradient
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded

FRESH = 1000
"""From which seed on, after that of the attack, the predictions that decide are drawn."""
GRADIENTS = 10
"""Draws that the gradient of a random network is averaged over, and its logits on the way."""


@dataclass(frozen=True)
class Step:
    """A stage on the network under attack, or on a source; its words name that.

    :param rule: of the gradients; None: the network's own."""

    stage: Stage
    words: str
    attack: PerSampleAttack
    rule: Gradient | None

    def using_rule(self) -> AbstractContextManager[object]:
        """A block in which the rule gives the gradients."""
        if self.rule is None:
            return nullcontext()
        network: SpikingNetwork = self.attack.estimator.model
        return network.using(self.rule)


class Budgeted(CountedAttack):
    """An attack with a budget, and a seed of all that it draws."""

    norm: float | str
    eps: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """The attack on one block of samples, whose adversarials take their place.

    Outcome, samples, classes and mask are of all N samples, queries and reached of the block.

    :param first: row of all samples that the block begins with."""

    attack: Budgeted
    outcome: Outcome
    queries: Queries
    samples: Tensor
    classes: Tensor
    mask: Tensor | None
    first: int
    reached: Reached

    def correct(self, rows: Tensor) -> Tensor:
        """Which of the samples are classified correctly, [m] of rows [n]."""
        votes, unanswered, logits = self._votes(self.samples[rows], rows)
        true = logits.gather(1, self.classes[rows, None])[:, 0]
        self.reached.heights[rows - self.first] = (true - logits.mean(1)).to(self.reached.heights)
        index, answered = rows.cpu().numpy(), ~unanswered.cpu().numpy()
        self.outcome.votes[index] = votes.cpu().numpy()
        stage = np.where(self._most(votes).cpu().numpy(), Outcome.WRONG, Outcome.STANDING)
        self.outcome.stage[index[answered]] = stage[answered]
        left = self.standing(rows)
        self.queries.finish(len(rows) - len(left))
        return left

    def standing(self, rows: Tensor) -> Tensor:
        """Which of the samples nothing has broken, [m] of rows [n]."""
        stands = self.outcome.stage[rows.cpu().numpy()] == Outcome.STANDING
        return rows[torch.as_tensor(stands, device=rows.device)]

    def near(self, rows: Tensor, within: float | None) -> Tensor:
        """The samples of rows [n] that a stage attacks: all, or those near the boundary [m]."""
        return rows if within is None else rows[self.reached.near(rows - self.first, within)]

    def run_stage(self, number: int, step: Step, rows: Tensor) -> None:
        """Let a stage attack samples [n], and put what it breaks in their place."""
        estimator, transfer = step.attack.estimator, step.stage.transfer
        local = rows - self.first
        # Margins of another network say nothing about this one.
        reached = None if transfer else self.reached.of(local)
        best = Best.none(self.samples[rows], reached, step.stage.warm)
        draws = GRADIENTS if self.outcome.draws > 1 else 1
        queries = self.queries.of(local, estimator=estimator, reports=False, draws=draws)
        mask = None if self.mask is None else self.mask[rows]
        try:
            with attacking(estimator, step.attack.radius):
                step.attack.craft(queries, best, self.classes[rows], mask)
        finally:
            if reached is not None:
                self.reached.put(local, reached)
            claimed = best.broken | transfer
            self._take(number, rows[claimed], best.samples[claimed])

    def _take(self, number: int, rows: Tensor, adversarial: Tensor) -> None:
        """Put adversarial samples [m] in the place of samples, where they are such."""
        if not len(rows):
            return
        low, high = self.attack.clip_range(adversarial)
        adversarial = adversarial.clamp(low, high)
        distance = distances(self.attack.norm, self.samples[rows], adversarial, low)
        slack = ROUNDING * max(1.0, float(adversarial.abs().max()))
        votes, _, _ = self._votes(adversarial, rows)
        broken = self._most(votes).cpu().numpy() & (distance <= self.attack.eps + slack)
        which = torch.as_tensor(broken, device="cpu")
        taken, index = rows[which], rows.cpu().numpy()[broken]
        self.samples[taken] = adversarial[which]
        self.outcome.adversarials[index] = self.samples[taken].cpu().numpy()
        self.outcome.stage[index] = number
        self.outcome.distance[index] = distance[broken]
        self.outcome.votes[index] = votes.cpu().numpy()[broken]
        self.queries.finish(len(index))

    def _votes(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many predictions of samples [n] are wrong, whether any is NaN [n]; the last ones."""
        votes, unanswered = torch.zeros_like(rows), torch.zeros_like(rows, dtype=torch.bool)
        draws = self.outcome.draws
        for draw in range(draws):
            with seeded(self.attack.seed + FRESH + draw) if draws > 1 else nullcontext():
                logits = self.queries.logits(x, rows - self.first)
            votes += self.attack.succeeded(logits, self.classes[rows])
            unanswered |= logits.isnan().any(1)
        return votes, unanswered, logits

    def _most(self, votes: Tensor) -> Tensor:
        """Whether votes [n] are a majority of the predictions."""
        return 2 * votes > self.outcome.draws
