"""The cost of one input gradient, training step or attack against inference without a gradient.

The rows are those of table S2 of Bu et al. (CVPR 2023): plain inference, the gradient
with every rule through our classifier, and through ART's stock one. Over several time
steps they show how the cost grows with T."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from itertools import product
from multiprocessing import get_context
from typing import Any, ClassVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from torch import nn

from art_snn.app.architecture import Architecture, is_own
from art_snn.app.machine import (
    describe_machine,
    measure_medians,
    measure_peak,
    torch_device,
)
from art_snn.app.network import random_samples, read_architecture
from art_snn.app.results import Result, run_folder
from art_snn.app.settings import Cost
from art_snn.app.tables import COLOURS, Notes, Part, Table, write_title
from art_snn.attacks import parse_stage
from art_snn.checks import require, require_distinct
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.gradients import Gradient, check_applicable, parse_rule, parse_rules
from art_snn.gradients.names import split_parts
from art_snn.network import SpikingNetwork
from art_snn.progress import progress_over
from art_snn.training.defences import Learner
from art_snn.training.recipe import Recipe, compute_dtype

INFERENCE, STOCK = "inference", "stock "
"""Rows next to those of rules: a prediction, and what ART's stock classifier measures."""
_STBP = "stbp"


@dataclass(frozen=True)
class _Cell:
    """One model at T time steps: row -> median seconds, and peak bytes above the loaded model.

    A row whose process failed has no peak."""

    model: str
    steps: int | None
    seconds: Mapping[str, float]
    peak: Mapping[str, float]

    def ratio(self, figure: str, row: str, to: str = INFERENCE) -> str:
        """Seconds or peak of a row, in those of another; "-" where that was too small to see."""
        values = getattr(self, figure)
        other = values.get(to) or math.nan
        return f"{values.get(row, math.nan) / other:.2f}".replace("nan", "-")

    def mebibytes(self, row: str) -> float:
        """Peak memory of a row in MiB; NaN where its process failed."""
        return self.peak.get(row, math.nan) / 2**20

    def write_memory(self, row: str) -> str:
        """Peak memory of a row in whole MiB; "-" where its process failed."""
        return f"{self.mebibytes(row):.0f}".replace("nan", "-")


@dataclass(frozen=True)
class Costs(Result):
    """The measured cells; the remarks are sentences that their reader should know."""

    title: str
    what: str
    settings: Mapping[str, Any]
    machine: str
    cells: tuple[_Cell, ...]
    remarks: Sequence[str]
    name: ClassVar[str] = "cost"

    @property
    def rows(self) -> list[str]:
        """The measured rows."""
        return list(self.cells[0].seconds)

    def parts(self) -> list[Part]:
        """Time, memory and their ratios to inference, a row each; of several cells, growth."""
        how = (
            f"median of {self.settings['repeats']} rounds in turn; memory above the model"
        )
        heading = (self.title, f"{self.machine}; {how}")
        if len(self.cells) > 1:
            return [heading, self._growth_table(), Notes(self.remarks)]

        (cell,) = self.cells
        rows = []
        for row in self.rows:
            time = f"{cell.seconds[row]:.3f}", cell.ratio("seconds", row)
            peak = cell.write_memory(row), cell.ratio("peak", row)
            rows.append((self.label(row), *time, *peak))
        titles = (f"one {self.what}", "seconds", "x inference", "peak MiB", "x inference")
        return [heading, Table(titles, rows), Notes(self.remarks)]

    def label(self, row: str) -> str:
        """The words for what a row measures."""
        if row == INFERENCE:
            return "inference, no gradient"
        if row.startswith(STOCK):
            return f"ART's stock classifier, {_write_row(row.removeprefix(STOCK))}"
        return f"{self.what} by {_write_row(row)}"

    def _growth_table(self) -> Table:
        """One row per cell: seconds, memory, and their ratios to STBP."""
        rules = self.rows[1:]
        others = [rule for rule in rules if rule != _STBP and _STBP in rules]

        rows = []
        for cell in self.cells:
            row = {"model": cell.model, "T": cell.steps or ""}
            for name, seconds in cell.seconds.items():
                row[f"{_write_row(name)} s"] = f"{seconds:.3f}"
            for rule in others:
                row[f"{_write_row(rule)}/STBP time"] = cell.ratio("seconds", rule, _STBP)
            for rule in rules:
                row[f"{_write_row(rule)} MiB"] = cell.write_memory(rule)
            for rule in others:
                row[f"{_write_row(rule)}/STBP memory"] = cell.ratio("peak", rule, _STBP)
            rows.append(row)
        return Table(list(rows[0]), [list(row.values()) for row in rows])

    def draw(self) -> Figure | None:
        """Of several cells time above, memory below against T, one column per model."""
        if len(self.cells) == 1:
            return None
        models = dict.fromkeys(cell.model for cell in self.cells)
        figure = Figure(
            figsize=(1 + 3.4 * max(2, len(models)), 6.4), layout="constrained"
        )
        axes = figure.subplots(2, len(models), sharex=True, squeeze=False)
        for (above, below), model in zip(axes.T, models, strict=True):
            self._draw_growth(above, below, model)
        axes[0, 0].legend(fontsize="small")
        write_title(figure, self.title, self.machine, fontsize="x-small")
        return figure

    def _draw_growth(self, above: Axes, below: Axes, model: str) -> None:
        """Time and memory of one model against T, a line per row."""
        some = [cell for cell in self.cells if cell.model == model]
        cells = sorted(some, key=lambda cell: cell.steps or 0)
        steps = [cell.steps or 0 for cell in cells]

        for row in self.rows:
            label = row if row == INFERENCE else self.label(row)
            line: dict[str, Any] = {"color": COLOURS.get(row), "ms": 4, "label": label}
            above.plot(steps, [cell.seconds[row] for cell in cells], "-o", **line)
            # Without a peak there is no point.
            below.plot(steps, [cell.mebibytes(row) for cell in cells], "-o", **line)

        for ax in (above, below):
            ax.set(xlim=(0, None), ylim=(0, None))
            ax.grid(alpha=0.3)
        above.set(title=textwrap.fill(model, 32), ylabel="time [s]")
        below.set(xlabel="time steps T", ylabel="peak memory [MiB]")


