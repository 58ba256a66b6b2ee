"""The leaderboard: a table for each data set and budget."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from art_snn.app.evaluation import ReportItem, verdicts
from art_snn.app.evaluation.evaluation import NORMS
from art_snn.app.evaluation.items import RESULT
from art_snn.app.evaluation.page import documentation, page_address
from art_snn.app.evaluation.template import environment
from art_snn.app.evaluation.words import budget_words
from art_snn.app.leaderboard.cells import (
    SortCell,
    dataset_of,
    record_cells,
    record_names,
    shared_notes,
    single_attack,
)
from art_snn.app.leaderboard.record import Claim, Record, merged, standings
from art_snn.app.leaderboard.settings import MARKS
from art_snn.app.resume import as_json
from art_snn.app.tables import Notes, Part, Table, render, render_narrow
from art_snn.files import digest

HERE = Path(__file__).parent
TITLE = "Robust spiking networks"
SORTED = "robust"
"""The column by which tables are sorted at first, the highest number above."""
WORDS = ("network", "training", "attacks")
"""Columns of words, which are set to the left."""
NARROW = ("network", "robust", "certified", "clean", "findings")
"""Columns for which a terminal has room."""
READING = (
    "Robust is the share of samples that are classified correctly without an attack and after all "
    "attacks, with its 95 % interval.",
    "\u2264 marks an upper bound: a better attack may break more. It is exact where all that is "
    "left is certified; \u2265 marks what is proven.",
    "Attacks say who broke how many samples, which includes adversarials that others sent. Open "
    "findings are reasons to doubt the number.",
)


@dataclass(frozen=True)
class Ranking:
    """The networks on one data set at one budget, the most robust first."""

    dataset: str
    norm: str
    eps: float
    records: Sequence[Record]

    @property
    def heading(self) -> str:
        """Data and budget in words."""
        return f"{self.dataset}, {budget_words(self.norm, self.eps)}"

    @cached_property
    def rows(self) -> list[Mapping[str, SortCell]]:
        """The cells of each network, by the titles of their columns."""
        names = {single_attack(record.first) for record in self.records} - {None}
        attack = names.pop() if len(names) == 1 else "one attack"
        pairs = zip(self.records, record_names(self.records), strict=True)
        return [record_cells(record, label, str(attack)) for record, label in pairs]

    @property
    def table(self) -> Table:
        """All cells as text."""
        titles = list(self.rows[0])
        rows = [[cell.text for cell in row.values()] for row in self.rows]
        return Table(titles, rows, 1, [n for n, t in enumerate(titles) if t not in NARROW])

    @property
    def notes(self) -> list[str]:
        """What has to be known next to the numbers."""
        return shared_notes(self.records)


@dataclass(frozen=True)
class Leaderboard:
    """The rankings of all data sets and budgets.

    :param markdown: name of the file of the tables next to the page."""

    rankings: Sequence[Ranking]
    markdown: str = ""

    @classmethod
    def of(cls, items: Iterable[ReportItem], markdown: str = "") -> "Leaderboard":
        """Of all evaluations; copies of one count once.

        :raises ValueError: where evaluations of the same weights contradict each other."""
        groups: dict[tuple[str, str, float], dict[str, list[Claim]]] = {}
        for item in {digest(as_json(one.evaluation)): one for one in reversed([*items])}.values():
            evaluation = item.evaluation
            for verdict in verdicts(evaluation):
                key = dataset_of(evaluation), evaluation.norm, verdict.eps
                networks = groups.setdefault(key, defaultdict(list))
                claim = Claim(item.name.removesuffix(f"/{RESULT}"), evaluation, verdict)
                networks[evaluation.provenance.weights].append(claim)
        ordered = sorted(groups, key=lambda key: (key[0], NORMS.index(key[1]), key[2]))
        return cls(
            [Ranking(*k, standings([*map(merged, groups[k].values())])) for k in ordered], markdown
        )

    @property
    def files(self) -> list[str]:
        """The file next to the page."""
        return [self.markdown] if self.markdown else []

    def parts(self, level: str = "") -> list[Part]:
        """A heading, a table and its notes for each ranking."""
        parts: list[Part] = []
        for ranking in self.rankings:
            parts += [f"{level}{ranking.heading}", ranking.table]
            parts += [Notes(ranking.notes)] if ranking.notes else []
        return parts

    def render(self) -> str:
        """Tables and notes for the terminal."""
        return render_narrow(self.parts())

    def render_markdown(self) -> str:
        """Tables and notes in Markdown, as a page of documentation includes them."""
        return f"{MARKS['.md']}\n\n{render([*READING, *self.parts('### ')], 'markdown')}"

    def render_page(self) -> str:
        """One page that loads nothing; its script sorts the tables, which can be read without."""
        template = environment(HERE).get_template("leaderboard.html.j2")
        address = documentation()
        return template.render(
            title=TITLE,
            reading=READING,
            rankings=self.rankings,
            words=WORDS,
            ordered=SORTED,
            joining=page_address(address, "leaderboard") if address else "",
        )
