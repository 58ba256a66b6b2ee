"""Reads evaluations, compares them, and writes a page or tables; runs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from art_snn.app.report.board import make_board, render_board, render_board_page
from art_snn.app.report.evaluation import ReportItem, find_evaluations, read_evaluation
from art_snn.app.report.page import render_page
from art_snn.app.report.settings import MARKS, Settings
from art_snn.app.report.tables import evaluation_parts, latex_table, side_parts
from art_snn.app.tables import Part, render, render_narrow
from art_snn.files import write_text


@dataclass(frozen=True)
class Report:
    """The result of the command: its text for the terminal, and files next to the output."""

    text: str
    files: tuple[str, ...] = ()

    def render(self) -> str:
        """Sentences and tables for the terminal."""
        return self.text


def run(settings: Settings) -> Report:
    """Write the report, or the table of records.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no evaluation, or when
        evaluations of a table contradict each other.
    :raises WriteFailed: when a file cannot be written."""
    assert settings.output is not None
    assert settings.format is not None
    if settings.board:
        return _write_board(settings.files, settings.output)
    items = [read_evaluation(file) for file in settings.files]
    write_text(settings.output, render_report(items, settings.format))
    return Report(render_narrow(report_parts(items)))


def _write_board(files: Sequence[Path], output: Path) -> Report:
    board = make_board(map(read_evaluation, find_evaluations(files)))
    page, table = render_board_page(board), render_board(board, MARKS["md"])
    write_text(output, page)
    write_text(output.with_suffix(".md"), table)
    return Report(render_board(board), (output.with_suffix(".md").name,))


def report_parts(items: Sequence[ReportItem]) -> list[Part]:
    """The comparison of several evaluations, and each of them."""
    parts = side_parts(items) if len(items) > 1 else []
    return parts + [part for item in items for part in evaluation_parts(item.evaluation)]


def render_report(items: Sequence[ReportItem], form: str) -> str:
    """The content of the file, by its format: html, md or tex."""
    if form == "html":
        return render_page(items)
    if form == "md":
        return f"{MARKS[form]}\n\n{render(report_parts(items), 'markdown')}"
    # What the table leaves out stands above it, for those who write about it.
    lines = [f"% {line}".rstrip() for line in render_narrow(report_parts(items)).splitlines()]
    return "\n".join([MARKS[form], *lines, "", latex_table(items), ""])
