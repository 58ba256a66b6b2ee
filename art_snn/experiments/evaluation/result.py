from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from art_snn.experiments.base import Picture, Result
from art_snn.experiments.evaluation.certified import Certified
from art_snn.experiments.evaluation.figures import draw
from art_snn.experiments.evaluation.opened import Opened
from art_snn.experiments.evaluation.page import PAGE, page
from art_snn.experiments.evaluation.rows import sections
from art_snn.experiments.evaluation.trial import Trial
from art_snn.experiments.resume import Measured, expect
from art_snn.experiments.tables import Part
from art_snn.files import write_text
from art_snn.findings import Finding

NORMS = ("inf", "2", "0", "shift")


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
    evidence: dict[str, Measured]
    limit: str
    remedy: str

    def __str__(self) -> str:
        finding = Finding(self.name, self.evidence, self.limit, self.remedy)
        return f"On {self.about}: {finding}"


@dataclass(frozen=True)
class Provenance:
    """All that is needed to do it again.

    :param command: the command as it was typed, art-snn or a script.
    :param versions: of art_snn, Python and the packages that took part, by name.
    :param commit: of the folder that the command was typed in, or "".
    :param seed: of all that is drawn.
    :param block: samples per block, the unit of computing.
    :param batch_size: samples per pass.
    :param rules: the rules of the attacks, by name, with their hyperparameters.
    :param weights: digest of the network's form and weights.
    :param data: digest of the samples and their labels.
    :param device: name of the processor or the card.
    :param threads: of torch on the CPU.
    :param examined: samples on which findings were looked for; 0: nobody did.
    :param sources: digests of the networks to transfer from, in their order."""

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
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expect(self.examined >= 0, "samples of at least 0", self.examined)


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
    :param trials: what every attack achieved at every budget; of a name and a budget one.
    :param reservations: findings.
    :param provenance: all that is needed to do it again.
    :param certified: certificates, where they were asked for."""

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
    certified: Certified | None = None
    name: ClassVar[str] = "evaluation"

    def __post_init__(self) -> None:
        sizes = {len(trial.stage) for trial in self.trials}
        sizes |= {len(column) for column in (self.samples, self.labels, self.clean)}
        expect(len(sizes) == 1, "columns of as many samples each", sorted(sizes))
        if self.certified is not None:
            fits = len(self.certified.radius) == len(self.samples)
            expect(fits, "a certificate of every sample", len(self.certified.radius))
        expect(self.samples, "one sample or more", [])
        expect(self.trials, "one trial or more", [])
        expect(self.norm in NORMS, f"a norm among {', '.join(NORMS)}", self.norm)
        known = [(trial.name, trial.eps) for trial in self.trials]
        twice = [one for one in known if known.count(one) > 1]
        expect(not twice, "one trial of a name at a budget", twice[:1])
        names = [name for name, _ in known]
        expect(self.plan in ("", *names), "the name of a trial, or nothing", self.plan)

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets, from small to large."""
        return tuple(sorted({trial.eps for trial in self.trials}))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the trials, in their order."""
        return tuple(dict.fromkeys(trial.name for trial in self.trials))

    def named(self, name: str) -> dict[float, Trial]:
        """The trials of that name, by budget."""
        found = {trial.eps: trial for trial in self.trials if trial.name == name}
        return dict(sorted(found.items()))

    def parts(self) -> list[Part]:
        """The verdict on every budget, what speaks against it, and a row per attack and budget."""
        return sections(self)

    @property
    def files(self) -> list[str]:
        """Names of the files that :meth:`write` writes, the page among them."""
        return [*super().files, PAGE]

    def write(self, folder: Path, *pictures: Picture) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder, *(pictures or [draw(self)]))
        write_text(folder / PAGE, page([Opened.of("", self, folder)]))
