import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from art_snn.experiments.base import Result
from art_snn.experiments.resume import Positive, bit_string, converter, expect
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.gradients import GRADIENTS, engine_of
from art_snn.metrics import Robustness, Share, against, union

REFERENCE = "stbp"


@dataclass(frozen=True)
class Row:
    """What one rule achieved.

    :param rule: the rule with its hyperparameters, in words.
    :param kind: "temporal" or "rate", by the engine of the rule; "" for all others.
    :param outcome: sample by sample; None where the rule does not apply.
    :param seconds: median time of one gradient of a batch.
    :param vanished: samples with an all-zero gradient at the clean image.
    :param cosine: mean over samples of the cosine to the gradient by STBP, at the clean image;
        over those where neither vanishes. NaN where there is none.
    :param objection: why the rule does not apply, or ""."""

    rule: str
    kind: str = ""
    outcome: Robustness | None = None
    seconds: float = math.nan
    vanished: Share | None = None
    cosine: float = math.nan
    objection: str = ""


@dataclass
class Comparison(Result):
    """The finished rows, and what they rest on.

    :param title: network and data in words.
    :param key: fingerprint of settings, weights and samples.
    :param attack: the attack in words.
    :param settings: attack, samples and the like, for JSON.
    :param machine: on which the times were taken, and how, in words.
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
        sizes = sorted({len(outcome.correct) for outcome in self.attacked.values()})
        expect(len(sizes) < 2, "rows of as many samples each", sizes)

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
        refused = {name: row.objection for name, row in self.rows.items() if row.objection}
        lines = [f"{n} does not apply: {why}." for n, why in refused.items()]
        if not self.attacked and "native" not in self.rows:
            remedy = "Networks of other frameworks have their own gradient: --rules native."
            lines = [remedy, *lines]
        notes = [Notes(lines)]
        return [heading, self._table(), *(notes if refused else [])]

    def _accuracy(self) -> str:
        """How many samples there are to flip, in words."""
        for outcome in self.attacked.values():
            share = outcome.clean_accuracy
            return f"{share.count} of {share.total} samples classified correctly before the attack"
        return "no rule applies"

    def _table(self) -> Table:
        """One row per rule and one for the union of all.

        The p-value is that of McNemar's test, with the sign of the stronger one."""
        titles = ["rule", "success among the correct", "p against STBP", "x inference", "ms"]
        titles += ["zero gradient", "cosine to STBP"]
        outcomes, blank = self.attacked, ("",) * 5
        rows: list[tuple[str, ...]] = []
        for name, row in self.rows.items():
            if row.outcome is None:
                rows.append((name, "does not apply", *blank))
                continue
            reference = outcomes.get(REFERENCE, row.outcome)
            p = "" if reference is row.outcome else against(row.outcome, reference)
            time = f"{row.seconds / self.inference:.2f}", f"{1000 * row.seconds:.0f}"
            success, cosine = str(row.outcome.attack_success), f"{row.cosine:.3f}"
            rows.append((name, success, p, *time, str(row.vanished), cosine))
        if len(outcomes) > 1:
            rows.append(("union of all", str(self.union().attack_success), *blank))
        return Table(titles, rows)


def _row_to_json(row: Row) -> dict[str, Any]:
    told = {"rule": row.rule, "kind": row.kind}
    if row.outcome is None:
        return told | {"objection": row.objection}
    shares = {"attack_success": row.outcome.attack_success.as_dict()}
    each = {"correct": bit_string(row.outcome.correct), "robust": bit_string(row.outcome.robust)}
    vanished = None if row.vanished is None else row.vanished.as_dict()
    cosine = None if math.isnan(row.cosine) else row.cosine
    return told | shares | each | {"seconds": row.seconds, "vanished": vanished, "cosine": cosine}


@dataclass(frozen=True)
class _Told:
    """A row as JSON tells it."""

    rule: str
    kind: str | None = None
    objection: str = ""
    correct: np.ndarray | None = None
    robust: np.ndarray | None = None
    seconds: Positive | None = None
    vanished: Share | None = None
    cosine: float | None = None


def _row_from_json(found: dict[str, Any], _: object) -> Row:
    told = converter.structure(found, _Told)
    # Earlier versions told the rule only.
    head = told.rule.partition("(")[0]
    usual = {kind.__name__: engine_of(kind()) for kind in GRADIENTS.values()}
    row = Row(told.rule, usual.get(head, "") if told.kind is None else told.kind)
    if told.objection:
        return replace(row, objection=told.objection)
    expected = "seconds, and for every sample whether it was correct and is robust"
    whole = told.correct is not None and told.robust is not None and told.seconds is not None
    expect(whole and len(told.correct) == len(told.robust), expected, found)  # type: ignore[arg-type]
    assert told.correct is not None
    assert told.robust is not None
    assert told.seconds is not None
    cosine = math.nan if told.cosine is None else told.cosine
    outcome = Robustness(told.correct, told.robust)
    return replace(
        row, outcome=outcome, seconds=told.seconds, vanished=told.vanished, cosine=cosine
    )


converter.register_unstructure_hook(Row, _row_to_json)
converter.register_structure_hook(Row, _row_from_json)
