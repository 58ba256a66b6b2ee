import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from art_snn.app.attack import Attack
from art_snn.app.base import Result
from art_snn.app.resume import Positive
from art_snn.app.scaling.settings import Protocol
from art_snn.app.tables import Part, Table
from art_snn.measuring import workload

INFERENCE, REFERENCE = str(workload.INFERENCE), "stbp"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cell:
    """One model at T time steps: row -> median seconds over all images, peak bytes of one batch.

    A row that failed has a reason and no figure."""

    model: str
    steps: int
    seconds: dict[str, Positive] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def whole(self, rows: Iterable[str]) -> bool:
        """Whether every row has its figures."""
        return not self.failed and all(row in self.seconds and row in self.peak for row in rows)


@dataclass(frozen=True)
class Trend:
    """A straight line through figures against T by least squares: value at T = 0, and slope."""

    constant: float
    per_step: float

    @classmethod
    def through(cls, figures: Mapping[int, float]) -> "Trend | None":
        """The line through T -> figure; None where there are fewer than two."""
        if len(figures) < 2:
            return None
        steps = np.array(list(figures), dtype=float)
        values = np.array(list(figures.values()), dtype=float)
        centred = steps - steps.mean()
        slope = float(centred @ values / (centred @ centred))
        return cls(float(values.mean() - slope * steps.mean()), slope)


@dataclass(frozen=True)
class Growth(Result):
    """The measured cells in the order of the protocol, and the machine in words."""

    protocol: Protocol
    machine: str
    cells: tuple[Cell, ...]
    name: ClassVar[str] = "scaling"

    @property
    def rows(self) -> tuple[str, ...]:
        """What was measured of every network."""
        return (INFERENCE, *self.protocol.rules)

    def seconds(self, model: str, row: str) -> dict[int, float]:
        """T -> median seconds, where there are any, by ascending T."""
        cells = [cell for cell in self.cells if cell.model == model and row in cell.seconds]
        return dict(sorted((cell.steps, cell.seconds[row]) for cell in cells))

    def peak(self, model: str, row: str) -> dict[int, float]:
        """T -> peak bytes, where there are any, by ascending T."""
        cells = [cell for cell in self.cells if cell.model == model and row in cell.peak]
        return dict(sorted((cell.steps, cell.peak[row]) for cell in cells))

    def heading(self) -> list[str]:
        """What was measured, and how, in three lines."""
        p = self.protocol
        sides = [p.image_size] * 2 if isinstance(p.image_size, int) else p.image_size
        size = "x".join(map(str, (p.channels, *sides)))
        images = p.data if p.data == "random images" else f"test images of {p.data}"
        what = f"{Attack(**p.attack)} over {p.samples} {images} of {size}, batch {p.batch_size}"
        width = f", width {p.width:g}" if p.width not in (None, 1) else ""
        built = "weights as built" if p.decay is None else f"untrained weights, decay {p.decay:g}"
        how = f"Seconds over all images, medians of {p.repeats} rounds in turn; peak memory of a "
        how += "batch above the model" + (", freed memory kept" if p.keep_memory else "")
        return [f"{what}; {built}{width}", self.machine, how]

    def parts(self) -> list[Part]:
        """What was measured, its figures, and how they grow with T."""
        growing = [slopes(self)] if len(self.protocol.steps) > 1 else []
        return [self.heading(), cells(self), *growing]


def cells(growth: Growth) -> Table:
    """One row per model and T: seconds, memory, and their ratios to STBP."""
    rules, name = growth.protocol.rules, REFERENCE.upper()
    others = [rule for rule in rules if REFERENCE in rules and rule != REFERENCE]
    titles = ["model", "T", "inference s", *(f"{rule.upper()} s" for rule in rules)]
    titles += [f"{rule.upper()}/{name} time" for rule in others]
    titles += [f"{rule.upper()} MiB" for rule in rules]
    titles += [f"{rule.upper()}/{name} memory" for rule in others]
    failed = any(cell.failed for cell in growth.cells)
    rows = [_cell(cell, rules, others)[: None if failed else -1] for cell in growth.cells]
    return Table([*titles, *(["remark"] if failed else [])], rows)


def _cell(cell: Cell, rules: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    seconds = {row: cell.seconds.get(row, math.nan) for row in (INFERENCE, REFERENCE, *rules)}
    peak = {row: cell.peak.get(row, math.nan) / MEBIBYTE for row in (REFERENCE, *rules)}
    row = [cell.model, str(cell.steps), _number(seconds[INFERENCE], ".3f")]
    for values, form in ((seconds, ".3f"), (peak, ".0f")):
        row += [_number(values[rule], form) for rule in rules]
        row += [_number(_ratio(values[rule], values[REFERENCE]), ".2f") for rule in others]
    why = [f"{_title(name)} failed: {reason}" for name, reason in cell.failed.items()]
    return (*row, "; ".join(why))


def slopes(growth: Growth) -> Table:
    """Per model and row, of time and memory: the ratio of the ends of T, and the :class:`Trend`."""
    smallest, largest = min(growth.protocol.steps), max(growth.protocol.steps)
    ratio = f"T {largest}/{smallest}"
    titles = ["model", "", f"time, {ratio}", "s at T = 0", "s per step"]
    titles += [f"memory, {ratio}", "MiB at T = 0", "MiB per step"]
    rows = []
    for model in growth.protocol.models:
        for row in growth.rows:
            cells = [model, _title(row)]
            times, peaks = growth.seconds(model, row), growth.peak(model, row)
            for values, unit, form in ((times, 1, ".4f"), (peaks, MEBIBYTE, ".1f")):
                line = Trend.through(values) or Trend(math.nan, math.nan)
                ends = values.get(largest, math.nan), values.get(smallest, math.nan)
                cells.append(_number(_ratio(*ends), ".2f"))
                cells += [_number(v / unit, form) for v in (line.constant, line.per_step)]
            rows.append(tuple(cells))
    return Table(titles, rows)


def _title(row: str) -> str:
    return row if row == INFERENCE else row.upper()


def _ratio(value: float, to: float) -> float:
    return value / to if to else math.nan


def _number(value: float, form: str) -> str:
    text = format(value, form)
    if math.isnan(value):
        return "-"
    # Least squares through equal figures leave a slope that rounds to minus zero.
    return text if float(text) else text.lstrip("-")
