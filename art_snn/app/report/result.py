from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from art_snn.app.evaluation import ReportItem, render_page
from art_snn.app.evaluation.rows import sections
from art_snn.app.evaluation.side import side_sections
from art_snn.app.report.latex import latex_table
from art_snn.app.tables import Part, render, render_narrow
from art_snn.files import begins_with

MARKS = {"md": "<!-- written by art-snn report -->", "tex": "% written by art-snn report"}
MARKS["html"] = '<meta name="generator" content="art-snn report">'
"""A mark in the first lines of a report, by which it is recognised."""


def is_report(file: Path) -> bool:
    """Whether a file is a report, of this command or of art-snn evaluate."""
    return begins_with(file, *MARKS.values())


@dataclass(frozen=True)
class Report:
    """One evaluation, or several side by side."""

    items: Sequence[ReportItem]

    def parts(self) -> list[Part]:
        """The comparison of several, and each of them."""
        parts = side_sections(self.items) if len(self.items) > 1 else []
        return parts + [part for item in self.items for part in sections(item.evaluation)]

    @property
    def files(self) -> list[str]:
        """Nothing but the output itself."""
        return []

    def render(self) -> str:
        """Sentences and tables for the terminal."""
        return render_narrow(self.parts())

    def text(self, suffix: str) -> str:
        """What is written, by the format of the file."""
        if suffix == "md":
            return f"{MARKS[suffix]}\n\n{render(self.parts(), 'markdown')}"
        if suffix == "tex":
            # What the table leaves out stands above it, for those who write about it.
            lines = [f"% {line}".rstrip() for line in self.render().splitlines()]
            return "\n".join([MARKS[suffix], *lines, "", latex_table(self.items), ""])
        return render_page(self.items)
