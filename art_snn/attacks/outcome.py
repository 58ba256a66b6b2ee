"""What a plan of attacks did to each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from art_snn.metrics import Robustness


@dataclass
class Outcome:
    """Which stage broke which sample, and at what cost; arrays have one row per sample.

    :param stages: the stages, in order, in words.
    :param skipped: stages of the plan that did not run, with the reason.
    :param draws: predictions whose majority decides: 1, or more of random networks.
    :param stage: index of the stage that broke a sample [N]; STANDING where none has, WRONG where
        it was misclassified already, UNANSWERED where its logits are NaN or nobody has asked yet.
    :param forwards: forward passes [N], also of gradients; `backwards`: backward passes [N].
    :param distance: of the adversarial, in the norm of the attack [N]; 0 where there is none.
    :param votes: how many of `draws` predictions of the adversarial, or else the sample, are wrong.
    :param native: stages that ran with the network's own gradient, with the reason.
    :param gradients: stages of the plan that ask the network for gradients, skipped ones too.
    :param adversarials: first adversarial of each broken sample, others as they came ``(N, ...)``.
    :param seconds: time that each stage took."""

    stages: tuple[str, ...]
    skipped: Mapping[str, str]
    draws: int
    stage: NDArray[np.int64]
    forwards: NDArray[np.int64]
    backwards: NDArray[np.int64]
    distance: NDArray[np.float64]
    votes: NDArray[np.int64]
    native: Mapping[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()
    adversarials: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    seconds: list[float] = field(default_factory=list)

    STANDING: ClassVar[int] = -1
    WRONG: ClassVar[int] = -2
    UNANSWERED: ClassVar[int] = -3

    @classmethod
    def joined(cls, parts: "Sequence[Outcome]") -> "Outcome":
        """The outcome of an attack on all parts in turn, without adversarials and seconds.

        A stage is skipped where it suits the samples of no part."""
        stages = dict.fromkeys(stage for part in parts for stage in part._numbered)
        places = {stage: place for place, stage in enumerate(stages)}
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("forwards", "backwards", "distance", "votes")
        }
        stage: list[int] = []
        for part in parts:
            names = part._numbered
            stage += [n if n < 0 else places[names[n]] for n in part.stage.tolist()]
        native = {name: why for part in parts for name, why in part.native.items()}
        skipped = {name: why for part in parts for name, why in part.skipped.items()}
        words = tuple(words for words, _ in stages)
        return cls(
            words,
            {name: why for name, why in skipped.items() if name not in {*native, *words}},
            max(part.draws for part in parts),
            np.array(stage, dtype=np.int64),
            native=native,
            gradients=max((part.gradients for part in parts), key=len),
            **columns,
        )

    def among(self, attacked: NDArray[np.bool_], samples: np.ndarray) -> "Outcome":
        """The outcome on all samples, of which some were attacked; the others stand unqueried.

        :param attacked: which samples it is about, bool (N,); samples: all of them ``(N, ...)``."""
        adversarials = samples.copy()
        adversarials[attacked] = self.adversarials
        columns: dict[str, Any] = {}
        for name in ("stage", "forwards", "backwards", "distance", "votes"):
            column = getattr(self, name)
            rest = self.STANDING if name == "stage" else 0
            columns[name] = np.full(len(attacked), rest, dtype=column.dtype)
            columns[name][attacked] = column
        return replace(self, adversarials=adversarials, **columns)

    @property
    def _numbered(self) -> list[tuple[str, int]]:
        """The stages, those of the same words, which differ by their seeds, numbered."""
        return [(stage, self.stages[:i].count(stage)) for i, stage in enumerate(self.stages)]

    @property
    def robustness(self) -> Robustness:
        """Shares with their intervals. A sample without logits counts as not correct."""
        return Robustness(self.stage >= self.STANDING, self.stage < 0)

    @property
    def broken_by(self) -> dict[str, int]:
        """How many samples each stage broke first; stages of the same words count together."""
        counts = dict.fromkeys(self.stages, 0)
        for stage, count in zip(self.stages, self._counts, strict=True):
            counts[stage] += count
        return counts

    @property
    def _counts(self) -> list[int]:
        return [int((self.stage == place).sum()) for place in range(len(self.stages))]

    @property
    def queries(self) -> float:
        """Forward and backward passes per sample that was classified correctly."""
        spent = (self.forwards + self.backwards)[self.robustness.correct]
        return float(spent.mean()) if len(spent) else 0.0

    def __str__(self) -> str:
        lines = [
            f"attack success {self.robustness.attack_success}, robust accuracy "
            f"{self.robustness.robust_accuracy}, {self.queries:.0f} queries per sample"
        ]
        rows = zip_longest(self.stages, self._counts, self.seconds, fillvalue=float("nan"))
        lines += [f"{count:6} broken in {seconds:.1f} s: {stage}" for stage, count, seconds in rows]
        lines += [f"by native instead: {name}: {why}" for name, why in self.native.items()]
        return "\n".join(lines + [f"skipped {name}: {why}" for name, why in self.skipped.items()])
