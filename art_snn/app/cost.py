"""The cost of one input gradient, training step or attack against inference without a gradient.

The rows are those of table S2 of Bu et al. (CVPR 2023): plain inference, the gradient with every
rule through our classifier, and through ART's stock one. Over several time steps they show how the
cost grows with T."""

import math
import textwrap
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS, GREY, titled
from art_snn.app.load import (
    INFERENCE,
    STOCK,
    TRAINED_BY,
    build_network,
    choose_rules,
    draw_samples,
    make_call,
    measure_row_peak,
    resolve_architecture,
)
from art_snn.app.machine import describe_machine, measure_medians, torch_device
from art_snn.app.results import Result, working
from art_snn.app.settings import Cost
from art_snn.app.tables import Notes, Part, Table
from art_snn.attacks import parse_stage
from art_snn.checks import require, require_distinct
from art_snn.encoders import Frames
from art_snn.gradients import check_applicable
from art_snn.progress import progress_over
from art_snn.training.recipe import compute_dtype

_STBP = "stbp"
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class _Cell:
    """One model at T time steps: row -> median seconds, and peak bytes above the loaded model.

    A row whose process failed has no peak."""

    model: str
    steps: int | None
    seconds: Mapping[str, float]
    peak: Mapping[str, float]

    def time_ratio(self, row: str, to: str = INFERENCE) -> float:
        """Time of a row, in times of another."""
        return self.seconds.get(row, math.nan) / self.seconds.get(to, math.nan)

    def memory_ratio(self, row: str, to: str = INFERENCE) -> float:
        """Peak memory of a row, in that of another; NaN where that was too small to see."""
        return self.peak.get(row, math.nan) / (self.peak.get(to) or math.nan)


