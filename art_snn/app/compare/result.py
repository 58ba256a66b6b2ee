import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from art_snn.app.base import Result
from art_snn.app.resume import Positive, expect
from art_snn.app.tables import Notes, Part, Table
from art_snn.metrics import Robustness, Share, describe_difference, union

REFERENCE = "stbp"


@dataclass(frozen=True)
class Row:
    """What one rule, in words, achieved; or why it does not apply.

    :param kind: "temporal" or "rate", by the engine of the rule; "" for all others.
    :param vanished: samples with an all-zero gradient at the clean image.
    :param cosine: mean of the cosine to the STBP gradient, over the clean images at which neither
        vanishes."""

    rule: str
    kind: str = ""
    objection: str | None = None
    outcome: Robustness | None = None
    vanished: Share | None = None
    cosine: float | None = None


@dataclass
class Comparison(Result):
    """The finished rows, and what they rest on: network, attack and machine in words.

    :param key: fingerprint of settings, weights and samples.
    :param inference: median seconds of a prediction of one batch.
    :param seconds: rule -> median seconds of one gradient of one batch.
    :param rows: rule -> row, in the order of the settings."""

    title: str
    key: str
    attack: str
    settings: dict[str, Any]
    machine: str = ""
    inference: Positive = math.nan
    seconds: dict[str, Positive] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    name: ClassVar[str] = "compare"

    def __post_init__(self) -> None:
        outcomes = self.attacked
        sizes = {len(column) for one in outcomes.values() for column in (one.correct, one.robust)}
        expect(len(sizes) < 2, "rows of as many samples each", sorted(sizes))
        untimed = sorted(outcomes.keys() - self.seconds.keys())
        expect(not untimed, "seconds of every rule that applies", untimed)

    @property
    def attacked(self) -> dict[str, Robustness]:
        """rule -> outcome, of the rules that apply."""
        return {n: row.outcome for n, row in self.rows.items() if row.outcome is not None}

    def union(self) -> Robustness:
        """The outcome of the attack whose adversarial is whichever rule's succeeds."""
        return union(self.attacked.values())

    def parts(self) -> list[Part]:
        """What was compared and how, and a row per rule."""
        heading = (self.title, self.attack, self._accuracy(), self.machine)
        rows = self.rows.items()
        lines = [f"{name} does not apply: {row.objection}." for name, row in rows if row.objection]
        if lines and not self.attacked and "native" not in self.rows:
            remedy = "Networks of other frameworks have their own gradient: --rules native."
            lines = [remedy, *lines]
        return [heading, self._table(), *([Notes(lines)] if lines else [])]

    def _accuracy(self) -> str:
        """How many samples there are to flip, in words."""
        for outcome in self.attacked.values():
            share = outcome.clean_accuracy
            return f"{share.count} of {share.total} samples classified correctly before the attack"
        return "no rule applies"

    def _table(self) -> Table:
        """One row per rule and one for the union of all; p is of McNemar's test."""
        titles = ["rule", "success among the correct", "against STBP", "x inference", "ms"]
        titles += ["zero gradient", "cosine to STBP"]
        outcomes, blank = self.attacked, ("",) * 5
        rows: list[tuple[str, ...]] = []
        for name, row in self.rows.items():
            if row.outcome is None:
                rows.append((name, "does not apply", *blank))
                continue
            reference = outcomes.get(REFERENCE, row.outcome)
            p = "" if reference is row.outcome else describe_difference(row.outcome, reference)
            seconds = self.seconds[name]
            time = f"{seconds / self.inference:.2f}", f"{1000 * seconds:.0f}"
            cosine = "nan" if row.cosine is None else f"{row.cosine:.3f}"
            success = str(row.outcome.attack_success)
            rows.append((name, success, p, *time, str(row.vanished), cosine))
        if len(outcomes) > 1:
            rows.append(("union of all", str(self.union().attack_success), *blank))
        return Table(titles, rows)
