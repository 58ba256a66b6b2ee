"""The table of records: networks by data set and budget, with all evaluations of their weights."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from art_snn.app.report.evaluation import NORMS, RESULT, Evaluation, ReportItem, Trial
from art_snn.app.report.page import documentation, page_address, render_template
from art_snn.app.report.verdict import (
    Verdict,
    count_words,
    describe_budget,
    join_words,
    percent,
    verdicts,
)
from art_snn.app.results import as_json
from art_snn.app.tables import Notes, Part, Table, render, render_narrow
from art_snn.checks import invalid
from art_snn.files import digest
from art_snn.metrics import Share

STANDARD = "standard"
NONE, UPPER = "\u2013", "\u2264 "
DIGITS = 6
"""Digits of the weights' digest that tell networks of one name apart."""
WORDS = ("network", "training", "attacks")
"""Columns of words, which are set to the left."""
NARROW = ("network", "robust", "certified", "clean", "findings")
"""Columns for which a terminal has room."""
READING = (
    "Robust is the share of samples that are classified correctly without an attack and after all "
    "attacks, with its 95 % interval.",
    "\u2264 marks an upper bound: a better attack may break more. It is exact where all that is "
    "left is certified; \u2265 marks what is proven.",
    '"Attacks" lists who broke how many samples, including submitted adversarials. Open findings '
    "are reasons to doubt the number.",
)


@dataclass(frozen=True)
class Entry:
    """What one evaluation says of a network at one budget.

    :param file: from which it was read, for complaints and notes."""

    file: str
    evaluation: Evaluation
    verdict: Verdict

    @property
    def standing(self) -> NDArray[np.bool_]:
        """Samples that are right before and after all attacks, bool (N,)."""
        standing: NDArray[np.bool_] = self.verdict.outcome.correct & self.verdict.outcome.robust
        return standing

    def breaker(self, row: int) -> str | None:
        """What broke a sample: a plan, an attack, or adversarials of somebody; None if nothing."""
        plan, eps = self.evaluation.plan, self.verdict.eps

        def order(trial: Trial) -> tuple[float, bool]:
            """From its own budget to smaller ones, the plan that decides first."""
            return -trial.eps, trial.name != plan

        trials = [trial for trial in self.evaluation.trials if trial.eps <= eps]
        for trial in sorted(trials, key=order):
            stage = int(trial.outcome.stage[row])
            if stage >= 0:
                one = trial.outcome.stages[stage]
                return one.label if one.status == "submitted" else trial.name
        return None


@dataclass(frozen=True)
class Record:
    """A network at one budget.

    :param entries: evaluations on the same samples, which count together; the strongest first.
    :param others: evaluations on other samples, which leave more of the network."""

    entries: tuple[Entry, ...]
    others: tuple[Entry, ...] = ()

    @property
    def first(self) -> Evaluation:
        """The evaluation with the strongest attack, whose name and notes count."""
        return self.entries[0].evaluation

    @property
    def verdict(self) -> Verdict:
        """The verdict of that evaluation."""
        return self.entries[0].verdict

    @cached_property
    def standing(self) -> NDArray[np.bool_]:
        """Samples that no attack of any evaluation broke, bool (N,)."""
        standing: NDArray[np.bool_] = np.logical_and.reduce([one.standing for one in self.entries])
        return standing

    @property
    def robust(self) -> Share:
        """Right after the attacks of all evaluations."""
        return Share(int(self.standing.sum()), len(self.standing))

    @cached_property
    def certified(self) -> Share | None:
        """What any evaluation certifies; None without bounds.

        :raises ValueError: where one breaks what another certifies, which names both files."""
        eps, norm = self.verdict.eps, self.verdict.norm
        bounded = [one for one in self.entries if one.evaluation.bounds]
        masks = [one.evaluation.certified(eps) for one in bounded]
        for one, mask in zip(bounded, masks, strict=True):
            for row in np.flatnonzero(mask & ~self.standing)[:1].tolist():
                other = next(entry for entry in self.entries if not entry.standing[row])
                got = f"{one.file}, which certifies sample {row}, and {other.file}, where it is "
                got += f"wrong or broken {describe_budget(norm, eps)}"
                expected = "evaluations of the same weights that agree"
                remedy = "One of them is wrong: repeat both. If both remain, report a bug."
                raise invalid("files", expected, got, remedy)
        union = np.logical_or.reduce(masks) if masks else None
        return None if union is None else Share(int(union.sum()), len(union))

    @property
    def exact(self) -> bool:
        """True if all that the attacks left is certified, or nothing is left."""
        wrong = any(finding.severity == "error" for finding in self.verdict.findings)
        return not self.robust.count or (self.certified == self.robust and not wrong)

    def credits(self) -> Mapping[str, int]:
        """How many samples each attack broke that was right without one, by who found it."""
        right = self.verdict.outcome.correct
        counts: Counter[str] = Counter()
        for row in np.flatnonzero(right & ~self.standing).tolist():
            breakers = ((entry, entry.breaker(row)) for entry in self.entries)
            named = ((f"{who} in {entry.file}", who, entry) for entry, who in breakers if who)
            far, near, entry = next(named, ("misclassified", "misclassified", None))
            counts[near if entry is self.entries[0] else far] += 1
        return counts


