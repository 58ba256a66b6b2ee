import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from art_snn.experiments.base import Result
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.measuring.workload import INFERENCE, PEER, STOCK

REFERENCE = "stbp"


@dataclass(frozen=True)
class Cost(Result):
    """Median seconds of each row over some rounds, and its peak bytes above the loaded model.

    The workload tells what was measured, for JSON; the machine is told in words. Remarks are
    sentences that the reader of the rows should know."""

    title: str
    workload: dict[str, Any]
    machine: str
    repeats: int
    seconds: dict[str, float]
    peak: dict[str, int]
    remarks: list[str] = field(default_factory=list)
    name: ClassVar[str] = "cost"

    def ratio(self, row: str) -> float:
        """Time of the row in inferences."""
        return self.seconds[row] / self.seconds[INFERENCE]

    def memory_ratio(self, row: str) -> float:
        """Peak memory over the model, in inferences; NaN where inference was too small to see."""
        return self.peak[row] / (self.peak[INFERENCE] or math.nan)

    def parts(self) -> list[Part]:
        """Time, memory and their ratios to inference, a row each."""
        kept = "; freed memory kept" if self.workload["keep_memory"] else ""
        heading = (
            self.title,
            f"{self.machine}; median of {self.repeats} rounds in turn; memory above the model"
            + kept,
        )
        what = "one training step" if self.training else "one input gradient"
        titles = (what, "seconds", "x inference", "peak MiB", "x inference")
        rows = [
            (
                self.words(row),
                f"{self.seconds[row]:.3f}",
                f"{self.ratio(row):.2f}",
                f"{self.peak[row] / 2**20:.0f}",
                f"{self.memory_ratio(row):.2f}",
            )
            for row in self.seconds
        ]
        notes = [*self._compared(), *self.remarks]
        return [heading, Table(titles, rows), *([Notes(notes)] if notes else [])]

    def _compared(self) -> list[str]:
        """Every other gradient of its own against the one by STBP, where that is a row."""
        if REFERENCE not in self.seconds:
            return []
        rows = [
            row
            for row in self.seconds
            if row not in (INFERENCE, REFERENCE) and not row.startswith(STOCK)
        ]
        return [
            f"A {self._step} by {row_label(row)} takes "
            f"{self.ratio(row) / self.ratio(REFERENCE):.2f} of the time of one by STBP."
            for row in rows
        ]

    @property
    def training(self) -> bool:
        """Whether it is of one training step; results of earlier versions are of gradients."""
        return bool(self.workload.get("training"))

    @property
    def _step(self) -> str:
        return "training step" if self.training else "gradient"

    def words(self, row: str) -> str:
        """What a row measures."""
        if row == INFERENCE:
            return "inference, no gradient"
        if row.startswith(STOCK):
            return f"ART's stock classifier, {row_label(row.removeprefix(STOCK))}"
        if row.startswith(PEER):
            return f"{row_label(row)}, its own gradient"
        return f"{self._step} by {row_label(row)}"


def row_label(row: str) -> str:
    """The rule of a row as papers write it, or the framework and its version."""
    return row.removeprefix(PEER) if row.startswith(PEER) else row.upper()