@dataclass(frozen=True)
class Costs(Result):
    """The measured cells; the remarks are sentences that their reader should know."""

    title: str
    what: str
    settings: Mapping[str, Any]
    machine: str
    cells: tuple[_Cell, ...]
    remarks: list[str] = field(default_factory=list)
    name: ClassVar[str] = "cost"

    @property
    def rows(self) -> list[str]:
        """The measured rows."""
        return list(self.cells[0].seconds)

    def parts(self) -> list[Part]:
        """Time, memory and their ratios to inference, a row each; of several cells, growth."""
        repeats = self.settings["repeats"]
        how = f"median of {repeats} rounds in turn; memory above the model"
        heading = (self.title, f"{self.machine}; {how}")
        notes = [Notes(self.remarks)] if self.remarks else []
        if len(self.cells) > 1:
            return [heading, self._growth_table(), *notes]
        cell, rows = self.cells[0], []
        for row in self.rows:
            time = f"{cell.seconds[row]:.3f}", f"{cell.time_ratio(row):.2f}"
            peak = _number(cell.peak.get(row, math.nan) / _MEBIBYTE, ".0f")
            memory = peak, _number(cell.memory_ratio(row), ".2f")
            rows.append((self.label(row), *time, *memory))
        titles = (f"one {self.what}", "seconds", "x inference", "peak MiB", "x inference")
        return [heading, Table(titles, rows), *notes]

    def label(self, row: str) -> str:
        """What a row measures, in words."""
        if row == INFERENCE:
            return "inference, no gradient"
        if row.startswith(STOCK):
            return f"ART's stock classifier, {_upper(row.removeprefix(STOCK))}"
        return f"{self.what} by {_upper(row)}"

    def _growth_table(self) -> Table:
        """One row per cell: seconds, memory, and their ratios to STBP."""
        rules = self.rows[1:]
        others = [rule for rule in rules if _STBP in rules and rule != _STBP]
        titles = ["model", "T", "inference s", *(f"{_upper(rule)} s" for rule in rules)]
        titles += [f"{_upper(rule)}/STBP time" for rule in others]
        titles += [f"{_upper(rule)} MiB" for rule in rules]
        titles += [f"{_upper(rule)}/STBP memory" for rule in others]
        rows = []
        for cell in self.cells:
            row = [cell.model, "" if cell.steps is None else str(cell.steps)]
            row += [f"{cell.seconds[name]:.3f}" for name in self.rows]
            row += [_number(cell.time_ratio(rule, _STBP), ".2f") for rule in others]
            row += [_number(cell.peak.get(rule, math.nan) / _MEBIBYTE, ".0f") for rule in rules]
            row += [_number(cell.memory_ratio(rule, _STBP), ".2f") for rule in others]
            rows.append(row)
        return Table(titles, rows)

    def draw(self) -> Figure:
        """Time and peak memory: of one cell in inferences, of several against the time steps."""
        if len(self.cells) > 1:
            return self._draw_growth()
        (cell,), rows = self.cells, self.rows
        figure = Figure(figsize=(9, 1.4 + 0.32 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, rows, [cell.time_ratio(row) for row in rows], "time [inferences]")
        _bars(right, rows, [cell.memory_ratio(row) for row in rows], "peak memory [inferences]")
        left.invert_yaxis()  # Both share the axis.
        titled(figure, self.title, self.machine, fontsize="small")
        return figure

    def _draw_growth(self) -> Figure:
        """Time above, memory below against T, one column per model."""
        models = list(dict.fromkeys(cell.model for cell in self.cells))
        figure = Figure(figsize=(1 + 3.4 * max(2, len(models)), 6.4), layout="constrained")
        axes = figure.subplots(2, len(models), sharex=True, squeeze=False)
        for (above, below), model in zip(axes.T, models, strict=True):
            cells = sorted((c for c in self.cells if c.model == model), key=lambda c: c.steps or 0)
            steps = [cell.steps or 0 for cell in cells]
            for row in self.rows:
                label = row if row == INFERENCE else self.label(row)
                how: dict[str, Any] = {"color": COLOURS.get(row), "ms": 4, "label": label}
                above.plot(steps, [cell.seconds[row] for cell in cells], "-o", **how)
                # Without a peak there is no point.
                peaks = [cell.peak.get(row, math.nan) / _MEBIBYTE for cell in cells]
                below.plot(steps, peaks, "-o", **how)
            for ax in (above, below):
                ax.set(xlim=(0, None), ylim=(0, None))
                ax.grid(alpha=0.3)
            above.set(title=textwrap.fill(model, 32), ylabel="time [s]")
            below.set(xlabel="time steps T", ylabel="peak memory [MiB]")
        axes[0, 0].legend(fontsize="small")
        titled(figure, self.title, self.machine, fontsize="x-small")
        return figure


def run(settings: Cost) -> Costs:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    Writes cost.json, cost.md and cost.png.

    :raises ArgumentError: when network, input, rules, attack or training do not fit."""
    with working(settings):
        seen = torch_device(settings.device).type == "cuda" or settings.device == "cpu"
        expected, remedy = "a device that torch can see", "Use cpu, or install a CUDA build."
        require(seen, "device", expected, "gpu", remedy)
        steps = settings.steps or (None,)
        for name, values in (("model", settings.model), ("steps", steps)):
            require_distinct(name, values)
        pairs = list(product(settings.model, steps))
        loads = [
            replace(settings, model=(model,), steps=None if t is None else (t,))
            for model, t in pairs
        ]
        titles, rules = [_check(load) for load in loads], choose_rules(settings)
        rows = [INFERENCE, *rules]
        if not settings.training_step and settings.attack is None and len(loads) == 1:
            rows += [f"{STOCK}{name}" for name in rules if name in ("rga", _STBP)]
        cells, killed = [], []
        for load, (model, t) in zip(loads, pairs, strict=True):
            x, y = draw_samples(load, settings.batch_size)
            network = build_network(load, x, y)
            # A training step changes weights and statistics, so each row needs its own network.
            calls = {}
            for row in rows:
                under = build_network(load, x, y) if settings.training_step else network
                calls[row] = make_call(load, row, under, x, y)
            seconds = measure_medians(calls, settings.repeats, settings.device)
            peak: dict[str, float] = {}
            for row in progress_over(rows, "Peak memory", unit="rows", leave=False):
                try:
                    peak[row] = measure_row_peak(load, row)
                except BrokenProcessPool:
                    killed.append(f"{row} of {model}, T = {t}")
            cells.append(_Cell(model, t, seconds, peak))
        what = "training step" if settings.training_step else "gradient"
        what = what if settings.attack is None else f"attack {settings.attack}"
        title = f"One {what}: {'; '.join(titles[:: len(steps)])}"
        remarks = _remarks(settings)
        remarks += [f"{one}: its process was killed, as when memory runs out." for one in killed]
        machine = describe_machine(settings.device)
        costs = Costs(title, what, asdict(settings), machine, tuple(cells), remarks)
        costs.write(settings.output)
    return costs


def _check(settings: Cost) -> str:
    """One network in words; an ArgumentError where rules, attack or training do not suit it."""
    x, y = draw_samples(settings, 2 if settings.training_step else 1)
    network, (architecture, _) = build_network(settings, x, y), resolve_architecture(settings)
    for rule in choose_rules(settings).values():
        check_applicable(rule, network.sites(), "rules", network.encoder)
    if settings.attack is not None:
        parse_stage(settings.attack, np.inf, settings.eps)
    weights = any(weight.requires_grad for weight in network.parameters())
    expected, remedy = "a network of weights, for a training step", "Leave training out."
    got = f"{architecture.model}, which has none"
    require(weights or not settings.training_step, "model", expected, got, remedy)
    if type(network.encoder) is Frames and not architecture.is_own:
        architecture = replace(architecture, encoder="frames")
    size = "x".join(map(str, x.shape[1:]))
    return f"{architecture.describe(network)}, batch {settings.batch_size}, {size}"


def _remarks(settings: Cost) -> list[str]:
    """Sentences on the precision, and on training steps."""
    remarks = list[str]()
    if settings.train_dtype is not None:
        reason = compute_dtype(settings.train_dtype, torch_device(settings.device))[1]
        remarks.append(f"Training steps: {reason}.")
    if settings.training_step:
        remarks.append(
            f"Steps are those of SGD with momentum {TRAINED_BY.momentum:g} and weight decay "
            f"{TRAINED_BY.weight_decay:g}, at a learning rate of {TRAINED_BY.learning_rate:g}, so "
            "that weights stay as they are drawn. Peaks are those of the first step: gradients of "
            "weights and the state of SGD count."
        )
    return remarks


def _upper(rule: str) -> str:
    """A rule as papers write it."""
    return rule if "(" in rule else rule.upper()


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _bars(ax: Axes, rows: list[str], values: list[float], label: str) -> None:
    colours = [COLOURS.get(row.removeprefix(STOCK), GREY) for row in rows]
    bars = ax.barh(rows, values, color=colours)
    for bar, row in zip(bars, rows, strict=True):
        bar.set_alpha(0.5 if row.startswith(STOCK) else 1)
    ax.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    ax.axvline(1, color="black", lw=0.8, ls=":")
    ax.set(xlabel=label, xlim=(0, 1.15 * np.nanmax([1, *values])))
