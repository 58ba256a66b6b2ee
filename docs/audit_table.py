"""Write the tables of `tests/audit.py` and `tests/toolbox.py` as a page of the docs, in MyST.

Usage: python docs/audit_table.py [FILE]; FILE is docs/_generated/audit_table.md unless given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import audit, toolbox  # noqa: E402 (found by the line above)
from tests.audit import ELSEWHERE, OURS, ROWS  # noqa: E402 (the same)
from tests.toolbox import Row  # noqa: E402 (the same)

PAGE = ROOT / "docs" / "_generated" / "audit_table.md"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return ["", *("| " + " | ".join(line) + " |" for line in lines), ""]


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def attack(row: audit.Row) -> str:
    return f"`{row.attack}`" + (f", {row.setting}" if row.setting else "")


def evasion() -> list[str]:
    """The attacks that change samples."""
    header = ("attack", "reaches the gradient by", "box", "what the test asserts")
    of_art, of_our_own = (
        [(attack(row), row.reach, row.box, row.result) for row in rows] for rows in (ROWS, OURS)
    )
    tables = [
        *table(header, of_art),
        "[Attacks of our own](attacks.md):",
        *table(header, of_our_own),
    ]
    return ["## Evasion", *tables]


def kind(name: str, rows: list[Row]) -> list[str]:
    """The classes of one kind; settings of one class with the same promise share a row."""
    cells: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        names = cells.setdefault((row.uses, row.rule, row.remark), [])
        names.extend(one for one in row.names.split(", ") if one not in names)
    lines = [(quoted(names), *several) for several, names in cells.items()]
    return [f"## {name}", *table(("class", "uses", "gradient", "remark"), lines)]


def refused() -> list[str]:
    """What cannot run, and why; what is not for PyTorch image classifiers."""
    rows = [(quoted(one.names.split(", ")), one.reason) for one in toolbox.REFUSALS]
    others = [(quoted(sorted(reason.attacks)), reason.reason) for reason in ELSEWHERE]
    return [
        "## What cannot run",
        *table(("class", "takes no spiking classifier, or refuses"), rows),
        "## Attacks for other domains",
        *table(("class", "made for"), others),
    ]


def page() -> str:
    """The whole page."""
    lines = ["<!-- Written by docs/audit_table.py from the tests. Do not edit. -->", "", *evasion()]
    for name, rows in toolbox.KINDS.items():
        lines += kind(name, rows)
    return "\n".join([*lines, *refused()]).strip() + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
