"""The result of a plan for each sample, and its stages as results keep them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from art_snn.metrics import Robustness

Status = Literal["ran", "native", "submitted", "repeated", "skipped", "decided"]


@dataclass(frozen=True)
class StageRecord:
    """A stage as results keep it.

    :param id: the same in every result of the stage, such as "hart-0.5-auto-pgd-20".
    :param label: a few words, such as "AutoPGD HART 0.5".
    :param description: all settings.
    :param gradient: True where it asks the network under attack for gradients.
    :param status: "ran"; "native": ran under the network's own gradient; "submitted":
        tried adversarials from elsewhere; "repeated": left out, since it would repeat
        another; "skipped": does not suit the network; "decided": the exact search after a
        plan.
    :param instead_of: label of the planned stage that it runs for, under another rule.
    :param reason: for such stages, and for "repeated" and "skipped"."""

    id: str
    label: str
    description: str
    gradient: bool = False
    status: Status = "ran"
    instead_of: str = ""
    reason: str = ""


@dataclass
class Outcome:
    """Which stage broke which sample, and at what cost; arrays have one row per sample.

    :param stages: the stages that ran, in order.
    :param skipped: stages of the plan that did not run, with the reason.
    :param draws: predictions whose majority decides: 1, or more of random networks.
    :param stage: index of the stage that broke a sample [N]; STANDING where none has,
        WRONG where it was misclassified already, UNANSWERED where its logits are NaN or
        it was not asked yet.
    :param forwards: forward passes [N], also of gradients; `backwards`: backward passes [N].
    :param distance: of the adversarial, in the norm of the attack [N]; 0 where there is none.
    :param votes: how many of `draws` predictions of the adversarial, or else the sample, are wrong.
    :param adversarials: the first of each broken sample, others as they came ``(N, ...)``."""

    stages: tuple[StageRecord, ...]
    skipped: tuple[StageRecord, ...]
    draws: int
    stage: NDArray[np.int64]
    forwards: NDArray[np.int64]
    backwards: NDArray[np.int64]
    distance: NDArray[np.float64]
    votes: NDArray[np.int64]
    adversarials: ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    COLUMNS = ("stage", "forwards", "backwards", "distance", "votes")
    STANDING = -1
    WRONG = -2
    UNANSWERED = -3

    @classmethod
    def concatenate(cls, parts: "Sequence[Outcome]") -> "Outcome":
        """The outcome of an attack on all parts in turn, without adversarials.

        A stage is skipped where it suits the samples of no part."""
        stages: dict[tuple[str, int], StageRecord] = {}
        skipped: dict[tuple[str, int], StageRecord] = {}
        stage: list[int] = []
        for part in parts:
            numbered = _number(part.stages)
            stages |= numbered
            skipped |= _number(part.skipped)
            # A stage keeps its place when later parts add others.
            places = [[*stages].index(key) for key in numbered]
            stage += [n if n < 0 else places[n] for n in part.stage.tolist()]

        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in cls.COLUMNS
        }
        columns["stage"] = np.array(stage, dtype=np.int64)

        ran = {name for one in stages.values() for name in (one.id, one.instead_of)}
        return cls(
            tuple(stages.values()),
            tuple(one for one in skipped.values() if ran.isdisjoint((one.id, one.label))),
            max(part.draws for part in parts),
            **columns,
        )

    def expand(self, attacked: NDArray[np.bool_], samples: ndarray) -> "Outcome":
        """The outcome on all samples, of which some were attacked; the others stand unqueried.

        :param attacked: which samples it is about, bool (N,); samples: all of them ``(N, ...)``."""
        adversarials = samples.copy()
        adversarials[attacked] = self.adversarials
        columns: dict[str, Any] = {}
        for name in self.COLUMNS:
            column = getattr(self, name)
            columns[name] = np.full(
                len(attacked), self.STANDING if name == "stage" else 0, dtype=column.dtype
            )
            columns[name][attacked] = column
        return replace(self, adversarials=adversarials, **columns)

    @property
    def robustness(self) -> Robustness:
        """Shares with their intervals. A sample without logits counts as not correct."""
        return Robustness(self.stage >= self.STANDING, self.stage < 0)

    @property
    def broken_by(self) -> dict[str, int]:
        """The number of samples that each stage broke first, by its id."""
        counts = Counter(
            self.stages[place].id for place in self.stage.tolist() if place >= 0
        )
        return {one.id: counts[one.id] for one in self.stages}

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
        broken = Counter(self.stage.tolist())
        for place, one in enumerate(self.stages):
            why = (
                f" (instead of {one.instead_of}: {one.reason})" if one.instead_of else ""
            )
            lines.append(f"{broken[place]:6} broken: {one.description}{why}")
        return "\n".join(
            lines + [f"skipped {n.description}: {n.reason}" for n in self.skipped]
        )


def _number(stages: Iterable[StageRecord]) -> dict[tuple[str, int], StageRecord]:
    """The stages by id and by how many of the same id, which differ by their seeds, come before."""
    seen: Counter[str] = Counter()
    numbered = {}
    for one in stages:
        numbered[one.id, seen[one.id]] = one
        seen[one.id] += 1
    return numbered
