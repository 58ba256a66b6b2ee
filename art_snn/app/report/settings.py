"""Settings of art-snn report: plain data, which import no torch."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from art_snn.app.settings import Flag, Folder, Open
from art_snn.checks import FILE, path_kind, require, require_choice, set_fields

Format = Literal["html", "md", "tex"]
FORMATS: tuple[Format, ...] = ("html", "md", "tex")
MARKS = {
    "html": '<meta name="generator" content="art-snn report">',
    "md": "<!-- written by art-snn report -->",
    "tex": "% written by art-snn report",
}
"""A mark in the first lines of a report, by which it is recognised."""
SUBJECT = ("model", "checkpoint", "steps", "readout", "data", "root", "value_range")
"""Options that name the network and the data of a record that is verified."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write a page of one evaluation, or of several side by side on the same samples.

    With --board it is a table of records, by data set and budget. With --verify nothing is written:
    an evaluation is checked on its first samples, and exit status 3 says that a check failed.

    :param files: folders of one evaluation or more, or their evaluation.json; with board also
        folders above them.
    :param output: file that is written [report.html, report.md or report.tex, by the format; with
        board leaderboard.html, and next to it a .md file of the same name].
    :param format: html for one page that shows everything; md or tex for sentences and tables [by
        the ending of the output, html].
    :param board: write the table of records, as a page whose tables can be sorted, and in Markdown.
    :param verify: check that weights, samples and predictions repeat, and that the adversarials in
        first.npz lie in the ball and fool the network.
    :param model: of the network to verify: zoo:NAME; or a function or a model of another framework:
        file.py:function or package.module:function [zoo:NAME, by the name in the evaluation].
    :param checkpoint: weights of the network to verify.
    :param steps: time steps T of that network [those of its training].
    :param readout: of a model of another framework: mean or sum over time, or the mean of the
        spikes or of the potential of one that returns both [mean].
    :param data: samples to verify with: a name, a .npz file, or a folder of pictures [those that
        the evaluation names; of a network of the zoo its own].
    :param root: folder of the data sets that are kept on disk.
    :param value_range: LOW,HIGH: values that samples of a .npz file or events may have.
    :param device: gpu, which is cpu where there is none; or cpu."""

    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FOLDER|FILE ...", help_behavior_hint="")
    ]
    output: Open[Path] = None
    format: Open[Format] = None
    board: Flag = False
    verify: Flag = False
    model: Annotated[Open[str], arg(metavar="zoo:NAME|FILE.py:FUNCTION")] = None
    checkpoint: Open[Path] = None
    steps: Open[int] = None
    readout: Open[Literal["mean", "sum", "spikes", "potential"]] = None
    data: Annotated[Open[str], arg(metavar="NAME|FILE|FOLDER")] = None
    root: Folder = Path("data")
    value_range: Open[tuple[float, float]] = None
    device: Literal["gpu", "cpu"] = "gpu"

    def __post_init__(self) -> None:
        remedy = "Name the folder of an evaluation."
        require(self.files, "files", "one result or more", "none", remedy)
        if self.verify:
            remedy = "Verify them one by one."
            require(len(self.files) == 1, "files", "one result", len(self.files), remedy)
            for name in ("output", "format", "board"):
                value = getattr(self, name)
                expected = "None with --verify, which writes nothing"
                require(not value, name, expected, value, "Leave it out.")
            return
        for name in SUBJECT:
            value = getattr(self, name)
            fits = value is None or name == "root"
            require(fits, name, "None without --verify", value, "Add --verify, or leave it out.")
        remedy = "Use html for a page, md or tex for tables."
        require_choice("format", self.format or FORMATS[0], FORMATS, remedy=remedy)
        expected, remedy = "None with --board, which writes a page and a table", "Leave it out."
        require(not (self.board and self.format), "format", expected, self.format, remedy)
        self._settle_output()

    def _settle_output(self) -> None:
        """Set output and format, which follow from each other; an output must be new or ours."""
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
            remedy = "Write a page (.html), and print it to PDF in a browser."
        require(ending in (None, form), "output", expected, str(output), remedy)
        for path in (output, output.with_suffix(".md"))[: 1 + self.board]:
            kind, remedy = path_kind("output", path), "Choose another name, or delete it."
            fits = kind is None or (kind == FILE and _is_report(path))
            got = f"{path}, which is no report"
            require(fits, "output", "a new file, or an earlier report", got, remedy)
        set_fields(self, output=output, format=form)


def _is_report(path: Path) -> bool:
    """True for a file that can be read, with one of the marks in its first 512 bytes."""
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(512)
        return any(mark.encode() in head for mark in MARKS.values())
    return False
