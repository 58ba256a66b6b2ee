"""Axes, bars and lines that look alike in all figures of an evaluation."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn.experiments.colours import GRID, INK, SERIES

MARKERS = "osD^vP"
STYLES = ("-", "--", ":", "-.")
SIZE = 9
LETTERS = 13
"""Letters of that size in an inch."""


def panel(width: float, height: float, names: Iterable[str] = ()) -> tuple[Figure, Axes]:
    """A figure with one plain pair of axes.

    :param names: those of the legend that is to stand below."""
    lines = sum(1 + _named(name, width).count("\n") for name in names)
    figure = Figure(figsize=(width, height + 0.19 * lines), layout="constrained")
    ax = figure.subplots()
    ax.grid(color=GRID, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=SIZE, length=3)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=INK, fontsize=SIZE)
    for side, spine in ax.spines.items():
        spine.set(color=INK, lw=0.8, visible=side in ("left", "bottom"))
    return figure, ax


def lines(place: int) -> dict[str, Any]:
    """Colour, dashes and marker of a line, which tell it apart in grey, too."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
    dashes = next(islice(cycle(STYLES), place // len(SERIES), None))
    return {"color": colour, "marker": marker, "ls": dashes, "lw": 1.4}


def legend(figure: Figure, ax: Axes) -> None:
    """The names of the lines, below one another below the axes."""
    handles, names = ax.get_legend_handles_labels()
    told = [_named(name, figure.get_figwidth()) for name in names]
    drawn = figure.legend(
        handles,
        told,
        loc="outside lower left",
        frameon=False,
        fontsize=SIZE,
        labelcolor=INK,
        borderaxespad=0,
        labelspacing=0.25,
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)


def bars(
    labels: Sequence[str],
    values: Sequence[float],
    words: str,
    width: float,
    colours: Sequence[str],
    reach: np.ndarray | None = None,
    limit: float | None = None,
) -> Figure:
    """Bars below their labels, which may be long.

    :param reach: of the intervals, to the left and to the right [2, n]."""
    folded = [textwrap.fill(label, int(LETTERS * width)) for label in labels]
    heights = np.array([0.24 + 0.17 * (1 + label.count("\n")) for label in folded])
    figure, ax = panel(width, 0.55 + float(heights.sum()))
    places = heights.cumsum()
    ax.barh(places - 0.1, values, height=0.14, color=colours)
    if reach is not None:
        ends: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 0.8, "capsize": 2}
        ax.errorbar(values, places - 0.1, xerr=reach, **ends)
    for place, label in zip(places, folded, strict=True):
        told = ax.text(0, place - 0.19, label, color=INK, fontsize=SIZE, ha="left", va="bottom")
        told.set(in_layout=False, parse_math=False)
    ax.set(yticks=[], ylim=(float(heights.sum()) + 0.05, 0), xlabel=words)
    ax.set_xlim(0, limit or max(1, *values) * 1.04)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    return figure


def _named(name: str, width: float) -> str:
    """A name of the legend, folded beside its line."""
    return textwrap.fill(name, int(LETTERS * width) - 6)
