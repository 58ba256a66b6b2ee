"""The table of records: networks by data set and budget, with all evaluations of their weights."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from art_snn.app.evaluation.figures import draw_board
from art_snn.app.evaluation.page import render_template
from art_snn.app.evaluation.record import NORMS, RESULT, Evaluation, Mask, ReportItem
from art_snn.app.evaluation.verdict import (
    Verdict,
    count_words,
    describe_bound,
    describe_budget,
    fill_budgets,
    join_words,
    tell_apart,
    verdicts,
)
from art_snn.app.results import as_json
from art_snn.app.tables import Notes, Table
from art_snn.attacks import require_measure
from art_snn.files import digest
from art_snn.metrics import Share

_STANDARD = "standard"
"""The plan of the records."""
_NONE = "\u2013"
_RANKED = 100
"""Samples of an evaluation that is ranked, at least."""
_DIGITS = 6
"""Digits of the weights' digest that tell networks of one name apart."""
_NARROW = ("network", "data", "budget", "robust", "clean")
"""Columns for which a terminal has room."""
READING = (
    "Robust is the share of samples that are classified correctly without an attack and after all "
    "attacks, with its 95 % interval. Eps is in the maximum norm where none is named.",
    '"At most" marks what findings cast doubt on: a better attack may break more. It is exact '
    'where all that is left is certified; "at least" marks what is proven.',
    '"Attacks" lists who broke how many samples, including submitted adversarials. Open findings '
    "are reasons to doubt the number.",
    f"Evaluations of fewer than {_RANKED} samples are not ranked: they stand below the others.",
)


@dataclass(frozen=True)
class _Record:
    """A network at one budget.

    :param verdicts: of evaluations on the same samples, which count together, by their
        files; the strongest attack first.
    :param others: of evaluations on other samples, which leave more of the network."""

    verdicts: Mapping[str, Verdict]
    others: Mapping[str, Verdict]

    @property
    def verdict(self) -> Verdict:
        """That of the strongest attack."""
        return next(iter(self.verdicts.values()))

    @property
    def first(self) -> Evaluation:
        """The evaluation with the strongest attack, whose name and notes count."""
        return self.verdict.evaluation

    @cached_property
    def standing(self) -> Mask:
        """Samples that no attack of any evaluation broke, bool (N,)."""
        masks = [verdict.standing for verdict in self.verdicts.values()]
        return np.logical_and.reduce(masks)  # type: ignore[no-any-return]  # numpy gives Any.

    @property
    def robust(self) -> Share:
        """Right after the attacks of all evaluations."""
        return Share.of(self.standing)

    @cached_property
    def certified(self) -> Share | None:
        """What any evaluation certifies, and none breaks; None where none does."""
        masks = [
            one.evaluation.certified(one.eps)
            for one in self.verdicts.values()
            if one.evaluation.certifies
        ]
        return Share.of(np.logical_or.reduce(masks) & self.standing) if masks else None

    @property
    def exact(self) -> bool:
        """True if all that the attacks left is certified, or nothing is left."""
        bounded = any(one.evaluation.bounds for one in self.verdicts.values())
        proven = bounded and not self.verdict.errors
        return not self.robust.count or (proven and self.certified == self.robust)

    @property
    def small(self) -> bool:
        """True if it has too few samples for a rank."""
        return len(self.standing) < _RANKED

    @property
    def rank(self) -> tuple[bool, float, float, float, str]:
        """From the most robust to the least; then by what is certified and by clean;
        those that are too small last."""
        certified = self.certified.value if self.certified else 0.0
        clean = self.verdict.outcome.clean_accuracy.value
        return self.small, -self.robust.value, -certified, -clean, self.first.name


Board = tuple[Table, Notes, tuple[tuple[str, Share, Share], ...]]
"""A row per network and budget, by data, budget and robustness; remarks on them; and of each row
network and budget in words, what is right without an attack, and what is robust."""