Board = Mapping[tuple[str, str, float], Sequence[Record]]
"""The records by data set, norm and budget, the most robust first."""


def make_board(items: Iterable[ReportItem]) -> Board:
    """The records of all evaluations; copies of one count once.

    :raises ValueError: where evaluations of the same weights contradict each other."""
    groups: dict[tuple[str, str, float], dict[str, list[Entry]]] = {}
    for item in {digest(as_json(one.evaluation)): one for one in reversed([*items])}.values():
        evaluation = item.evaluation
        source = evaluation.provenance
        for verdict in verdicts(evaluation):
            key = source.dataset, evaluation.norm, verdict.eps
            networks = groups.setdefault(key, defaultdict(list))
            entry = Entry(item.name.removesuffix(f"/{RESULT}"), evaluation, verdict)
            networks[source.weights].append(entry)
    ordered = sorted(groups, key=lambda key: (key[0], NORMS.index(key[1]), key[2]))
    return {key: _rank_records(map(_merge_entries, groups[key].values())) for key in ordered}


def _merge_entries(entries: Iterable[Entry]) -> Record:
    """The record of all entries of the same weights at the same budget.

    Those on the same samples count together, whatever any of them broke. Of several sets of
    samples, the one counts on which less is left."""

    def weakness(entry: Entry) -> tuple[float, int, str]:
        """From the strongest attack to the weakest; then from fewer findings to more, by name."""
        return entry.verdict.robust, len(entry.verdict.findings), entry.file

    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.evaluation.samples, []).append(entry)
    records = [Record(tuple(sorted(group, key=weakness))) for group in groups.values()]
    best, *rest = sorted(records, key=lambda record: record.robust.value)
    return Record(best.entries, tuple(entry for record in rest for entry in record.entries))


def _rank_records(records: Iterable[Record]) -> list[Record]:
    """The records from the most robust to the least; then by what is certified and by clean."""

    def rank(record: Record) -> tuple[float, float, float, str]:
        certified = record.certified.value if record.certified else 0.0
        clean = record.verdict.outcome.clean_accuracy.value
        return -record.robust.value, -certified, -clean, record.first.name

    return sorted(records, key=rank)


def board_rows(records: Sequence[Record]) -> list[dict[str, str]]:
    """The cells of each network, by the titles of their columns."""
    names = {record.first.single_attack for record in records} - {None}
    attack = names.pop() if len(names) == 1 else "one attack"
    pairs = zip(records, _record_names(records), strict=True)
    return [_cells(record, label, str(attack)) for record, label in pairs]


def _record_names(records: Sequence[Record]) -> list[str]:
    """The names of networks; those of the same name also with digits of their weights."""
    names = [record.first.name for record in records]
    digests = [record.first.provenance.weights[:DIGITS] for record in records]
    pairs = zip(names, digests, strict=True)
    return [f"{name} ({digits})" if names.count(name) > 1 else name for name, digits in pairs]


