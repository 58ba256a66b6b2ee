from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from art_snn.app.annotations import Open
from art_snn.app.report.result import is_report
from art_snn.checks import FILE, path_kind, require, require_choice, set_fields

Format = Literal["html", "md", "tex"]
FORMATS: tuple[Format, ...] = ("html", "md", "tex")

PRINT = "Write a page (.html) and print it to PDF in a browser, or take a table (.tex)."


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a page of one evaluation, or of several side by side on the same samples.

    :param files: folders of one evaluation or more, or their evaluation.json.
    :param output: file that is written [report.html, report.md or report.tex, by the format].
    :param format: html for one page that shows everything; md or tex for sentences and tables [by
        the ending of the output, html].
    """

    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FOLDER|FILE ...", help_behavior_hint="")
    ]
    output: Open[Path] = None
    format: Open[Format] = None

    def __post_init__(self) -> None:
        remedy = "Name the folder of an evaluation."
        require(self.files, "files", "one result or more", "none", remedy)
        remedy = "Use html for a page, md or tex for tables."
        require_choice("format", self.format or FORMATS[0], FORMATS, remedy=remedy)
        ending = None if self.output is None else self.output.suffix[1:]
        form = self.format or (ending if ending in FORMATS else FORMATS[0])
        output = Path(f"report.{form}") if self.output is None else self.output
        kind, remedy = path_kind("output", output), "Give the name of a file, such as report.html."
        require(kind in (None, FILE), "output", "a file", f"{output}, {kind}", remedy)
        same = any(file.resolve() == output.resolve() for file in self.files)
        require(not same, "output", "a file of its own", f"{output}, one of the results", remedy)
        expected = f"a file that ends in .{form}, as its format"
        if self.format is None:
            expected = f"a file that ends in {', '.join(f'.{name}' for name in FORMATS)}"
        remedy = "The ending decides the format; without an output the format names the file."
        remedy = PRINT if ending == "pdf" else remedy
        require(ending in (None, form), "output", expected, str(output), remedy)
        expected, remedy = "a new file, or an earlier report", "Choose another name, or delete it."
        got = f"{output}, which is no report"
        require(kind is None or is_report(output), "output", expected, got, remedy)
        set_fields(self, output=output, format=form)
