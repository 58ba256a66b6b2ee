"""What art-snn report does: a page or tables of evaluations, the table of records, or checks."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from art_snn.app.evaluation.page import render_page
from art_snn.app.evaluation.record import find_evaluations, read_evaluation
from art_snn.app.evaluation.tables import compare_parts, evaluation_parts, latex_table
from art_snn.app.evaluation.verdict import count_words
from art_snn.app.report.board import READING, make_board, render_board_page
from art_snn.app.results import Printed
from art_snn.app.settings import MARKS, Report
from art_snn.app.tables import Notes, Part, render
from art_snn.app.verify import verify_record
from art_snn.checks import ArgumentError, printable
from art_snn.files import write_text


def run(settings: Report) -> Printed:
    """Write the report or the table of records, or verify a record.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no
        evaluation, when evaluations of a table contradict each other, or when network and
        data do not fit.
    :raises WriteFailed: when a file cannot be written."""
    if settings.verify:
        return verify_record(settings)
    output = settings.output
    assert output is not None
    if settings.board:
        return _write_board(settings.files, output)
    items = [read_evaluation(file) for file in settings.files]
    compared = compare_parts(items) if len(items) > 1 else []
    each = [evaluation_parts(item.evaluation) for item in items]
    parts = [*compared, *chain(*each)]
    if output.suffix == ".html":
        write_text(output, render_page(items))
    elif output.suffix == ".md":
        write_text(output, _render_markdown(parts))
    else:
        # What the table leaves out stands above it, for those who write about it: title,
        # verdict and its table, and the command.
        short = [*compared, *chain(*([*some[:3], *some[-2:]] for some in each))]
        lines = [f"% {line}".rstrip() for line in render(short).splitlines()]
        write_text(output, "\n".join([MARKS["tex"], *lines, "", latex_table(items), ""]))
    # The title, the verdict or the names, and their table; the rest is in the file.
    return Printed(parts[:3])


def _write_board(places: Sequence[Path], output: Path) -> Printed:
    """Write the table of records, as a page and next to it in Markdown.

    It leaves out evaluations that cannot be read, and says why.

    :raises ValueError: where none can be read."""
    items = []
    failed = []
    for file in find_evaluations(places):
        try:
            items.append(read_evaluation(file))
        except ArgumentError as error:
            failed.append(error)
    if failed and (not items or isinstance(failed[0], FileNotFoundError)):
        raise failed[0]

    board, left_out = make_board(items, [printable(error.complaint) for error in failed])
    table = output.with_suffix(".md")
    write_text(output, render_board_page(board))
    write_text(table, _render_markdown([*READING, *board[:2]]))
    notes = Notes([f"{count_words(len(items), 'evaluation')}.", *left_out])
    return Printed([notes], [table.name])


def _render_markdown(parts: Sequence[Part]) -> str:
    return f"{MARKS['md']}\n\n{render(parts, 'markdown')}"
