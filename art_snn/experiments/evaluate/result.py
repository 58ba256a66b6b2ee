from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from art_snn.experiments.base import Result
from art_snn.experiments.evaluation import Evaluation, ReportItem, render_page
from art_snn.experiments.evaluation.page import PAGE
from art_snn.experiments.evaluation.rows import sections
from art_snn.experiments.resume import as_json
from art_snn.experiments.tables import Form, Part, render_narrow
from art_snn.files import write_text


@dataclass(frozen=True)
class Evaluated(Result):
    """The result of art-snn evaluate: tables, a picture and a page of an evaluation.

    :param others: names of files that the evaluation has written before."""

    evaluation: Evaluation
    others: tuple[str, ...] = ()
    name: ClassVar[str] = "evaluation"

    def parts(self) -> list[Part]:
        """The verdict at each budget, what casts doubt on it, and a row per attack and budget."""
        return sections(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, for JSON."""
        content: dict[str, Any] = as_json(self.evaluation)
        return content

    @property
    def files(self) -> list[str]:
        """Names of all files of the evaluation, those that were written before last."""
        return [*super().files, PAGE, *self.others]

    def render(self, form: Form = "text") -> str:
        """Paragraphs and tables as one text, that for a terminal in lines of 80 characters."""
        return render_narrow(self.parts()) if form == "text" else super().render(form)

    def write(self, folder: Path, *pictures: Any) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder, *pictures)
        item = ReportItem.of("", self.evaluation, folder)
        write_text(folder / PAGE, render_page([item]))
