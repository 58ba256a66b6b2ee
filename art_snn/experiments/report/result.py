from collections.abc import Sequence
from dataclasses import dataclass

from art_snn.experiments.evaluation import Opened, page
from art_snn.experiments.evaluation.side import parts
from art_snn.experiments.tables import Form, Part, told

FORMS: dict[str, Form] = {"md": "markdown", "tex": "latex"}


@dataclass(frozen=True)
class Report:
    """One evaluation, or several side by side.

    :param every: the evaluations."""

    every: Sequence[Opened]

    def parts(self) -> list[Part]:
        """What they have in common, and what each of them found."""
        together = parts(self.every) if len(self.every) > 1 else []
        return [*together, *(part for one in self.every for part in one.evaluation.parts())]

    @property
    def files(self) -> list[str]:
        """Nothing but the output itself."""
        return []

    def told(self) -> str:
        """Sentences and tables for the terminal."""
        return told(self.parts())

    def text(self, suffix: str) -> str:
        """What is written, by the format of the file."""
        return told(self.parts(), FORMS[suffix]) if suffix in FORMS else page(self.every)
