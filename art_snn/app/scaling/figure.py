"""Pictures of time and memory against the time steps."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS, titled
from art_snn.app.scaling.result import INFERENCE, MEBIBYTE, Growth, Trend


def draw(growth: Growth) -> Figure:
    """Time above, memory below, one column per model."""
    models = growth.protocol.models
    figure = Figure(figsize=(1 + 3.4 * max(2, len(models)), 6.4), layout="constrained")
    axes = figure.subplots(2, len(models), sharex=True, squeeze=False)
    for (above, below), model in zip(axes.T, models, strict=True):
        time_against_steps(above, growth, model).set(title=textwrap.fill(model, 32), xlabel="")
        memory_against_steps(below, growth, model)
    axes[0, 0].legend(fontsize="small")
    titled(figure, *growth.heading(), fontsize="x-small")
    return figure


def time_against_steps(ax: Axes, growth: Growth, model: str) -> Axes:
    """Median seconds of inference and of the attack by every rule against T, from zero on.

    Points are measured; the dotted lines are least squares through them."""
    for row in growth.rows:
        _line(ax, growth.seconds(model, row), row)
    return _finished(ax, growth, "time [s]")


def memory_against_steps(ax: Axes, growth: Growth, model: str) -> Axes:
    """Peak memory above the model in MiB, as :func:`time_against_steps` shows the time."""
    for row in growth.rows:
        peaks = {steps: peak / MEBIBYTE for steps, peak in growth.peak(model, row).items()}
        _line(ax, peaks, row)
    return _finished(ax, growth, "peak memory [MiB]")


def _line(ax: Axes, figures: Mapping[int, float], row: str) -> None:
    label = row if row == INFERENCE else f"attack by {row.upper()}"
    colour = "black" if row == INFERENCE else COLOURS.get(row)
    x, y = list(figures), list(figures.values())
    (curve,) = ax.plot(x, y, "-o", color=colour, markersize=4, label=label)
    line = Trend.through(figures)
    if line is not None:
        ends = np.array([0, max(figures)])
        ax.plot(ends, line.constant + line.per_step * ends, ":", color=curve.get_color(), lw=1)


def _finished(ax: Axes, growth: Growth, quantity: str) -> Axes:
    ax.set(xlabel="time steps T", ylabel=quantity, xlim=(0, None), ylim=(0, None))
    ax.set_xticks([0, *sorted(growth.protocol.steps)])
    ax.grid(alpha=0.3)
    return ax
