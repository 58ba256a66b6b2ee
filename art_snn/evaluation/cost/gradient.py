"""What one input gradient costs, against inference without a gradient."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tqdm.auto import tqdm

from art_snn.evaluation.cost.machine import describe_machine
from art_snn.evaluation.cost.measuring import peak_of, seconds_of
from art_snn.evaluation.cost.process import in_fresh_process
from art_snn.evaluation.cost.workload import Workload


@dataclass(frozen=True)
class Cost:
    """Median time and peak memory of each row.

    :param workload: what was measured.
    :param machine: processor or card, threads, versions.
    :param repeats: rounds behind each median.
    :param seconds: row -> median seconds.
    :param peak: row -> peak bytes above the loaded model.
    """

    workload: Workload
    machine: str
    repeats: int
    seconds: dict[str, float]
    peak: dict[str, int]

    def ratio(self, row: str) -> float:
        """Time of the row in inferences."""
        return self.seconds[row] / self.seconds["inference"]

    def memory_ratio(self, row: str) -> float:
        """Peak memory over the model, in inferences."""
        return self.peak[row] / self.peak["inference"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def table(self) -> str:
        """The table to print: time, ratio, memory, ratio."""
        w = self.workload
        lines = [
            f"One input gradient: {w.model}, T = {w.steps}, batch {w.batch}, "
            f"{w.channels}x{w.image_size}x{w.image_size}, decay {w.decay:g}",
            f"{self.machine}; median of {self.repeats} rounds in turn; memory above the model"
            + ("; freed memory kept" if w.keep_memory else ""),
            "",
            f"{'':30}{'seconds':>9}{'x inference':>13}{'peak MiB':>11}{'x inference':>13}",
        ]
        for row, title in self.workload.rows().items():
            lines.append(
                f"{title:30}{self.seconds[row]:9.3f}{self.ratio(row):13.2f}"
                f"{self.peak[row] / 2**20:11.0f}{self.memory_ratio(row):13.2f}"
            )
        lines.append("")
        for rule in w.rules:
            if "stbp" in w.rules and rule != "stbp":
                relative = self.seconds[rule] / self.seconds["stbp"]
                words = f"A gradient by {rule.upper()} takes {relative:.2f} of the time"
                lines.append(f"{words} of one by STBP.")
        return "\n".join(lines)


def measure(workload: Workload, repeats: int = 7) -> Cost:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    With `keep_memory` the setting stays with this process afterwards.

    :raises ValueError: for repeats < 1.
    :raises ProcessFailed: when a process ends without a result.
    """
    seconds = seconds_of(workload, workload.rows(), repeats)
    peak = {row: _peak(row, workload) for row in tqdm(workload.rows(), desc="Peak memory")}
    return Cost(workload, describe_machine(workload.device), repeats, seconds, peak)


def _peak(row: str, workload: Workload) -> int:
    if workload.device == "cuda":
        return peak_of(workload, row)
    return int(in_fresh_process(peak_of, workload, row))
