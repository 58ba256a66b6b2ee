"""One attack at one budget on all samples of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from art_snn.attacks import Outcome
from art_snn.experiments.resume import expect
from art_snn.metrics import Robustness


@dataclass(frozen=True)
class Trial:
    """One attack, or one plan of attacks, at one budget; sequences have one entry per sample.

    :param name: of the plan, or the attack with its rule: "standard", "PGD-7 by stbp".
    :param eps: budget in the norm of the evaluation.
    :param stages: the stages, in order, in words.
    :param skipped: stages of the plan that did not run, with the reason.
    :param draws: predictions of which most decide; above 1 the network is random.
    :param stage: index of the stage that broke a sample, or one of :class:`art_snn.attacks.Outcome`
        for those that stand, were wrong already, or have no logits.
    :param forwards: forward passes, those of gradients among them.
    :param backwards: backward passes.
    :param distance: of the adversarial from its sample; 0 where there is none.
    :param votes: how many of `draws` predictions are wrong.
    :param native: stages that ran under the network's own gradient, with the reason.
    :param gradients: stages that ask the network for gradients, skipped ones too."""

    name: str
    eps: float
    stages: tuple[str, ...]
    skipped: dict[str, str]
    draws: int
    stage: tuple[int, ...]
    forwards: tuple[int, ...]
    backwards: tuple[int, ...]
    distance: tuple[float, ...]
    votes: tuple[int, ...]
    native: dict[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = sorted({len(getattr(self, name)) for name in COLUMNS})
        expect(len(sizes) == 1, "columns of as many samples each", sizes)
        known = range(Outcome.UNANSWERED, len(self.stages))
        odd = [number for number in self.stage if number not in known]
        expect(not odd, f"stages from {known.start} to {known.stop - 1}", odd[:1])
        expect(self.eps > 0, "a budget above 0", self.eps)
        fewest = min((*self.forwards, *self.backwards), default=0)
        expect(fewest >= 0, "passes of at least 0", fewest)

    @classmethod
    def of(cls, name: str, eps: float, outcome: Outcome) -> "Trial":
        """What an attack has found."""
        told: dict[str, Any] = {c: tuple(getattr(outcome, c).tolist()) for c in COLUMNS}
        told |= {"native": dict(outcome.native), "gradients": outcome.gradients}
        skipped = dict(outcome.skipped)
        return cls(name, eps, outcome.stages, skipped, outcome.draws, **told)

    @classmethod
    def joined(cls, parts: "Sequence[Trial]") -> "Trial":
        """One of the samples of all parts, one after another.

        :param parts: of the same attack, of one block of samples each; a stage is skipped where it
            suits no block."""
        first, *_ = parts
        every = dict.fromkeys(stage for part in parts for stage in _numbered(part.stages))
        places = {stage: place for place, stage in enumerate(every)}
        columns = {c: tuple(v for part in parts for v in getattr(part, c)) for c in COLUMNS}
        columns["stage"] = tuple(
            number if number < 0 else places[_numbered(part.stages)[number]]
            for part in parts
            for number in part.stage
        )
        native = {name: why for part in parts for name, why in part.native.items()}
        skipped = {name: why for part in parts for name, why in part.skipped.items()}
        ran = {*native, *(stage for stage, _ in every)}
        skipped = {name: why for name, why in skipped.items() if name not in ran}
        gradients = max((part.gradients for part in parts), key=len)
        return cls(
            first.name,
            first.eps,
            tuple(stage for stage, _ in every),
            skipped,
            max(part.draws for part in parts),
            **columns,
            native=native,
            gradients=gradients,
        )

    @property
    def outcome(self) -> Outcome:
        """The same as an attack tells it, without adversarials."""
        columns: dict[str, Any] = {n: np.asarray(getattr(self, n)) for n in COLUMNS}
        nothing = np.zeros((len(self.stage), 0))
        columns |= {"native": self.native, "gradients": self.gradients}
        return Outcome(self.stages, self.skipped, self.draws, nothing, **columns)

    @property
    def robustness(self) -> Robustness:
        """Shares with their intervals."""
        return self.outcome.robustness


COLUMNS = ("stage", "forwards", "backwards", "distance", "votes")


def _numbered(stages: Sequence[str]) -> list[tuple[str, int]]:
    """Stages of the same words, which differ by their seeds, told apart."""
    return [(stage, stages[:place].count(stage)) for place, stage in enumerate(stages)]