def _cells(record: Record, label: str, attack: str) -> dict[str, str]:
    """The cells of a network.

    :param attack: title of the column of the single attack: its name, or "one attack"."""
    evaluation, source, robust = record.first, record.first.provenance, record.robust
    exact = f"{robust}{' exact' if robust.count else ''}"
    single, name = NONE, evaluation.single_attack
    if (trial := evaluation.at(record.verdict.eps).get(name or "")) is not None:
        share = trial.robustness.robust_accuracy
        single = f"{UPPER if share.count else ''}{percent(share)}"
        single += "" if name == attack else f" ({name})"
    return {
        "network": label,
        "robust": exact if record.exact else f"{UPPER}{robust}",
        "certified": f"\u2265 {percent(record.certified)}" if record.certified else NONE,
        "clean": percent(record.verdict.outcome.clean_accuracy),
        attack: single,
        "attacks": _describe_credits(record),
        "findings": record.verdict.doubts,
        "samples": f"{len(evaluation.samples):,}",
        "T": NONE if source.steps is None else f"{source.steps:,}",
        "parameters": f"{source.parameters:,}",
        "training": source.training or NONE,
        "date": evaluation.date[:10],
        "art_snn": source.versions.get("art_snn", NONE),
    }


def _describe_credits(record: Record) -> str:
    """Who broke how many samples; the name of the plan alone where it broke them all."""
    counts = sorted(record.credits().items(), key=lambda credit: (-credit[1], credit[0]))
    plan = record.first.plan or join_words(record.first.names)
    if [name for name, _ in counts] in ([], [plan]):
        return plan
    return ", ".join(f"{name}: {count}" for name, count in counts)


def board_notes(records: Sequence[Record]) -> list[str]:
    """Remarks on networks in sentences, each once, with the networks that share it."""
    names: list[str] = _record_names(records)
    networks: dict[str, list[str]] = {}
    for record, name in zip(records, names, strict=True):
        for line in _remarks(record, records[0], names[0]):
            networks.setdefault(line, []).append(name)
    several = len(records) > 1
    return [
        f"{line}: {'all networks' if several and some == names else join_words(some)}."
        for line, some in networks.items()
    ]


def _remarks(record: Record, leader: Record, name: str) -> list[str]:
    """Remarks on a network next to its row.

    :param leader: the first row of the table, of that name."""
    evaluation, lines = record.first, []
    if len(record.entries) > 1:
        files = join_words([entry.file for entry in record.entries])
        count = count_words(len(record.entries), "evaluation")
        lines.append(f"{count} of the same weights, in {files}, count together")
    for entry in record.others:
        left = percent(entry.verdict.outcome.robust_accuracy)
        lines.append(f"{entry.file} is on other samples, leaves {left} and does not count")
    if not evaluation.provenance.training:
        lines.append("Its training is not stated (training of Evaluate states it)")
    if evaluation.plan != STANDARD:
        plan = f"the plan {evaluation.plan}" if evaluation.plan else "single attacks alone"
        lines.append(f"Attacked with {plan}, which may leave more than {STANDARD}")
    if evaluation.samples != leader.first.samples:
        lines.append(f"Not on the samples of {name}, so that intervals are compared")
    findings = dict.fromkeys(str(finding.title) for finding in record.verdict.findings)
    return [*lines, *(f"Open finding, {finding}" for finding in findings)]


def describe_group(key: tuple[str, str, float]) -> str:
    """Data set and budget in words."""
    dataset, norm, eps = key
    return f"{dataset}, {describe_budget(norm, eps)}"


def render_board(board: Board, mark: str = "") -> str:
    """Tables and notes: for the terminal, or, below a mark, in Markdown, as a page of the
    documentation includes them."""
    parts: list[Part] = [] if not mark else [*READING]
    for key, records in board.items():
        rows = board_rows(records)
        titles = list(rows[0])
        cells = [[*row.values()] for row in rows]
        wide = [place for place, title in enumerate(titles) if title not in NARROW]
        parts += [f"{'### ' if mark else ''}{describe_group(key)}", Table(titles, cells, 1, wide)]
        notes = board_notes(records)
        parts += [Notes(notes)] if notes else []
    return f"{mark}\n\n{render(parts, 'markdown')}" if mark else render_narrow(parts)


def render_board_page(board: Board) -> str:
    """One page that loads nothing; its script sorts the tables, which can be read without."""
    groups = [
        {"heading": describe_group(key), "rows": board_rows(records), "notes": board_notes(records)}
        for key, records in board.items()
    ]
    content = {"groups": groups, "words": WORDS, "reading": READING}
    joining = page_address("leaderboard") if documentation() else ""
    title = "Robust spiking networks"
    return render_template("board.html.j2", title=title, joining=joining, **content)
