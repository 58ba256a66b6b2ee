"""What a plan of attacks has found out about every sample."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from art_snn.metrics import Robustness


@dataclass
class Outcome:
    """Which stage broke which sample, and at what cost; arrays have one row per sample.

    :param stages: the stages, in order, in words.
    :param skipped: stages of the plan that did not run, with the reason.
    :param draws: predictions of which most decide whether a sample counts as broken: 1, or more of
        random networks.
    :param adversarials: the first adversarial of every sample that was broken, and the others as
        they came ``(N, *input_shape)``.
    :param stage: index of the stage that broke a sample [N]; STANDING where none has, WRONG where
        it was misclassified already, UNANSWERED where its logits are NaN or nobody has asked yet.
    :param forwards: forward passes [N], those of gradients among them.
    :param backwards: backward passes [N].
    :param distance: of the adversarial, in the norm of the attack [N]; 0 where there is none.
    :param votes: how many of `draws` predictions of the adversarial are wrong [N]; where there is
        none, of the sample.
    :param seconds: time that every stage took.
    :param native: stages of the plan that ran under the network's own gradient, with the reason why
        their rule does not suit.
    :param gradients: stages of the plan that ask the network for gradients, skipped ones too."""

    stages: tuple[str, ...]
    skipped: Mapping[str, str]
    draws: int
    adversarials: np.ndarray
    stage: np.ndarray
    forwards: np.ndarray
    backwards: np.ndarray
    distance: np.ndarray
    votes: np.ndarray
    seconds: list[float] = field(default_factory=list)
    native: Mapping[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()

    STANDING: ClassVar[int] = -1
    WRONG: ClassVar[int] = -2
    UNANSWERED: ClassVar[int] = -3

    @property
    def robustness(self) -> Robustness:
        """Shares with their intervals. A sample without logits counts as not correct."""
        return Robustness(self.stage >= self.STANDING, self.stage < 0)

    @property
    def broken_by(self) -> dict[str, int]:
        """How many samples each stage broke that those before it had not.

        Stages of the same words, which differ by their seeds, count together."""
        found = dict.fromkeys(self.stages, 0)
        for stage, count in zip(self.stages, self._counts, strict=True):
            found[stage] += count
        return found

    @property
    def _counts(self) -> list[int]:
        counts: list[int] = np.bincount(
            self.stage[self.stage >= 0], minlength=len(self.stages)
        ).tolist()
        return counts

    @property
    def queries(self) -> float:
        """Forward and backward passes per sample that was classified correctly."""
        correct = self.robustness.correct
        spent = self.forwards[correct] + self.backwards[correct]
        return float(spent.mean()) if len(spent) else 0.0

    def __str__(self) -> str:
        lines = [
            f"attack success {self.robustness.attack_success}, robust accuracy "
            f"{self.robustness.robust_accuracy}, {self.queries:.0f} queries per sample"
        ]
        took = [*self.seconds, *[float("nan")] * (len(self.stages) - len(self.seconds))]
        lines += [
            f"{count:6d} broken in {seconds:.1f} s: {stage}"
            for stage, count, seconds in zip(self.stages, self._counts, took, strict=True)
        ]
        lines += [f"by native instead: {name}: {why}" for name, why in self.native.items()]
        return "\n".join(lines + [f"skipped {name}: {why}" for name, why in self.skipped.items()])
