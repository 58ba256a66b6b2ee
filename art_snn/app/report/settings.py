from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from art_snn.checks import Open, require, require_choice, set_fields
from art_snn.files import begins_with
from art_snn.paths import FILE, path_kind

Format = Literal["html", "md", "tex"]
FORMATS: tuple[Format, ...] = ("html", "md", "tex")
MARKS = {"md": "<!-- written by art-snn report -->", "tex": "% written by art-snn report"}
MARKS["html"] = '<meta name="generator" content="art-snn report">'
"""A mark in the first lines of a report, by which it is recognised."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a page of one evaluation, or of several side by side on the same samples.

    :param files: folders of one evaluation or more, or their evaluation.json; with board also
        folders above them.
    :param output: file that is written [report.html, report.md or report.tex, by the format; with
        board leaderboard.html, and next to it a .md file of the same name].
    :param format: html for one page that shows everything; md or tex for sentences and tables [by
        the ending of the output, html].
    :param board: write the table of records instead: networks by data set and budget, as a page
        whose tables can be sorted, and in Markdown.
    """

    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FOLDER|FILE ...", help_behavior_hint="")
    ]
    output: Open[Path] = None
    format: Open[Format] = None
    board: bool = False

    def __post_init__(self) -> None:
        remedy = "Name the folder of an evaluation."
        require(self.files, "files", "one result or more", "none", remedy)
        remedy = "Use html for a page, md or tex for tables."
        require_choice("format", self.format or FORMATS[0], FORMATS, remedy=remedy)
        expected, remedy = "None with board, which writes a page and a table", "Leave it out."
        require(not (self.board and self.format), "format", expected, self.format, remedy)
        ending = None if self.output is None else self.output.suffix[1:]
        form = self.format or (ending if ending in FORMATS and not self.board else FORMATS[0])
        name = "leaderboard" if self.board else "report"
        output = Path(f"{name}.{form}") if self.output is None else self.output
        kind, remedy = path_kind("output", output), "Give the name of a file, such as report.html."
        require(kind in (None, FILE), "output", "a file", f"{output}, {kind}", remedy)
        same = any(file.resolve() == output.resolve() for file in self.files)
        require(not same, "output", "a file of its own", f"{output}, one of the results", remedy)
        endings = [form] if self.format or self.board else FORMATS
        expected = f"a file that ends in {', '.join(f'.{one}' for one in endings)}"
        remedy = "The ending decides the format; with --board it is .html."
        if ending == "pdf":
            remedy = "Write a page (.html) and print it to PDF in a browser, or a table (.tex)."
        require(ending in (None, form), "output", expected, str(output), remedy)
        for path in (output, output.with_suffix(".md"))[: 1 + self.board]:
            kind, remedy = path_kind("output", path), "Choose another name, or delete it."
            fits = kind is None or (kind == FILE and begins_with(path, *MARKS.values()))
            got = f"{path}, which is no report"
            require(fits, "output", "a new file, or an earlier report", got, remedy)
        set_fields(self, output=output, format=form)
