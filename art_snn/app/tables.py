"""Paragraphs and tables: as text for a terminal, in Markdown, or in HTML."""

import html
import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

Form = Literal["text", "markdown", "html"]
FORMATS = {"text": "plain", "markdown": "pipe", "html": "html"}
WIDTH = 80
"""Characters in a line of a terminal."""
MARKUP = re.compile(
    r"[\\`*|~$]"
    r"|\[(?![+-]?[\d.]+, [+-]?[\d.]+\])"  # Intervals are no links.
    r"|(?<!\w)_|_(?!\w)"
    r"|<(?=[A-Za-z/!?])"
    r"|&(?=#?\w+;)"
)
"""Characters that Markdown, with the extensions of MyST, would take for markup."""
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
"""Newlines and control characters, which would end a cell or a paragraph."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below their titles; the first `words` columns are set to the left.

    :param wide: numbers of columns for which a terminal has no room."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    wide: Collection[int] = ()

    def narrow(self) -> "Table":
        """The same without the columns for which a terminal has no room."""
        kept = [place for place in range(len(self.titles)) if place not in self.wide]
        titles, *rows = ([row[place] for place in kept] for row in (self.titles, *self.rows))
        return Table(titles, rows, self.words)

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


class Command(str):
    """A command to copy: it stays in one line, however long it is."""


Part = str | Table | Notes | Sequence[str]
"""A paragraph, a table, notes, or the lines of a heading."""


def render(parts: Sequence[Part], form: Form = "text") -> str:
    """The parts as one text, an empty line between them."""
    return "\n\n".join(_render_part(part, form) for part in parts) + "\n"


def render_narrow(parts: Sequence[Part]) -> str:
    """The parts for a terminal: in lines of 80 characters, tables without their wide columns."""
    return "\n\n".join(_narrow_part(part) for part in parts) + "\n"


def _narrow_part(part: Part) -> str:
    if isinstance(part, Table):
        return _table(part.narrow(), "text")
    if isinstance(part, Command):
        return part
    lines, indent = _lines(part), "  " if isinstance(part, Notes) else ""
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.fill(n, WIDTH, subsequent_indent=indent, **how) for n in lines)


def _table(content: Table, form: Form) -> str:
    cells, sides = [list(content.titles), *map(list, content.rows)], content.sides
    if form == "markdown":
        cells = [[escape_markdown(cell) for cell in row] for row in cells]
    how = {"colalign": sides if content.rows else None, "disable_numparse": True}
    text = tabulate(cells[1:], cells[0], FORMATS[form], **how)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _render_part(part: Part, form: Form) -> str:
    if isinstance(part, Table):
        return _table(part, form)
    lines = _lines(part)
    if form == "html":
        return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    if form == "markdown" and isinstance(part, Command):
        return f"```bash\n{part}\n```"
    if form == "markdown":
        lines = [escape_markdown(line) for line in lines]
    if form == "text" or isinstance(part, str):
        return "\n".join(lines)
    if not isinstance(part, Notes):
        return ". ".join(lines) + "."
    return "\n".join(f"- {line}" for line in lines)


def _lines(part: str | Notes | Sequence[str]) -> Sequence[str]:
    """The lines of a paragraph, of notes or of a heading."""
    return [part] if isinstance(part, str) else part.lines if isinstance(part, Notes) else part


def escape_markdown(text: str) -> str:
    """The text with a backslash before whatever Markdown would take for markup, in one line."""
    return MARKUP.sub(r"\\\g<0>", CONTROL.sub(" ", text))
