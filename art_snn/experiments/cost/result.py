import math
from dataclasses import dataclass
from typing import Any, ClassVar

from art_snn.experiments.base import Result
from art_snn.experiments.cost.figure import draw
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.measuring.workload import INFERENCE, STOCK

REFERENCE = "stbp"


@dataclass(frozen=True)
class Cost(Result):
    """Median seconds of each row over some rounds, and its peak bytes above the loaded model.

    The workload tells what was measured, for JSON; the machine is told in words."""

    title: str
    workload: dict[str, Any]
    machine: str
    repeats: int
    seconds: dict[str, float]
    peak: dict[str, int]
    name: ClassVar[str] = "cost"
    drawing = staticmethod(draw)

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
        titles = ("one input gradient", "seconds", "x inference", "peak MiB", "x inference")
        rows = [
            (
                words(row),
                f"{self.seconds[row]:.3f}",
                f"{self.ratio(row):.2f}",
                f"{self.peak[row] / 2**20:.0f}",
                f"{self.memory_ratio(row):.2f}",
            )
            for row in self.seconds
        ]
        rules = self.workload["rules"]
        notes = [
            f"A gradient by {rule.upper()} takes {self.ratio(rule) / self.ratio(REFERENCE):.2f} of "
            "the time of one by STBP."
            for rule in rules
            if REFERENCE in rules and rule != REFERENCE
        ]
        return [heading, Table(titles, rows), *([Notes(notes)] if notes else [])]


def words(row: str) -> str:
    """What a row measures."""
    if row == INFERENCE:
        return "inference, no gradient"
    stock = row.startswith(STOCK)
    name = row.removeprefix(STOCK).upper()
    return f"ART's stock classifier, {name}" if stock else f"gradient by {name}"
