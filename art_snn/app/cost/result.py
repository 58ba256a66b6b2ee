import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from art_snn.app.base import Result
from art_snn.app.resume import converter
from art_snn.app.tables import Notes, Part, Table
from art_snn.measuring.workload import INFERENCE, CostRow

REFERENCE = CostRow("rule", "stbp")

converter.register_unstructure_hook(CostRow, str)
converter.register_structure_hook(CostRow, lambda text, _: CostRow.read(text))


@dataclass(frozen=True)
class Cost(Result):
    """Median seconds of each row over some rounds, and its peak bytes above the loaded model.

    The remarks are sentences that the reader of the rows should know."""

    title: str
    workload: dict[str, Any]
    machine: str
    repeats: int
    seconds: dict[CostRow, float]
    peak: dict[CostRow, int]
    remarks: list[str] = field(default_factory=list)
    name: ClassVar[str] = "cost"

    def ratio(self, row: CostRow) -> float:
        """Time of the row in inferences."""
        return self.seconds[row] / self.seconds[INFERENCE]

    def memory_ratio(self, row: CostRow) -> float:
        """Peak memory over the model, in inferences; NaN where inference was too small to see."""
        return self.peak[row] / (self.peak[INFERENCE] or math.nan)

    def parts(self) -> list[Part]:
        """Time, memory and their ratios to inference, a row each."""
        kept = "; freed memory kept" if self.workload["keep_memory"] else ""
        how = f"median of {self.repeats} rounds in turn; memory above the model{kept}"
        what = "one training step" if self.training else "one input gradient"
        titles = (what, "seconds", "x inference", "peak MiB", "x inference")
        rows = []
        for row, seconds in self.seconds.items():
            time = f"{seconds:.3f}", f"{self.ratio(row):.2f}"
            memory = f"{self.peak[row] / 2**20:.0f}", f"{self.memory_ratio(row):.2f}"
            rows.append((self.words(row), *time, *memory))
        notes = [*self._compared(), *self.remarks]
        table: list[Part] = [(self.title, f"{self.machine}; {how}"), Table(titles, rows)]
        return [*table, *([Notes(notes)] if notes else [])]

    def _compared(self) -> list[str]:
        """Each other gradient of our classifier against that of STBP, where that is a row."""
        return [
            f"A {self._step} by {row_label(row)} takes "
            f"{self.ratio(row) / self.ratio(REFERENCE):.2f} of the time of one by STBP."
            for row in self.seconds
            if REFERENCE in self.seconds and not row.stock and row not in (INFERENCE, REFERENCE)
        ]

    @property
    def training(self) -> bool:
        """Whether a row is one training step, and not one gradient."""
        return bool(self.workload["training"])

    @property
    def _step(self) -> str:
        return "training step" if self.training else "gradient"

    def words(self, row: CostRow) -> str:
        """What a row measures."""
        if row == INFERENCE:
            return "inference, no gradient"
        if row.stock:
            return f"ART's stock classifier, {row_label(row)}"
        if row.kind == "peer":
            return f"{row_label(row)}, its own gradient"
        return f"{self._step} by {row_label(row)}"


def row_label(row: CostRow) -> str:
    """The rule of a row as papers write it, or the framework and its version."""
    return row.name.upper() if row.kind == "rule" else row.name
