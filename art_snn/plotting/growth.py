"""How the cost of an attack grows with the time steps."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from art_snn.evaluation.cost import Growth, Line
from art_snn.plotting.colours import COLOURS


def time_against_steps(ax: Axes, growth: Growth, model: str) -> Axes:
    """Median seconds of inference and of the attack by every rule against T, from zero on.

    Points are measured; the dotted lines are least squares through them.

    :param model: one of the protocol's models.
    """
    for row in growth.protocol.rows:
        _line(ax, growth.seconds(model, row), row)
    return _finished(ax, growth, "time [s]")


def memory_against_steps(ax: Axes, growth: Growth, model: str) -> Axes:
    """Peak memory above the model in MiB, as :func:`time_against_steps` shows the time."""
    for row in growth.protocol.rows:
        peaks = {steps: peak / 2**20 for steps, peak in growth.peak(model, row).items()}
        _line(ax, peaks, row)
    return _finished(ax, growth, "peak memory [MiB]")


def _line(ax: Axes, figures: Mapping[int, float], row: str) -> None:
    label = row if row == "inference" else f"PGD by {row.upper()}"
    colour = "black" if row == "inference" else COLOURS.get(row)
    x, y = list(figures), list(figures.values())
    (drawn,) = ax.plot(x, y, "-o", color=colour, markersize=4, label=label)
    line = Line.through(figures)
    if line is not None:
        ends = [0, max(figures)]
        heights = [line.constant + line.per_step * end for end in ends]
        ax.plot(ends, heights, ":", color=drawn.get_color(), lw=1)


def _finished(ax: Axes, growth: Growth, quantity: str) -> Axes:
    ax.set(xlabel="time steps T", ylabel=quantity, xlim=(0, None), ylim=(0, None))
    ax.set_xticks([0, *sorted(growth.protocol.steps)])
    ax.grid(alpha=0.3)
    return ax
