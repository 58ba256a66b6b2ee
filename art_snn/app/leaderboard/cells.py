"""What the leaderboard says of a network: a cell for each column, by which it can be sorted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from art_snn.app.evaluation import Evaluation
from art_snn.app.evaluation.words import count_words, join_words
from art_snn.app.leaderboard.record import Claim, Record
from art_snn.metrics import Share

STANDARD = "standard"
NONE = "\u2013"
DIGITS = 6
"""Digits of the weights' digest that tell networks of one name apart."""


@dataclass(frozen=True)
class SortCell:
    """A cell of a table.

    :param key: by which a column is sorted, a number or a text; None where nothing is known."""

    text: str
    key: float | str | None

    @classmethod
    def of(cls, value: object) -> "SortCell":
        """A number or a text as it is; a dash where there is none."""
        if isinstance(value, int | float):
            return cls(f"{value:,}", value)
        return cls(str(value), str(value).lower()) if value else cls(NONE, None)


def dataset_of(evaluation: Evaluation) -> str:
    """The name of the data; of an earlier version's evaluation from its title."""
    if evaluation.provenance.dataset:
        return evaluation.provenance.dataset
    match = re.search(r" on ([^;,]+)", evaluation.title)
    return match[1].strip() if match else "data without a name"


def steps_of(evaluation: Evaluation) -> int | None:
    """T of the network, as far as the evaluation says it."""
    match = re.search(r"\bT = (\d+)", evaluation.title)
    given = int(match[1]) if match else None
    return given if evaluation.provenance.steps is None else evaluation.provenance.steps


def single_attack(evaluation: Evaluation) -> str | None:
    """The name of the first attack next to the plan: usually PGD-7 by stbp."""
    return next((name for name in evaluation.names if name != evaluation.plan), None)


def record_names(records: Sequence[Record]) -> list[str]:
    """The names of networks; those of the same name also with digits of their weights."""
    names = [record.first.name for record in records]
    digests = [record.first.provenance.weights[:DIGITS] for record in records]
    pairs = zip(names, digests, strict=True)
    return [f"{name} ({digest})" if names.count(name) > 1 else name for name, digest in pairs]


def record_cells(record: Record, label: str, attack: str) -> Mapping[str, SortCell]:
    """The cells of a network by the titles of their columns.

    :param attack: title of the column of the single attack: its name, or "one attack"."""
    evaluation, source = record.first, record.first.provenance
    robust = f"{record.robust}{' exact' if record.exact and record.robust.count else ''}"
    robust = robust if record.exact else f"\u2264 {robust}"
    return {
        "network": SortCell.of(label),
        "robust": SortCell(robust, record.robust.value),
        "certified": _certified(record),
        "clean": SortCell(_percent(record.clean), record.clean.value),
        attack: _single(record, attack),
        "attacks": SortCell.of(_credits(record)),
        "findings": _doubts(record),
        "samples": SortCell.of(len(evaluation.samples)),
        "T": SortCell.of(steps_of(evaluation)),
        "parameters": SortCell.of(source.parameters),
        "training": SortCell.of(source.training),
        "date": SortCell.of(evaluation.date[:10]),
        "art_snn": SortCell.of(source.versions.get("art_snn")),
    }


def _doubts(record: Record) -> SortCell:
    """How many findings are open, where any were looked for."""
    count = len(record.findings)
    if count or record.first.provenance.examined:
        return SortCell(str(count), count)
    return SortCell("not examined", None)


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"


def _single(record: Record, title: str) -> SortCell:
    """What the single attack leaves, with its name where the column has another one."""
    name = single_attack(record.first)
    trial = record.first.at(record.eps).get(name or "")
    if trial is None:
        return SortCell(NONE, None)
    share = trial.robustness.robust_accuracy
    other = "" if name == title else f" ({name})"
    at_most = "\u2264 " if share.count else ""
    return SortCell(f"{at_most}{_percent(share)}{other}", share.value)


def _certified(record: Record) -> SortCell:
    if record.certified is None:
        return SortCell(NONE, None)
    return SortCell(f"\u2265 {_percent(record.certified)}", record.certified.value)


def _credits(record: Record) -> str:
    """Who broke how many samples; the name of the plan alone where it broke them all."""
    counts = sorted(record.credits.items(), key=lambda credit: (-credit[1], credit[0]))
    plan = record.first.plan or join_words(record.first.names)
    if [name for name, _ in counts] in ([], [plan]):
        return plan
    return ", ".join(f"{name}: {count}" for name, count in counts)


def record_remarks(record: Record, leader: Record, name: str) -> list[str]:
    """What has to be known of a network next to its row; other networks may share a remark.

    :param leader: the first row of the table, of that name."""
    evaluation = record.first
    lines = [*_merged(record), *_missing(evaluation)]
    if evaluation.plan != STANDARD:
        plan = f"the plan {evaluation.plan}" if evaluation.plan else "single attacks alone"
        lines.append(f"Attacked with {plan}, which may leave more than {STANDARD}")
    if evaluation.samples != leader.first.samples:
        lines.append(f"Not on the samples of {name}, so that intervals are compared")
    findings = dict.fromkeys(str(finding.title) for finding in record.findings)
    return [*lines, *(f"Open finding, {finding}" for finding in findings)]


def _merged(record: Record) -> list[str]:
    """Which other evaluations of the same weights there are."""
    lines = []
    if len(record.claims) > 1:
        files = join_words([claim.file for claim in record.claims])
        count = count_words(len(record.claims), "evaluation")
        lines.append(f"{count} of the same weights, in {files}, count together")
    return lines + [_other(claim) for claim in record.others]


def _other(claim: Claim) -> str:
    left = _percent(claim.verdict.outcome.robust_accuracy)
    return f"{claim.file} is on other samples, leaves {left} and does not count"


def _missing(evaluation: Evaluation) -> list[str]:
    """What an earlier version of art_snn did not write, or the checkpoint does not say."""
    lines = [] if evaluation.date else ["Its evaluation notes no date"]
    if not evaluation.provenance.dataset:
        wrote = "Evaluated with an earlier version of art_snn"
        return [*lines, f"{wrote}, which noted neither parameters nor training"]
    words = "How it was trained is not said (--training of art-snn evaluate says it)"
    return lines if evaluation.provenance.training else [*lines, words]


def shared_notes(records: Sequence[Record]) -> list[str]:
    """The remarks on networks in sentences, each once, with the networks that share it."""
    names: list[str] = record_names(records)
    networks: dict[str, list[str]] = {}
    for record, name in zip(records, names, strict=True):
        for line in record_remarks(record, records[0], names[0]):
            networks.setdefault(line, []).append(name)
    several = len(records) > 1
    return [
        f"{line}: {'all networks' if several and some == names else join_words(some)}."
        for line, some in networks.items()
    ]