def run(settings: Cost) -> Costs:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    Writes cost.json, cost.md and, of several models or time steps, cost.png.

    :raises ArgumentError: when network, input, rules, attack or training do not fit."""
    with run_folder(settings):
        require(
            settings.device == "cpu" or torch.cuda.is_available(),
            "device",
            "a device that torch can see",
            "gpu",
            "Use cpu, or install a CUDA build.",
        )
        models = split_parts(",".join(settings.model))
        # No model at all is refused, too.
        require_distinct("model", models)
        steps = settings.steps or (None,)
        require_distinct("steps", steps)

        loads = [
            replace(settings, model=(model,), steps=None if count is None else (count,))
            for model, count in product(models, steps)
        ]
        rules = parse_rules(
            settings.rules or ("stbp" if settings.training_step else "rga,stbp")
        )
        titles = [_check(load, rules) for load in loads]

        rows = [INFERENCE, *rules]
        if not settings.training_step and settings.attack is None and len(loads) == 1:
            rows += [f"{STOCK}{name}" for name in rules if name in ("rga", _STBP)]

        remarks: list[str] = []
        cells = tuple(_measure_cell(load, rows, remarks) for load in loads)

        what = "training step" if settings.training_step else "gradient"
        if settings.attack is not None:
            what = f"attack {settings.attack}"
        title = f"One {what}: {'; '.join(titles[:: len(steps)])}"

        if settings.train_dtype is not None:
            _, reason = compute_dtype(settings.train_dtype, torch_device(settings.device))
            remarks.append(f"Training steps: {reason}.")
        machine = describe_machine(settings.device)
        costs = Costs(title, what, asdict(settings), machine, cells, remarks)
        costs.write(settings.output)
    return costs


def _measure_cell(load: Cost, rows: Sequence[str], remarks: list[str]) -> _Cell:
    """The rows of one model at one number of time steps.

    :param remarks: gets a sentence for each row whose process was killed."""
    (model,) = load.model
    (steps,) = load.steps or (None,)
    x, y = draw_samples(load, load.batch_size)
    # A training step changes weights and statistics, so each row has its own network.
    calls = {row: make_call(load, row, build_network(load, x, y), x, y) for row in rows}
    seconds = measure_medians(calls, load.repeats, load.device)

    peak = {}
    for row in progress_over(rows, "Peak memory", unit="rows", leave=False):
        try:
            peak[row] = measure_row_peak(load, row)
        except BrokenProcessPool:
            killed = "its process was killed, as when memory runs out"
            remarks.append(f"{row} of {model}, T = {steps}: {killed}.")
    return _Cell(model, steps, seconds, peak)


def _check(settings: Cost, rules: Mapping[str, Gradient]) -> str:
    """One network in words; an ArgumentError where rules, attack or training do not suit it."""
    x, y = draw_samples(settings, 1)
    network = build_network(settings, x, y)
    architecture = resolve_architecture(settings)

    for rule in rules.values():
        check_applicable(rule, network.body.neurons(), "rules", network.encoder)

    weights = any(weight.requires_grad for weight in network.parameters())
    require(
        weights or not settings.training_step,
        "model",
        "a network of weights, for a training step",
        f"{architecture.model}, which has none",
        "Leave training out.",
    )
    size = "x".join(map(str, x.shape[1:]))
    return f"{architecture.describe(network)}, batch {settings.batch_size}, {size}"


def _write_row(name: str) -> str:
    """A rule as papers write it; inference stays as it is."""
    return name if "(" in name or name == INFERENCE else name.upper()


def resolve_architecture(settings: Cost) -> Architecture:
    """The network of settings of one model; that of the user has no time steps yet."""
    (model,) = settings.model
    (steps,) = settings.steps or (None,)
    return read_architecture(
        settings, model=model, steps=None if is_own(model) else steps
    )


def draw_samples(settings: Cost, count: int) -> tuple[ndarray, ndarray]:
    """Random samples ``(count, *input_shape)`` and one-hot labels."""
    return random_samples(
        resolve_architecture(settings),
        count,
        channels=settings.channels,
        image_size=settings.image_size,
    )


def build_network(settings: Cost, x: ndarray, y: ndarray) -> SpikingNetwork:
    """The network for the samples, in evaluation mode on the device.

    A network of the user takes the time steps once it is built."""
    architecture = resolve_architecture(settings)
    network = architecture.build(0, x.shape[1:], y.shape[1]).eval()
    if architecture.is_own and settings.steps:
        require(
            not network.body.loops_itself,
            "model",
            "a network over any number of time steps",
            f"{architecture.model}, whose model makes its time steps itself",
            "art-snn cost takes it as it is.",
        )
        network = network.with_steps(*settings.steps)
    return network.to(torch_device(settings.device))


def make_call(
    settings: Cost, row: str, network: SpikingNetwork, x: ndarray, y: ndarray
) -> Callable[[], object]:
    """The call that a row measures; a training step changes the network."""
    if settings.training_step and row != INFERENCE:
        network.training_gradient = parse_rule(row)
        return training_step(network, x, y, settings.train_dtype)
    kind: Any = PyTorchClassifier if row.startswith(STOCK) else PyTorchSpikingClassifier
    classifier = wrap(network, x.shape[1:], y.shape[1], (0.0, 1.0), settings.device, kind)
    if row == INFERENCE:
        return lambda: classifier.predict(x, batch_size=len(x))
    rule = parse_rule(row.removeprefix(STOCK))
    call = classifier.loss_gradient
    if settings.attack is not None:
        stage = parse_stage(settings.attack, np.inf, settings.eps)
        call = stage.instantiate(classifier, np.inf, settings.eps, len(x), 0).generate

    def operate() -> object:
        network.forget()
        with network.using(rule):
            return call(x, y)

    return operate


def measure_row_peak(settings: Cost, row: str, *, apart: bool = True) -> int:
    """Peak bytes of one row above the loaded model.

    :param apart: on the CPU in a process of its own, with nothing left from before, which
        gives freed memory back. A training step is the first one, which allocates
        gradients and the optimizer's state."""
    if apart and settings.device == "cpu":
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure_row_peak, settings, row, apart=False).result()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    x, y = draw_samples(settings, settings.batch_size)
    network = build_network(settings, x, y)
    few = 2 if settings.training_step else 1
    # A few samples first, since libraries are loaded on demand; batch norm in training needs 2.
    make_call(settings, row, network, x[:few], y[:few])()
    return measure_peak(make_call(settings, row, network, x, y), settings.device)


def training_step(
    network: Any, x: ndarray, y: ndarray, train_dtype: str | None = None
) -> Callable[[], float]:
    """A call that takes one step of training on samples x with one-hot labels y."""
    # Gradients of an earlier step would not count as memory of this one.
    network.train().zero_grad()
    # The optimizer of the papers, with steps so small that weights and times stay what they are.
    optimizer = Recipe(learning_rate=1e-8).build_optimizer(network.parameters())
    like = next(network.parameters())
    learner = Learner(network, train_dtype)

    def step() -> float:
        samples = torch.tensor(x, device=like.device).to(like)
        labels = torch.tensor(y, device=like.device).argmax(1)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(learner(samples), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
