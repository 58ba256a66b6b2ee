"""Axes, lines, bars and legends that all figures of an evaluation share, as narrow as a phone."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn.app.colours import GRID, INK, SERIES
from art_snn.app.evaluation.verdict import Verdict
from art_snn.app.evaluation.words import size

WIDTH = 3.6
"""Inches of a figure that takes half of a wide page, or a phone."""
LEVELS = 255
MARKERS = "osD^vP"
STYLES = ("-", "--", ":", "-.")
SIZE = 9
LETTERS = 13
"""Characters of that size in an inch."""
LINE = 0.17
"""Inches from one line of text to the next."""


def plain_axes(width: float, height: float, names: Iterable[str] = ()) -> tuple[Figure, Axes]:
    """A figure with one plain pair of axes, and room for the names of the legend below."""
    lines = sum(1 + _fold(name, width).count("\n") for name in names)
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


def line_look(place: int) -> dict[str, Any]:
    """Colour, style and marker of a line, which also differ in grey.

    The first is broader, so that it can be seen below another one."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
    style = STYLES[place // len(SERIES) % len(STYLES)]
    return {"color": colour, "marker": marker, "ls": style, "lw": 1.4 if place else 3.0}


def budget_scale(norm: str, budgets: Iterable[float]) -> tuple[int, str]:
    """What budgets are multiplied by on an axis, and the unit that this makes."""
    levels = norm == "inf" and all("/" in size(norm, eps) for eps in budgets if eps)
    return (LEVELS, " [1/255]") if levels else (1, "")


def accuracy_words(results: Sequence[Verdict], bounded: bool = False) -> str:
    """What an axis of the accuracies of these verdicts shows.

    :param bounded: whether what is certified is drawn, too, which is no upper bound."""
    at_most = ", of attacks at most" if bounded else " at most"
    return f"accuracy{at_most if any(verdict.open for verdict in results) else ''} [%]"


def add_legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """The names of the lines, below one another below the axes."""
    legend = figure.legend(
        handles,
        [_fold(name, figure.get_figwidth()) for name in names],
        loc="outside lower left",
        frameon=False,
        fontsize=SIZE,
        labelcolor=INK,
        borderaxespad=0,
        labelspacing=0.25,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _fold(name: str, width: float) -> str:
    """A name of the legend, folded to fit next to its line."""
    return textwrap.fill(name, int(LETTERS * width) - 6)


def labelled_bars(
    labels: Sequence[str],
    values: Sequence[float],
    words: str,
    width: float,
    colours: Sequence[str],
    reach: np.ndarray | None = None,
    limit: float | None = None,
    title: str = "",
) -> Figure:
    """Bars below their labels, which may be long, with the reach of their intervals [2, n].

    :param words: what the axis shows; limit: its end, by default beyond the longest bar."""
    folded = [textwrap.fill(label, int(LETTERS * width)) for label in labels]
    heights = np.array([0.24 + LINE * (1 + label.count("\n")) for label in folded])
    title = textwrap.fill(title, int(LETTERS * width) - 2)
    lines = 1 + title.count("\n") if title else 0
    figure, ax = plain_axes(width, 0.55 + LINE * lines + float(heights.sum()))
    places = heights.cumsum()
    ax.barh(places - 0.1, values, height=0.14, color=colours)
    if reach is not None:
        ends: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 0.8, "capsize": 2}
        ax.errorbar(values, places - 0.1, xerr=reach, **ends)
    for place, label in zip(places, folded, strict=True):
        text = ax.text(0, place - 0.19, label, color=INK, fontsize=SIZE, ha="left", va="bottom")
        text.set(in_layout=False, parse_math=False)
    ax.set(yticks=[], ylim=(float(heights.sum()) + 0.05, 0), xlabel=words)
    ax.set_xlim(0, limit or max(1, *values) * 1.04)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_title(title, loc="left", color=INK, fontsize=SIZE, parse_math=False)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    return figure
