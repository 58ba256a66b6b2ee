from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from art_snn.checks import FILE, path_kind, require
from art_snn.files import begins_with

MARKS = {
    ".html": '<meta name="generator" content="art-snn leaderboard">',
    ".md": "<!-- written by art-snn leaderboard -->",
}
"""A mark in the first lines of a leaderboard, by which it is recognised."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a sortable page of robust networks from their evaluations, and a table in Markdown.

    :param files: folders, with all evaluations below them, or files evaluation.json.
    :param output: page that is written, and next to it a .md file of the same name.
    """

    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FOLDER|FILE ...", help_behavior_hint="")
    ]
    output: Path = Path("leaderboard.html")

    def __post_init__(self) -> None:
        remedy = "Name the folder of an evaluation, or one above several."
        require(self.files, "files", "one folder or more", "none", remedy)
        page = self.output
        remedy = "The table in Markdown has the same name, and ends in .md."
        require(page.suffix == ".html", "output", "a file that ends in .html", str(page), remedy)
        for path in (page, self.markdown):
            kind, remedy = path_kind("output", path), "Choose another name, or delete it."
            got = f"{path}, which is {'no leaderboard' if kind == FILE else kind}"
            fits = kind is None or (kind == FILE and begins_with(path, MARKS[path.suffix]))
            require(fits, "output", "a new file, or an earlier leaderboard", got, remedy)

    @property
    def markdown(self) -> Path:
        """The file of the table in Markdown."""
        return self.output.with_suffix(".md")