def make_board(
    items: Iterable[ReportItem], unread: Sequence[str] = ()
) -> tuple[Board, list[str]]:
    """The records of all evaluations, by budget as it is written, and why some are left out.

    Copies of one count once. Where one certifies what another breaks, it is left out.

    :param unread: why others cannot be read."""
    evaluations = _name_evaluations(items)
    entries = []
    left_out = [f"Left out: {reason}" for reason in unread]
    for file, evaluation in evaluations.items():
        contradiction = _find_contradiction(evaluation, evaluations)
        if contradiction:
            left_out.append(f"Left out: {file} {contradiction}")
        else:
            entries += [(file, verdict) for verdict in verdicts(evaluation)]
    norms = [*NORMS]
    entries.sort(
        key=lambda entry: (
            entry[1].evaluation.provenance.dataset,
            norms.index(entry[1].norm),
            entry[1].eps,
        )
    )

    # By data and budget, and below these by weights and file.
    groups: dict[tuple[str, str], dict[str, dict[str, Verdict]]]
    groups = defaultdict(lambda: defaultdict(dict))
    for file, verdict in entries:
        source = verdict.evaluation.provenance
        key = source.dataset, describe_budget(verdict.norm, verdict.eps)
        groups[key][source.weights][file] = verdict

    ranked = [
        sorted(map(_make_record, networks.values()), key=lambda record: record.rank)
        for networks in groups.values()
    ]
    return _make_table(ranked, left_out), left_out


def _name_evaluations(items: Iterable[ReportItem]) -> dict[str, Evaluation]:
    """Each evaluation once, by its file, without the folder that all of them share."""
    distinct = {digest(as_json(one.evaluation)): one for one in reversed([*items])}
    named = {
        one.name.removesuffix(f"/{RESULT}"): one.evaluation for one in distinct.values()
    }
    folders = {name.rpartition("/")[0] for name in named}
    shared = f"{folders.pop()}/" if len(folders) == 1 else ""
    return {name.removeprefix(shared): one for name, one in named.items()}


def _find_contradiction(
    one: Evaluation, evaluations: Mapping[str, Evaluation]
) -> str | None:
    """Why what an evaluation certifies does not hold by another of the same weights, or None."""
    if not one.bounds:
        return None
    about = (one.provenance.weights, one.norm, one.samples)
    for file, other in evaluations.items():
        if (other.provenance.weights, other.norm, other.samples) != about:
            continue
        for verdict in verdicts(other):
            wrong = one.certified(verdict.eps) & ~verdict.standing
            if wrong.any():
                return (
                    f"certifies sample {wrong.argmax()}, which is wrong or broken "
                    f"{describe_budget(one.norm, verdict.eps)} in {file}"
                )
    return None


def _make_table(groups: Sequence[Sequence[_Record]], left_out: Sequence[str]) -> Board:
    """One table of the groups of records with the same data and budget, the most robust first.

    :param left_out: notes that stand below all others."""
    single = {record.first.single_attack for group in groups for record in group} - {None}
    attack = str(single.pop()) if len(single) == 1 else "one attack"

    rows = []
    points = []
    remarks: dict[str, dict[str, None]] = defaultdict(dict)
    for group in groups:
        digits = [one.first.provenance.weights[:_DIGITS] for one in group]
        names = tell_apart([one.first.name for one in group], digits)
        for record, label in zip(group, names, strict=True):
            name = f"{label} (n = {len(record.standing)})" if record.small else label
            row = _cells(record, name, attack)
            rows.append(row)
            clean = record.verdict.outcome.clean_accuracy
            points.append((f"{name}, {row['budget']}", clean, record.robust))
            for line in _remarks(record, group[0], names[0]):
                remarks[line][name] = None

    titles = list(rows[0]) if rows else []
    wide = [place for place, title in enumerate(titles) if title not in _NARROW]
    table = Table(titles, [[*row.values()] for row in rows], 3, wide)
    notes = [f"{line}: {join_words(names)}." for line, names in remarks.items()]
    return table, Notes([*notes, *left_out]), tuple(points)


def _make_record(verdicts_by_file: Mapping[str, Verdict]) -> _Record:
    """The record of all verdicts on the same weights at the same budget, by their files.

    Those on the same samples count together, whatever any of them broke. Of several sets
    of samples, the one counts on which less is left."""
    groups: dict[tuple[str, ...], dict[str, Verdict]] = defaultdict(dict)
    # From the strongest attack to the weakest; then from fewer findings to more, by name.
    ranked = sorted(
        verdicts_by_file.items(),
        key=lambda pair: (pair[1].robust, len(pair[1].findings), pair[0]),
    )
    for file, verdict in ranked:
        groups[verdict.evaluation.samples][file] = verdict

    best = min(groups.values(), key=lambda group: _Record(group, {}).robust.value)
    return _Record(best, {file: one for file, one in ranked if file not in best})


