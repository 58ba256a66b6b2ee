"""How results are shown: paragraphs and tables, and the colours and titles of pictures."""

import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from tabulate import tabulate

from art_snn.checks import printable, set_fields
from art_snn.metrics import Share

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00"}
"""Colours of rules, the same in every picture."""
SERIES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#6a3d9a",
    "#e69f00",
    "#6b6b1a",
    "#45c4e8",
)
"""Colours of the lines in a picture, one after the other."""
GREY = "#999999"
Form = Literal["text", "markdown"]
_MARKUP = re.compile(
    r"[\\`*|~$#{}]"
    r"|\[(?![+-]?[\d.]+, [+-]?[\d.]+\](?![(\[:{]))"  # Intervals are no links.
    r"|(?<![^\W_])_|_(?![^\W_])"
    r"|<(?=[A-Za-z/!?])"
    r"|&(?=#?\w+;)"
    r"|:(?=//)|(?<=[wW]{3})\."  # GitHub makes links of addresses.
    r"|^[=>%:]|^[-+](?![\d.])|^\((?=.*\)=)"
)
"""Characters that Markdown, with the extensions of MyST, would take for markup, in one line."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below their titles; the first `words` columns are set to the left.

    :param rows: of cells of any kind, which become text here.
    :param wide: numbers of columns for which a terminal has no room."""

    titles: Sequence[str]
    rows: Sequence[Sequence[Any]]
    words: int = 1
    wide: Collection[int] = ()

    def __post_init__(self) -> None:
        set_fields(self, rows=[tuple(map(str, row)) for row in self.rows])

    @property
    def sides(self) -> list[Literal["left", "right"]]:
        """To which side each column is set; remarks are words in any column."""
        wordy = ("", "remark")
        return [
            "left" if i < self.words or title in wordy else "right"
            for i, title in enumerate(self.titles)
        ]


class Notes(tuple[str, ...]):
    """Sentences that stand below one another."""


class Command(str):
    """A command to copy: it stays in one line, however long it is."""


Part = str | Table | Notes | Sequence[str]
"""A paragraph, a table, notes, or the lines of a heading."""


def render(parts: Sequence[Part], form: Form = "text") -> str:
    """The parts as one text, an empty line between them; nothing of those that are empty.

    Text is for a terminal: in lines of 80 characters, tables without their wide columns."""
    return "\n\n".join(_render_part(part, form) for part in parts if part) + "\n"


def _render_part(part: Part, form: Form) -> str:
    if isinstance(part, Table):
        return _render_table(part, form)
    lines = [printable(line) for line in ([part] if isinstance(part, str) else part)]
    if isinstance(part, Command):
        fence = "`" * max(3, *(1 + len(run) for run in re.findall("`+", part) or [""]))
        return lines[0] if form == "text" else f"{fence}bash\n{lines[0]}\n{fence}"
    if form == "text":
        wrapper = textwrap.TextWrapper(80, break_long_words=False, break_on_hyphens=False)
        wrapper.subsequent_indent = "  " if isinstance(part, Notes) else ""
        return "\n".join(map(wrapper.fill, lines))
    lines = [_escape_markdown(line) for line in lines]
    if isinstance(part, str):
        return lines[0]
    if isinstance(part, Notes):
        return "\n".join(f"- {line}" for line in lines)
    return ". ".join(lines) + "."


def _render_table(table: Table, form: Form) -> str:
    show = printable if form == "text" else _escape_markdown
    hidden = table.wide if form == "text" else ()
    kept = [place for place in range(len(table.titles)) if place not in hidden]
    titles, *rows = (
        [show(row[place]) for place in kept] for row in (table.titles, *table.rows)
    )
    text = tabulate(
        rows,
        titles,
        "plain" if form == "text" else "pipe",
        colalign=[table.sides[place] for place in kept] if rows else None,
        disable_numparse=True,
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _escape_markdown(text: str) -> str:
    """The text with a backslash before whatever Markdown would take for markup, in one line."""
    escaped = _MARKUP.sub(r"\\\g<0>", printable(text).strip())
    # A list of numbers begins so.
    return re.sub(r"^(\d+)(?=[.)](?:\s|$))", r"\1\\", escaped)


def to_percent(shares: Iterable[Share]) -> tuple[ndarray, ndarray]:
    """Shares in percent (N,), and the lengths of their error bars below and above (2, N)."""
    some = list(shares)
    values = 100 * np.array([share.value for share in some])
    ends = 100 * np.array([share.interval for share in some]).T
    return values, np.abs(ends - values)


def write_title(figure: Any, *lines: str, fontsize: str = "medium") -> None:
    """Write a title whose lines are folded where they would leave the picture, which grows.

    :param figure: of matplotlib."""
    room = int(11 * figure.get_figwidth())
    text = "\n".join(textwrap.fill(line, room) for line in lines)
    folded = text.count("\n") + 1 - len(lines)
    figure.set_figheight(figure.get_figheight() + 0.2 * folded)  # Inches.
    # What users write, such as the name of a file, is no formula.
    figure.suptitle(text, fontsize=fontsize).set_parse_math(False)
