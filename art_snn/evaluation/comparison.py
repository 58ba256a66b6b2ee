"""The outcome of a comparison of rules: rows, table, JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from art_snn.evaluation.metrics import Robustness, Share, paired_difference
from art_snn.evaluation.record import booleans, digits

REFERENCE = "stbp"


@dataclass(frozen=True)
class Row:
    """What one rule achieved.

    :param rule: the rule with its hyperparameters, in words.
    :param outcome: sample by sample; None where the rule does not apply.
    :param seconds: median time of one gradient of a batch.
    :param vanished: samples with an all-zero gradient at the clean image.
    :param cosine: mean over samples of the cosine to the gradient by STBP, at the clean image;
        over those where neither vanishes. NaN where there is none.
    :param objection: why the rule does not apply, or "".
    """

    rule: str
    outcome: Robustness | None = None
    seconds: float = float("nan")
    vanished: Share | None = None
    cosine: float = float("nan")
    objection: str = ""


@dataclass
class Comparison:
    """The finished rows, and what they rest on.

    :param title: network and data in words.
    :param settings: attack, samples and the like, for JSON.
    :param attack: the attack in words.
    :param key: fingerprint of settings, weights and samples.
    :param machine: on which the times were taken, and how, in words.
    :param inference: median seconds of a prediction of one batch.
    :param seconds: rule -> median seconds of one gradient of one batch.
    :param rows: rule -> row, in the order of the settings.
    """

    title: str
    settings: dict[str, Any]
    attack: str
    key: str
    machine: str = ""
    inference: float = float("nan")
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def attacked(self) -> dict[str, Robustness]:
        """rule -> outcome, of the rules that apply."""
        return {n: row.outcome for n, row in self.rows.items() if row.outcome is not None}

    def union(self) -> Robustness:
        """The outcome of the attack whose adversarial is whichever rule's succeeds."""
        outcomes = list(self.attacked.values())
        robust = np.logical_and.reduce([outcome.robust for outcome in outcomes])
        return Robustness(outcomes[0].correct, robust)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison for JSON; outcomes as one digit per sample."""
    return {
        "title": comparison.title,
        "key": comparison.key,
        "attack": comparison.attack,
        "settings": comparison.settings,
        "machine": comparison.machine,
        "inference": comparison.inference,
        "seconds": comparison.seconds,
        "rows": {name: _row_as_dict(row) for name, row in comparison.rows.items()},
    }


def from_dict(content: dict[str, Any]) -> Comparison:
    """The inverse of :func:`as_dict`."""
    return Comparison(
        content["title"],
        content["settings"],
        content["attack"],
        content["key"],
        content["machine"],
        content["inference"],
        content["seconds"],
        {name: row_from(row) for name, row in content["rows"].items()},
    )


def _row_as_dict(row: Row) -> dict[str, Any]:
    if row.outcome is None:
        return {"rule": row.rule, "objection": row.objection}
    return {
        "rule": row.rule,
        "attack_success": row.outcome.attack_success.as_dict(),
        "correct": digits(row.outcome.correct),
        "robust": digits(row.outcome.robust),
        "seconds": row.seconds,
        "vanished": None if row.vanished is None else row.vanished.as_dict(),
        "cosine": None if np.isnan(row.cosine) else row.cosine,
    }


def row_from(content: dict[str, Any]) -> Row:
    """A row as :func:`as_dict` wrote it."""
    if "objection" in content:
        return Row(content["rule"], objection=content["objection"])
    outcome = Robustness(booleans(content["correct"]), booleans(content["robust"]))
    vanished = content["vanished"]
    if vanished is not None:
        vanished = Share(vanished["count"], vanished["total"])
    cosine = float("nan") if content["cosine"] is None else content["cosine"]
    return Row(content["rule"], outcome, content["seconds"], vanished, cosine)


TITLES = (
    "rule",
    "success among the correct",
    "p against STBP",
    "x inference",
    "ms",
    "zero gradient",
    "cosine to STBP",
)


def cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """The table's cells under :data:`TITLES`, one row per rule and one for the union of all.

    The p-value is that of McNemar's test, with the sign of the stronger one.
    """
    outcomes = comparison.attacked
    rows: list[tuple[str, ...]] = []
    for name, row in comparison.rows.items():
        if row.outcome is None:
            rows.append((name, f"does not apply: {row.objection}", "", "", "", "", ""))
            continue
        success = str(row.outcome.attack_success)
        against = _against(row.outcome, outcomes.get(REFERENCE), name)
        ratio = f"{row.seconds / comparison.inference:.2f}"
        time = f"{1000 * row.seconds:.0f}"
        rows.append((name, success, against, ratio, time, str(row.vanished), f"{row.cosine:.3f}"))
    if len(outcomes) > 1:
        rows.append(("union of all", str(comparison.union().attack_success), "", "", "", "", ""))
    return rows


def accuracy(comparison: Comparison) -> str:
    """How many samples there are to flip, in words."""
    for outcome in comparison.attacked.values():
        share = outcome.clean_accuracy
        return f"{share.count} of {share.total} samples classified correctly before the attack"
    return "no rule applies"


def table(comparison: Comparison) -> str:
    """The table as plain text, with a line on what was compared and how."""
    widths = (17, 27, 16, 13, 7, 22, 16)
    lines = [comparison.title, comparison.attack, accuracy(comparison), comparison.machine, ""]
    for row in (TITLES, *cells(comparison)):
        if row[1].startswith("does not"):
            lines.append(f"{row[0]:{widths[0]}}  {row[1]}")
            continue
        first, *rest = zip(row, widths, strict=True)
        line = f"{first[0]:{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)
        lines.append(line.rstrip())
    return "\n".join(lines)


def markdown(comparison: Comparison) -> str:
    """The table as Markdown."""
    parts = (comparison.title, comparison.attack, accuracy(comparison), comparison.machine)
    lines = [". ".join(parts) + ".", ""]
    for i, row in enumerate((TITLES, *cells(comparison))):
        lines.append(f"| {' | '.join(row)} |")
        if i == 0:
            lines.append("|---" * len(TITLES) + "|")
    return "\n".join(lines) + "\n"


def against(outcome: Robustness, reference: Robustness) -> str:
    """McNemar's p-value in two digits, behind +, - or = for more, fewer or as many flips."""
    more, fewer, p = paired_difference(outcome, reference)
    sign = "+" if more > fewer else "-" if more < fewer else "="
    return f"{sign} {p:.2g}"


def _against(outcome: Robustness, reference: Robustness | None, name: str) -> str:
    return "" if reference is None or name == REFERENCE else against(outcome, reference)
