from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from art_snn.experiments.base import Result
from art_snn.experiments.evaluation import Evaluation, ReportItem, render_page
from art_snn.experiments.evaluation.page import PAGE
from art_snn.experiments.evaluation.rows import sections
from art_snn.experiments.evaluation.verdict import summary
from art_snn.experiments.resume import as_json
from art_snn.experiments.tables import Part
from art_snn.files import write_text


@dataclass(frozen=True)
class Evaluated(Result):
    """The result of art-snn evaluate: tables, a picture and a page of an evaluation."""

    evaluation: Evaluation
    name: ClassVar[str] = "evaluation"

    def parts(self) -> list[Part]:
        """The verdict at each budget, what casts doubt on it, and a row per attack and budget."""
        return sections(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, for JSON."""
        content: dict[str, Any] = as_json(self.evaluation)
        return {"summary": summary(self.evaluation), **content}

    @property
    def files(self) -> list[str]:
        """Names of the files that :meth:`write` writes, the page among them."""
        return [*super().files, PAGE]

    def write(self, folder: Path, *pictures: Any) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder, *pictures)
        item = ReportItem.of("", self.evaluation, folder)
        write_text(folder / PAGE, render_page([item]))