def _cells(record: _Record, label: str, attack: str) -> dict[str, str]:
    """The cells of a network.

    :param attack: title of the column of the single attack: its name, or "one attack"."""
    evaluation = record.first
    source = evaluation.provenance
    verdict = record.verdict
    robust = describe_bound(record.robust, verdict.open)
    if record.exact:
        robust = f"{record.robust}{' exact' if record.robust.count else ''}"
    form = require_measure(verdict.norm).label
    return {
        "network": label,
        "data": source.dataset,
        "budget": fill_budgets(form, verdict.norm, verdict.eps),
        "robust": robust,
        "certified": f"at least {record.certified.percent}"
        if record.certified
        else _NONE,
        "clean": verdict.outcome.clean_accuracy.percent,
        attack: _describe_single(record, attack),
        "attacks": _describe_credits(record),
        "training": source.training or _NONE,
        "findings": verdict.doubts,
        "samples": f"{len(evaluation.samples):,}",
        "T": _NONE if source.steps is None else f"{source.steps:,}",
        "parameters": f"{source.parameters:,}",
        "date": evaluation.date[:10],
    }


def _describe_single(record: _Record, attack: str) -> str:
    """What the single attack leaves, with its name where the column has another one."""
    name = record.first.single_attack
    trial = record.first.at(record.verdict.eps).get(name or "")
    if trial is None:
        return _NONE
    share, _, _ = record.verdict.describe_trial(trial).partition(" [")  # No interval.
    return share if name == attack else f"{share} ({name})"


def _describe_credits(record: _Record) -> str:
    """Who broke how many samples that were right without an attack; the name of the plan
    alone where it broke them all."""
    broken = np.flatnonzero(record.verdict.outcome.correct & ~record.standing)
    counts = Counter(sorted(_credit_sample(record, row) for row in broken.tolist()))
    plan = record.first.plan or join_words(record.first.names)
    if {*counts} <= {plan}:
        return plan
    return ", ".join(f"{name}: {count}" for name, count in counts.most_common())


def _credit_sample(record: _Record, row: int) -> str:
    """Who broke a sample first: a plan, an attack, a name that comes with adversarials."""
    for file, verdict in record.verdicts.items():
        trial = verdict.breaker(row)
        if trial is None:
            continue
        stage = trial.outcome.stages[trial.outcome.stage[row]]
        name = stage.label if stage.status in ("submitted", "decided") else trial.name
        return name if verdict is record.verdict else f"{name} in {file}"
    wrong = any(not one.outcome.correct[row] for one in record.verdicts.values())
    return "misclassified" if wrong else "examination"


def _remarks(record: _Record, leader: _Record, name: str) -> list[str]:
    """Remarks on a network next to its row.

    :param leader: the first row of the table, of that name."""
    evaluation = record.first
    lines = []
    if len(record.verdicts) > 1:
        lines.append(
            f"{count_words(len(record.verdicts), 'evaluation')} of the same weights, in "
            f"{join_words(sorted(record.verdicts))}, count together"
        )
    for file, verdict in record.others.items():
        lines.append(
            f"{file} is on other samples, leaves {verdict.outcome.robust_accuracy.percent} "
            "and does not count"
        )

    if evaluation.plan != _STANDARD:
        plan = (
            f"the plan {evaluation.plan}" if evaluation.plan else "single attacks alone"
        )
        lines.append(f"Attacked with {plan}, which may leave more than {_STANDARD}")
    if record.small:
        lines.append(
            f"Not ranked, since {len(evaluation.samples)} samples say too little"
        )
    elif evaluation.samples != leader.first.samples:
        lines.append(f"Not on the samples of {name}, so that intervals are compared")

    mine = evaluation.provenance.versions.get("art_snn")
    other = leader.first.provenance.versions.get("art_snn")
    if mine != other:
        lines.append(
            f"Evaluated with art_snn {mine}, {name} with {other}: plans may differ"
        )

    findings = record.verdict.findings
    return [*lines, *(f"Open finding, {finding.title}" for finding in findings)]


def render_board_page(board: Board) -> str:
    """The table of records; its script sorts and filters it, which can be read without."""
    table, notes, points = board
    drawing = draw_board(points) if points else None
    return render_template(
        "board.html.j2", table=table, notes=notes, drawing=drawing, reading=READING
    )
