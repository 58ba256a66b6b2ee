"""Stages that run one after another on a block of samples."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.best import Best, Reached
from art_snn.attacks.budget import attacking
from art_snn.attacks.distances import distances
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.persample import ROUNDING, CountedAttack, PerSampleAttack
from art_snn.attacks.queries import Queries
from art_snn.gradients import Gradient
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded

FRESH = 1000
"""From which seed on, after that of the attack, predictions are drawn that decide."""
GRADIENTS = 10
"""Draws that the gradient of a random network is averaged over, and its logits on the way."""


@dataclass(frozen=True)
class Step:
    """A stage on a classifier.

    :param words: what it is called.
    :param attack: on the network under attack, or on another one.
    :param rule: by which gradients are taken; None: the network's own.
    :param transfer: whether only the end of it is shown to the network under attack.
    :param warm: whether it begins where those before it came furthest.
    :param within: which samples it attacks, as in :class:`Stage`."""

    words: str
    attack: PerSampleAttack
    rule: Gradient | None
    transfer: bool
    warm: bool
    within: float | None

    def by(self) -> AbstractContextManager[object]:
        """A block in which its rule gives the gradients."""
        if self.rule is None:
            return nullcontext()
        network: SpikingNetwork = self.attack.estimator.model
        return network.using(self.rule)


@dataclass(frozen=True)
class Run:
    """The attack on one block of samples.

    :param whole: which samples count as broken, and their range.
    :param norm: of the budget eps.
    :param seed: of the predictions that decide.
    :param outcome: is told of all that is found.
    :param queries: of the block.
    :param found: all samples ``[N, *input_shape]``, which adversarials take the place of.
    :param classes: of all samples [N].
    :param mask: of all samples, where values may change; None: everywhere.
    :param first: row of all samples that the block begins with.
    :param reached: how far the stages have come with the samples of the block."""

    whole: CountedAttack
    norm: float | str
    eps: float
    seed: int
    outcome: Outcome
    queries: Queries
    found: Tensor
    classes: Tensor
    mask: Tensor | None
    first: int
    reached: Reached

    def correct(self, rows: Tensor) -> Tensor:
        """Which of the samples are classified correctly, [m] of rows [n]."""
        votes, unanswered, logits = self._votes(self.found[rows], rows)
        wrong = self._most(votes)
        true = logits.gather(1, self.classes[rows, None])[:, 0]
        self.reached.heights[rows - self.first] = (true - logits.mean(1)).to(self.reached.heights)
        index, answered = rows.cpu().numpy(), ~unanswered.cpu().numpy()
        self.outcome.votes[index] = votes.cpu().numpy()
        found = np.where(wrong.cpu().numpy(), Outcome.WRONG, Outcome.STANDING)
        self.outcome.stage[index[answered]] = found[answered]
        left = self.standing(rows)
        self.queries.through(len(rows) - len(left))
        return left

    def standing(self, rows: Tensor) -> Tensor:
        """Which of the samples nothing has broken, [m] of rows [n]."""
        stands = self.outcome.stage[rows.cpu().numpy()] == Outcome.STANDING
        return rows[torch.as_tensor(stands, device=rows.device)]

    def near(self, rows: Tensor, within: float | None) -> Tensor:
        """Which samples of rows [n] a stage attacks that goes on with near ones alone [m]."""
        return rows if within is None else rows[self.reached.near(rows - self.first, within)]

    def stage(self, number: int, step: Step, rows: Tensor) -> None:
        """Let a stage attack samples [n], and put what it breaks in their place."""
        estimator = step.attack.estimator
        own = rows - self.first
        # Margins of another network tell nothing of this one.
        reached = None if step.transfer else self.reached.of(own)
        best = Best.none(self.found[rows], reached, step.warm)
        changes = {"estimator": estimator, "reports": False}
        changes["draws"] = GRADIENTS if self.outcome.draws > 1 else 1
        queries = self.queries.of(own, **changes)
        mask = None if self.mask is None else self.mask[rows]
        try:
            with attacking(estimator, step.attack.radius):
                step.attack.craft(queries, best, self.classes[rows], mask)
        finally:
            if reached is not None:
                self.reached.put(own, reached)
            claimed = best.broken | step.transfer
            self._take(number, rows[claimed], best.samples[claimed])

    def _take(self, number: int, rows: Tensor, adversarial: Tensor) -> None:
        """Put adversarial samples [m] in the place of samples, where they are such."""
        if not len(rows):
            return
        low, high = self.whole.clip_range(adversarial)
        adversarial = adversarial.clamp(low, high)
        distance = distances(self.norm, self.found[rows], adversarial, low)
        slack = ROUNDING * max(1.0, float(adversarial.abs().max()))
        votes, _, _ = self._votes(adversarial, rows)
        broken = self._most(votes).cpu().numpy() & (distance <= self.eps + slack)
        which = torch.as_tensor(broken, device="cpu")
        taken, index = rows[which], rows.cpu().numpy()[broken]
        self.found[taken] = adversarial[which]
        self.outcome.adversarials[index] = self.found[taken].cpu().numpy()
        self.outcome.stage[index] = number
        self.outcome.distance[index] = distance[broken]
        self.outcome.votes[index] = votes.cpu().numpy()[broken]
        self.queries.through(len(index))

    def _votes(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many predictions of samples [n] are wrong, whether there are none [n], and one."""
        votes, unanswered = torch.zeros_like(rows), torch.zeros_like(rows, dtype=torch.bool)
        for draw in range(self.outcome.draws):
            fresh = seeded(self.seed + FRESH + draw)
            with fresh if self.outcome.draws > 1 else nullcontext():
                logits = self.queries.logits(x, rows - self.first)
            votes += self.whole.succeeded(logits, self.classes[rows])
            unanswered |= logits.isnan().any(1)
        return votes, unanswered, logits

    def _most(self, votes: Tensor) -> Tensor:
        """Whether most predictions say so, of votes [n]."""
        return 2 * votes > self.outcome.draws
