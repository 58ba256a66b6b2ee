from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from art_snn.app.base import Result
from art_snn.app.tables import Part, Table
from art_snn.metrics import Share
from art_snn.training import Epoch, Recipe, best


@dataclass(frozen=True)
class Fitted(Result):
    """A trained network: its epochs, and the test samples that it classifies correctly at the end.

    The notes are what the checkpoint says of the weights."""

    history: tuple[Epoch, ...]
    test: Share
    title: str = ""
    against: str = ""
    recipe: Recipe = field(default_factory=Recipe)
    notes: Mapping[str, Any] = field(default_factory=dict)
    name: ClassVar[str] = "training"

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept."""
        return best(self.history)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        number = None if self.best is None else self.best.number
        summary = {"test_accuracy": self.test.as_dict(), "best_epoch": number}
        return dict(self.notes) | summary | {"history": [asdict(epoch) for epoch in self.history]}

    def parts(self) -> list[Part]:
        """The recipe, the epochs, the best of them and the test accuracy."""
        best, rows = self.best, []
        for epoch in self.history:
            mark = "best" if epoch is best else ""
            rows.append((str(epoch.number), f"{epoch.loss:.4f}", _percent(epoch.validation), mark))
        heading = [str(self.recipe), self.title]
        table = Table(("epoch", "training loss", "validation", ""), rows)
        accuracy = f"Test accuracy: {self.test} of {self.test.total} samples."
        if best is None:
            return [*heading, table, accuracy]
        under = f" under {self.against}" if self.against else ""
        share = f"{_percent(best.validation)} of the validation samples{under}"
        return [*heading, table, f"Best epoch {best.number} of {len(rows)}: {share}.", accuracy]

    @property
    def files(self) -> list[str]:
        """Names of the files that are written."""
        return ["network.safetensors", *super().files]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
