from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from art_snn.app.base import Result
from art_snn.app.report.evaluation import Evaluation, ReportItem
from art_snn.app.report.page import PAGE, render_page
from art_snn.app.report.tables import evaluation_parts
from art_snn.app.report.verdict import count_words, describe_budgets, evaluation_content
from art_snn.app.tables import Form, Notes, Part, render_narrow
from art_snn.files import write_text
from art_snn.zoo.entry import Standard


@dataclass(frozen=True)
class Evaluated(Result):
    """The result of art-snn evaluate: tables, a picture and a page of an evaluation.

    :param others: names of files that the evaluation has written before.
    :param records: of the network in the zoo, to compare with on the terminal."""

    evaluation: Evaluation
    others: tuple[str, ...] = ()
    records: tuple[Standard, ...] = ()
    name: ClassVar[str] = "evaluation"

    def parts(self) -> list[Part]:
        """The verdict at each budget, what casts doubt on it, and a row per attack and budget."""
        return evaluation_parts(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, for JSON."""
        return evaluation_content(self.evaluation)

    @property
    def files(self) -> list[str]:
        """Names of all files of the evaluation, those that were written before last."""
        return [*super().files, PAGE, *self.others]

    def render(self, form: Form = "text") -> str:
        """Paragraphs and tables as one text, that for a terminal in lines of 80 characters."""
        if form != "text":
            return super().render(form)
        lines = [_words(record) for record in self.records if self._concerns(record)]
        return render_narrow([*self.parts(), *([Notes(lines)] if lines else [])])

    def _concerns(self, record: Standard) -> bool:
        budgets = {trial.eps for trial in self.evaluation.trials}
        return record.norm == self.evaluation.norm and record.eps in budgets

    def write(self, folder: Path, *pictures: Any) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder, *pictures)
        item = ReportItem.of("", self.evaluation, folder)
        write_text(folder / PAGE, render_page([item]))


def _words(record: Standard) -> str:
    """What was left of the network in the zoo."""
    share, at = record.robust, describe_budgets(record.norm, record.eps)
    left = f"{'at most ' if record.at_most else ''}{100 * share.value:.1f} % ({share.count})"
    samples = f"the first {count_words(share.total, 'test sample')}"
    return f"The zoo's record {at}: standard leaves {left} of {samples}."
