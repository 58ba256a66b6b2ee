"""Paragraphs and tables: as text for a terminal, in Markdown, or in HTML."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tabulate import tabulate

Form = Literal["text", "markdown", "html"]
FORMATS = {"text": "plain", "markdown": "pipe", "html": "html"}


@dataclass(frozen=True)
class Table:
    """Rows below their titles, every cell as it is to be read.

    :param titles: heads of the columns; the first column is set to the left, figures to the right.
    :param rows: cells, as many in every row as there are titles."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Notes:
    """Sentences that stand below one another."""

    lines: Sequence[str]


Part = str | Table | Notes | Sequence[str]
"""A paragraph, a table, notes, or the lines of a heading."""


def told(parts: Sequence[Part], form: Form = "text") -> str:
    """The parts as one text, an empty line between them."""
    return "\n\n".join(_told(part, form) for part in parts) + "\n"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], form: Form = "text") -> str:
    """The rows below their titles."""
    cells = [list(titles), *map(list, rows)]
    if form == "markdown":
        cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    wordy = ("", "remark")
    sides = ["left" if i == 0 or title in wordy else "right" for i, title in enumerate(titles)]
    how = {"colalign": sides if rows else None, "disable_numparse": True}
    text = tabulate(cells[1:], cells[0], FORMATS[form], **how)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _told(part: Part, form: Form) -> str:
    if isinstance(part, Table):
        return table(part.titles, part.rows, form)
    lines = [part] if isinstance(part, str) else part.lines if isinstance(part, Notes) else part
    if form == "html":
        return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    if form == "text" or isinstance(part, str):
        return "\n".join(lines)
    return "\n".join(f"- {n}" for n in lines) if isinstance(part, Notes) else ". ".join(lines) + "."
