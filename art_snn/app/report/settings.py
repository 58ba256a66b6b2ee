"""Settings of art-snn report: plain data, which import no torch."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from art_snn.app.settings import Flag, Open
from art_snn.checks import FILE, path_kind, require, set_fields

MARKS = {
    "html": '<meta name="generator" content="art-snn report">',
    "md": "<!-- written by art-snn report -->",
    "tex": "% written by art-snn report",
}
"""A mark in the first lines of a report, by which it is recognised; by the ending of its file."""
SUBJECT = ("model", "checkpoint", "steps", "readout", "data", "value_range")
"""Options that name the network and the data of a record that is verified."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write a page of one evaluation, or of several side by side on the same samples.

    With --board it is a table of records, by data set and budget. With --verify nothing is written:
    an evaluation is checked on samples that are drawn; exit status 3 says that a check failed.

    :param files: folders of one evaluation or more, or their evaluation.json; with board also
        folders above them.
    :param output: file that is written: .html for one page that shows everything, .md or .tex for
        sentences and tables [report.html; with board leaderboard.html, and next to it a .md file of
        the same name].
    :param board: write the table of records, as a page to sort and filter, and in Markdown.
    :param verify: check that weights, samples and predictions repeat, that the adversarials in
        first.npz fool the network, and that samples that are said to stand or to be certified do,
        by PGD-7, a stage of the plan, bounds and the exact search. A pass does not mean that the
        number is right.
    :param model: of the network to verify: zoo:NAME; or a function or a model of another framework:
        file.py:function or package.module:function [zoo:NAME, by the name in the evaluation].
    :param checkpoint: weights of the network to verify.
    :param steps: time steps T of that network [those of its training].
    :param readout: of a model of another framework: mean or sum over time, or the mean of the
        spikes or of the potential of one that returns both [mean].
    :param data: samples to verify with: a name or FOLDER/NAME, a .npz file, or a folder of pictures
        [those that the evaluation names; of a network of the zoo its own].
    :param value_range: LOW,HIGH: values that samples of a .npz file or events may have.
    :param device: gpu, which is cpu where there is none; or cpu."""

    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FOLDER|FILE ...", help_behavior_hint="")
    ]
    output: Open[Path] = None
    board: Flag = False
    verify: Flag = False
    model: Annotated[Open[str], arg(metavar="zoo:NAME|FILE.py:FUNCTION")] = None
    checkpoint: Open[Path] = None
    steps: Open[int] = None
    readout: Open[Literal["mean", "sum", "spikes", "potential"]] = None
    data: Annotated[Open[str], arg(metavar="NAME|FILE|FOLDER")] = None
    value_range: Open[tuple[float, float]] = None
    device: Literal["gpu", "cpu"] = "gpu"

    def __post_init__(self) -> None:
        remedy = "Name the folder of an evaluation."
        require(self.files, "files", "one result or more", "none", remedy)
        if self.verify:
            remedy = "Verify them one by one."
            require(len(self.files) == 1, "files", "one result", len(self.files), remedy)
            for name in ("output", "board"):
                value = getattr(self, name)
                expected = "None with --verify, which writes nothing"
                require(not value, name, expected, value, "Leave it out.")
            return
        for name in SUBJECT:
            value, remedy = getattr(self, name), "Add --verify, or leave it out."
            require(value is None, name, "None without --verify", value, remedy)
        output = self.output or Path("leaderboard.html" if self.board else "report.html")
        endings = [".html"] if self.board else [f".{ending}" for ending in MARKS]
        expected = f"a file that ends in {', '.join(endings)}"
        remedy = "The ending decides the form."
        require(output.suffix in endings, "output", expected, str(output), remedy)
        for path in (output, output.with_suffix(".md"))[: 1 + self.board]:
            kind, remedy = path_kind("output", path), "Choose another name, or delete it."
            fits = kind is None or (kind == FILE and _is_report(path))
            got = f"{path}, which is no report"
            require(fits, "output", "a new file, or an earlier report", got, remedy)
        set_fields(self, output=output)


def _is_report(path: Path) -> bool:
    """True for a file that can be read, with one of the marks in its first 512 bytes."""
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(512)
        return any(mark.encode() in head for mark in MARKS.values())
    return False
