"""How the cost of an attack grows with the time steps, model by model."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from art_snn.attacks import Attack
from art_snn.experiments.base import Result
from art_snn.experiments.scaling.figure import Line, draw
from art_snn.experiments.scaling.settings import Protocol
from art_snn.experiments.tables import Part, Table
from art_snn.measuring.workload import INFERENCE

REFERENCE = "stbp"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cell:
    """One model at one number of time steps. A row that failed has a reason and no figure.

    :param model: its name.
    :param steps: time steps T.
    :param seconds: row -> median seconds over all images.
    :param peak: row -> peak bytes of one batch above the loaded model.
    :param failed: row -> why there is no figure.
    """

    model: str
    steps: int
    seconds: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Growth(Result):
    """The measured cells.

    :param protocol: what was measured.
    :param machine: processor or card, threads, versions.
    :param cells: in the order of the protocol.
    """

    protocol: Protocol
    machine: str
    cells: tuple[Cell, ...]
    name: ClassVar[str] = "scaling"
    drawing = staticmethod(draw)

    @property
    def rows(self) -> tuple[str, ...]:
        """What was measured of every network."""
        return (INFERENCE, *self.protocol.rules)

    def seconds(self, model: str, row: str) -> dict[int, float]:
        """T -> median seconds, where there are any, by ascending T."""
        return self._ascending((c.steps, c.seconds.get(row)) for c in self._of(model))

    def peak(self, model: str, row: str) -> dict[int, float]:
        """T -> peak bytes, where there are any, by ascending T."""
        return self._ascending((c.steps, c.peak.get(row)) for c in self._of(model))

    def _of(self, model: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.model == model]

    @staticmethod
    def _ascending(pairs: Iterable[tuple[int, float | None]]) -> dict[int, float]:
        return dict(sorted((steps, value) for steps, value in pairs if value is not None))

    def heading(self) -> list[str]:
        """What was measured, and how, in three lines."""
        p = self.protocol
        size = p.image_size
        height, width = (size, size) if isinstance(size, int) else size
        images = p.data if p.data == "random images" else f"test images of {p.data}"
        attack = Attack(**p.attack)
        return [
            f"{attack} over {p.samples} {images} of {p.channels}x{height}x{width}, "
            f"batch {p.batch_size}; untrained weights, decay {p.decay:g}"
            + (f", width {p.width:g}" if p.width != 1 else ""),
            self.machine,
            f"Seconds over all images, medians of {p.repeats} rounds in turn; peak memory of a "
            "batch above the model" + (", freed memory kept" if p.keep_memory else ""),
        ]

    def parts(self) -> list[Part]:
        """What was measured, its figures, and how they grow with T."""
        growing = [slopes(self)] if len(self.protocol.steps) > 1 else []
        return [self.heading(), cells(self), *growing]


def cells(growth: Growth) -> Table:
    """One row per model and T: seconds, memory, and their ratios to STBP."""
    rules, others = growth.protocol.rules, _compared(growth.protocol)
    titles = (
        *("model", "T", "inference s"),
        *(f"{rule.upper()} s" for rule in rules),
        *(f"{rule.upper()}/{REFERENCE.upper()} time" for rule in others),
        *(f"{rule.upper()} MiB" for rule in rules),
        *(f"{rule.upper()}/{REFERENCE.upper()} memory" for rule in others),
    )
    rows = [(*_figures(growth.protocol, cell), _remark(cell)) for cell in growth.cells]
    if not any(cell.failed for cell in growth.cells):
        return Table(titles, [row[:-1] for row in rows])
    return Table((*titles, "remark"), rows)


def _compared(protocol: Protocol) -> list[str]:
    """The rules that are set against STBP."""
    return [r for r in protocol.rules if REFERENCE in protocol.rules and r != REFERENCE]


def _figures(protocol: Protocol, cell: Cell) -> tuple[str, ...]:
    rules, others = protocol.rules, _compared(protocol)
    seconds, peak = (_or_nan(cell.seconds), _or_nan(cell.peak))
    return (
        *(cell.model, str(cell.steps), _number(seconds(INFERENCE), ".3f")),
        *(_number(seconds(rule), ".3f") for rule in rules),
        *(_number(_ratio(seconds(rule), seconds(REFERENCE)), ".2f") for rule in others),
        *(_number(peak(rule) / MEBIBYTE, ".0f") for rule in rules),
        *(_number(_ratio(peak(rule), peak(REFERENCE)), ".2f") for rule in others),
    )


def _remark(cell: Cell) -> str:
    return "; ".join(f"{_title(row)} failed: {why}" for row, why in cell.failed.items())


def slopes(growth: Growth) -> Table:
    """One row per model and row: the ratio of the largest to the smallest T, and the
    line through all T (:class:`Line`), of time and memory.
    """
    smallest, largest = min(growth.protocol.steps), max(growth.protocol.steps)
    ratio = f"T {largest}/{smallest}"
    titles = (
        *("model", "", f"time, {ratio}", "s at T = 0", "s per step"),
        *(f"memory, {ratio}", "MiB at T = 0", "MiB per step"),
    )
    rows = []
    for model in growth.protocol.models:
        for row in growth.rows:
            figures = []
            for values, unit, form in (
                (growth.seconds(model, row), 1, ".4f"),
                (growth.peak(model, row), MEBIBYTE, ".1f"),
            ):
                line = Line.through(values) or Line(math.nan, math.nan)
                first_last = (values.get(largest, math.nan), values.get(smallest, math.nan))
                figures += [
                    _number(_ratio(*first_last), ".2f"),
                    _number(line.constant / unit, form),
                    _number(line.per_step / unit, form),
                ]
            rows.append((model, _title(row), *figures))
    return Table(titles, rows)


def _title(row: str) -> str:
    return row if row == INFERENCE else row.upper()


def _or_nan(figures: dict[str, float] | dict[str, int]) -> Callable[[str], float]:
    return lambda row: figures.get(row, math.nan)


def _ratio(value: float, to: float) -> float:
    return value / to if to else math.nan


def _number(value: float, form: str) -> str:
    text = format(value, form)
    if math.isnan(value):
        return "-"
    # Least squares through equal figures leave a slope that rounds to minus zero.
    return text if float(text) else text.lstrip("-")
