"""Write the tables of `tests/interop/firing_forms.py` as a page of the docs, in MyST.

Usage: python docs/firing_table.py [FILE]; FILE is docs/_generated/firing_table.md unless given.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.interop.firing_forms import EXACT, FORMS, KEPT, UNSEEN, Form  # noqa: E402 (found above)

PAGE = ROOT / "docs" / "_generated" / "firing_table.md"
HEADER = "| form | used in | result | largest relative error |\n|---|---|---|---|"


def cells(form: Form) -> tuple[str, ...]:
    """A row of the table."""
    written = str(form).replace("|", "\\|")
    if form.expected in (EXACT, KEPT):
        result = "taken" if form.expected == EXACT else "keeps its own gradient"
        return written, form.used, result, f"< {form.largest_error:.0e}".replace("e-0", "e-")
    result = "not seen" if form.expected == UNSEEN else f"refused: {form.expected}"
    return written, form.used, result, ""


def page() -> str:
    """All tables."""
    lines = ["<!-- Written by docs/firing_table.py from the tests. Do not edit. -->"]
    for name, forms in FORMS.items():
        rows = ["| " + " | ".join(cells(form)) + " |" for form in forms]
        lines += ["", f"### {name}", "", HEADER, *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
