"""Write the tables of `tests/audit.py` and `tests/toolbox` as a page of the documentation, in MyST.

Usage: python docs/audit_table.py [FILE]; FILE is docs/_generated/audit_table.md unless given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.audit import ELSEWHERE, OURS, ROWS, Row  # noqa: E402 (found by the line above)
from tests.toolbox import promises  # noqa: E402 (the same)
from tests.toolbox.promises import Promise  # noqa: E402 (the same)

PAGE = ROOT / "docs" / "_generated" / "audit_table.md"
VOID = (promises.NOTHING, promises.NO_GRADIENT)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return ["", *("| " + " | ".join(line) + " |" for line in lines), ""]


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def attack(row: Row) -> str:
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


def joined(cells: Iterable[str]) -> str:
    """What stands in several lists, once each; "none" only where nothing else does."""
    words = dict.fromkeys(word for cell in cells for word in cell.split(", "))
    return ", ".join(word for word in words if word not in VOID or len(words) == 1)


def asserted(several: list[Promise]) -> str:
    """What runs, and then what does not."""
    runs, fails = (
        "; ".join(dict.fromkeys(one.words for one in several if one.error == error))
        for error in (False, True)
    )
    if not runs:
        return f"cannot run: {fails}"
    return f"{runs}. Limits: {fails}" if fails else runs


def kind(name: str, collected: list[Promise]) -> list[str]:
    """What is asserted of the classes of one kind; those with the same promises share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in sorted(promises.exported(name)):
        several = [promise for promise in collected if one in promise.names]
        if several:
            uses = joined(promise.uses for promise in several)
            rule = joined(promise.rule for promise in several)
            rows.setdefault((uses, rule, asserted(several)), []).append(one)
    header = ("class", "uses", "gradient", "what the test asserts")
    lines = [(quoted(names), *cells) for cells, names in rows.items()]
    return [f"## {name}", *table(header, lines)]


def others() -> list[str]:
    """What is not for PyTorch image classifiers."""
    names: dict[str, list[str]] = {reason.reason: [*reason.attacks] for reason in ELSEWHERE}
    for reason, several in promises.ELSEWHERE.items():
        names.setdefault(reason, []).extend(several)
    rows = [(quoted(sorted(several)), reason) for reason, several in names.items()]
    return ["## Not for PyTorch image classifiers", *table(("class", "made for"), rows)]


def page() -> str:
    """The whole page."""
    collected = promises.collected()
    lines = ["<!-- Written by docs/audit_table.py from the tests. Do not edit. -->", "", *evasion()]
    for name in promises.KINDS:
        lines += kind(name, collected)
    return "\n".join([*lines, *others()]).strip() + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
