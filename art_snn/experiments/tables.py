"""Paragraphs and tables: as text for a terminal, in Markdown, in HTML, or in LaTeX."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tabulate import LATEX_ESCAPE_RULES, tabulate

Form = Literal["text", "markdown", "html", "latex"]
FORMATS = {"text": "plain", "markdown": "pipe", "html": "html"}


@dataclass(frozen=True)
class Table:
    """Rows of cells below their titles; the first `words` columns are set to the left."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1

    @property
    def sides(self) -> list[Literal["left", "right"]]:
        """To which side each column is set; remarks are words in any column."""
        wordy = ("", "remark")
        return [
            "left" if i < self.words or title in wordy else "right"
            for i, title in enumerate(self.titles)
        ]


@dataclass(frozen=True)
class Notes:
    """Sentences that stand below one another."""

    lines: Sequence[str]


Part = str | Table | Notes | Sequence[str]
"""A paragraph, a table, notes, or the lines of a heading."""


def render(parts: Sequence[Part], form: Form = "text") -> str:
    """The parts as one text, an empty line between them."""
    return "\n\n".join(_render_part(part, form) for part in parts) + "\n"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], form: Form = "text") -> str:
    """The rows below their titles."""
    return _table(Table(titles, rows), form)


def _table(content: Table, form: Form) -> str:
    cells, sides = [list(content.titles), *map(list, content.rows)], content.sides
    if form == "markdown":
        cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    how = {"colalign": sides if content.rows else None, "disable_numparse": True}
    if form == "latex":
        return _booktabs(cells, sides)
    text = tabulate(cells[1:], cells[0], FORMATS[form], **how)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _render_part(part: Part, form: Form) -> str:
    if isinstance(part, Table):
        return _table(part, form)
    lines = [part] if isinstance(part, str) else part.lines if isinstance(part, Notes) else part
    if form == "html":
        return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    if form == "latex":
        lines = [latex(line) for line in lines]
    if form == "text" or isinstance(part, str):
        return "\n".join(lines)
    if not isinstance(part, Notes):
        return ". ".join(lines) + "."
    if form == "markdown":
        return "\n".join(f"- {line}" for line in lines)
    items = "\n".join(rf"\item {line}" for line in lines)
    return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"


def latex(text: str) -> str:
    """The text with all that LaTeX would take for a command escaped."""
    escaped = "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in text)
    # A bracket at the start would be the option of the line break, or of the item, before it.
    return f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped


def _booktabs(cells: Sequence[Sequence[str]], sides: Sequence[str]) -> str:
    """Rows below their titles between the rules of the package booktabs."""
    head, *rows = (" & ".join(map(latex, row)).rstrip() + r" \\" for row in cells)
    columns = "".join(side[0] for side in sides)
    start, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    rules = r"\toprule", r"\midrule", r"\bottomrule"
    return "\n".join([start, rules[0], head, rules[1], *rows, rules[2], end])
