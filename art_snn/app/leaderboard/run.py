"""Reads evaluations and writes two files; runs no network."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from art_snn.app.evaluation import read_evaluation
from art_snn.app.evaluation.items import RESULT
from art_snn.app.leaderboard.result import Leaderboard
from art_snn.app.leaderboard.settings import Settings
from art_snn.checks import FOLDER, expand_path, path_kind, require
from art_snn.files import write_text


def run(settings: Settings) -> Leaderboard:
    """Write the page and the table.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no evaluation, or when
        evaluations contradict each other.
    :raises WriteFailed: when a file cannot be written."""
    items = [read_evaluation(file) for file in evaluation_files(settings.files)]
    board = Leaderboard.of(items, settings.markdown.name)
    page, table = board.render_page(), board.render_markdown()
    write_text(settings.output, page)
    write_text(settings.markdown, table)
    return board


def evaluation_files(places: Iterable[Path]) -> Iterator[Path]:
    """Each evaluation.json at or below the places, once."""
    seen = set()
    for place in places:
        path = expand_path("files", place)
        below = path_kind("files", path) == FOLDER
        files = sorted(path.rglob(RESULT)) if below else [path]
        remedy = "Name a folder into which art-snn evaluate wrote, or one above."
        require(files, "files", f"a folder with {RESULT} in it or below", str(place), remedy)
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file
