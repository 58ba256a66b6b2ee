"""The growth of the cost as a table, plain or in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable

from art_snn.evaluation.cost.growth import Cell, Growth, Line
from art_snn.evaluation.cost.table_s2 import INFERENCE, RANDOM, TableS2

REFERENCE = "stbp"
MEBIBYTE = 2**20
Rows = list[tuple[str, ...]]


def cells(growth: Growth) -> Rows:
    """Titles, then one row per model and T: seconds, memory, and their ratios to STBP."""
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
        return [titles, *(row[:-1] for row in rows)]
    return [(*titles, "remark"), *rows]


def _compared(protocol: TableS2) -> list[str]:
    """The rules that are set against STBP."""
    return [r for r in protocol.rules if REFERENCE in protocol.rules and r != REFERENCE]


def _figures(protocol: TableS2, cell: Cell) -> tuple[str, ...]:
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


def slopes(growth: Growth) -> Rows:
    """Titles, then one row per model and row: the ratio of the largest to the smallest T, and the
    line through all T (:class:`~art_snn.evaluation.cost.Line`), of time and memory.
    """
    smallest, largest = min(growth.protocol.steps), max(growth.protocol.steps)
    ratio = f"T {largest}/{smallest}"
    titles = (
        *("model", "", f"time, {ratio}", "s at T = 0", "s per step"),
        *(f"memory, {ratio}", "MiB at T = 0", "MiB per step"),
    )
    rows = []
    for model in growth.protocol.models:
        for row in growth.protocol.rows:
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
    return [titles, *rows]


def heading(growth: Growth) -> list[str]:
    """What was measured, and how, in three lines."""
    p = growth.protocol
    size = p.image_size
    height, width = (size, size) if isinstance(size, int) else size
    images = p.data if p.data == RANDOM else f"test images of {p.data}"
    return [
        f"{p.attack} over {p.samples} {images} of {p.channels}x{height}x{width}, batch {p.batch}; "
        f"untrained weights, decay {p.decay:g}" + (f", width {p.width:g}" if p.width != 1 else ""),
        growth.machine,
        f"Seconds over all images, medians of {p.repeats} rounds in turn; peak memory of a batch "
        "above the model" + (", freed memory kept" if p.keep_memory else ""),
    ]


def table(growth: Growth) -> str:
    """Heading, cells and slopes as plain text."""
    parts = ["\n".join(heading(growth)), _text(cells(growth))]
    if len(growth.protocol.steps) > 1:
        parts.append(_text(slopes(growth)))
    return "\n\n".join(parts)


def markdown(growth: Growth) -> str:
    """Heading, cells and slopes in Markdown."""
    parts = [". ".join(heading(growth)) + ".", _pipes(cells(growth))]
    if len(growth.protocol.steps) > 1:
        parts.append(_pipes(slopes(growth)))
    return "\n\n".join(parts) + "\n"


def _text(rows: Rows) -> str:
    """Columns of figures to the right; the first one, those without a title and remarks not."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = ["<" if i == 0 or t in ("", "remark") else ">" for i, t in enumerate(rows[0])]
    forms = [f"{sign}{width}" for sign, width in zip(signs, widths, strict=True)]
    lines = ("  ".join(map(format, row, forms)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _pipes(rows: Rows) -> str:
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


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
