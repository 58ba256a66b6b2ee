"""Write the table of `tests/audit.py` as a page of the documentation, in MyST markdown.

Usage: python docs/audit_table.py [FILE]; FILE is docs/_generated/audit_table.md unless given.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.audit import ELSEWHERE, OURS, ROWS, Row  # noqa: E402 (found by the line above)

PAGE = ROOT / "docs" / "_generated" / "audit_table.md"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def attack(row: Row) -> str:
    return f"`{row.attack}`" + (f", {row.setting}" if row.setting else "")


def page() -> str:
    """The whole page."""
    header = ("attack", "reaches the gradient by", "box", "what the test asserts")
    of_art, of_our_own = (
        [(attack(row), row.reach, row.box, row.result) for row in rows] for rows in (ROWS, OURS)
    )
    others = [
        (f"`{name}`", reason.reason) for reason in ELSEWHERE for name in sorted(reason.attacks)
    ]
    lines = [
        "<!-- Written by docs/audit_table.py from tests/audit.py. Do not edit. -->",
        "",
        *table(header, of_art),
        "",
        "[Attacks of our own](attacks.md):",
        "",
        *table(header, of_our_own),
        "",
        "These attack classes of ART are not for PyTorch image classifiers:",
        "",
        *table(("attack", "made for"), others),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
