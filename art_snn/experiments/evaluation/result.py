from dataclasses import dataclass
from typing import Any, ClassVar

from matplotlib.figure import Figure

from art_snn.attacks import Outcome
from art_snn.experiments.base import Result
from art_snn.experiments.evaluation.trial import Trial
from art_snn.experiments.evaluation.verdict import verdicts
from art_snn.experiments.resume import expect
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.metrics import Robustness


@dataclass(frozen=True)
class Reservation:
    """A finding (:class:`art_snn.findings.Finding`), and what it speaks about.

    :param about: "network", "gradients by RULE", or the name of a trial.
    :param name: what was found, in a few words.
    :param evidence: what was measured, by name.
    :param limit: from where on it is a finding, and who says so.
    :param remedy: what to do about it."""

    about: str
    name: str
    evidence: dict[str, float]
    limit: str
    remedy: str


@dataclass(frozen=True)
class Provenance:
    """All that is needed to do it again.

    :param command: the command as it was typed.
    :param versions: of art_snn, Python, torch, numpy and ART, by name.
    :param commit: of the folder that the command was typed in, or "".
    :param seed: of all that is drawn.
    :param block: samples per block, the unit of computing.
    :param batch_size: samples per pass.
    :param rules: the rules of the attacks, by name, with their hyperparameters.
    :param weights: digest of the network's form and weights.
    :param data: digest of the samples and their labels.
    :param device: name of the processor or the card.
    :param threads: of torch on the CPU.
    :param examined: samples on which findings were looked for."""

    command: str
    versions: dict[str, str]
    commit: str
    seed: int
    block: int
    batch_size: int
    rules: dict[str, str]
    weights: str
    data: str
    device: str
    threads: int
    examined: int


@dataclass(frozen=True)
class Evaluation(Result):
    """How robust a network was found, sample by sample, and what speaks against the number.

    :param title: network and data in words.
    :param key: fingerprint of settings, weights and samples.
    :param norm: "inf", "2", "0" (values that change), or "shift" (time steps).
    :param plan: name of the plan among the trials that decides, or "" for the union of all.
    :param samples: digest of every sample, by which results are paired.
    :param labels: true classes.
    :param clean: predicted classes; -1 without a prediction.
    :param trials: what every attack achieved at every budget.
    :param reservations: findings.
    :param provenance: all that is needed to do it again."""

    title: str
    key: str
    norm: str
    plan: str
    samples: tuple[str, ...]
    labels: tuple[int, ...]
    clean: tuple[int, ...]
    trials: tuple[Trial, ...]
    reservations: tuple[Reservation, ...]
    provenance: Provenance
    name: ClassVar[str] = "evaluation"

    def __post_init__(self) -> None:
        sizes = {len(trial.stage) for trial in self.trials}
        sizes |= {len(column) for column in (self.samples, self.labels, self.clean)}
        expect(len(sizes) == 1, "columns of as many samples each", sorted(sizes))
        expect(self.trials, "one trial or more", [])

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets, from small to large."""
        return tuple(sorted({trial.eps for trial in self.trials}))

    def named(self, name: str) -> dict[float, Trial]:
        """The trials of that name, by budget."""
        found = {trial.eps: trial for trial in self.trials if trial.name == name}
        return dict(sorted(found.items()))
