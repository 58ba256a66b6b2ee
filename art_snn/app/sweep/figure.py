"""Pictures of a sweep: attack success over a hyperparameter."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import SERIES, titled
from art_snn.app.sweep.result import Panel, Swept


def draw(swept: Swept) -> Figure:
    """Attack success over the values, one panel next to the other; a network keeps its colour."""
    panels = swept.panels
    names = dict.fromkeys(name for panel in panels for name in panel.lines)
    colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
    figure = Figure(figsize=(1 + 4 * len(panels), 4), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(row, panels, strict=True):
        success_against_value(ax, panel, colours)
        ax.legend()
        ax.label_outer()
    titled(figure, *dict.fromkeys(line for panel in panels for line in (panel.rule, panel.attack)))
    return figure


def success_against_value(ax: Axes, panel: Panel, colours: Mapping[str, str] | None = None) -> Axes:
    """Conditional attack success over the values of a field, one line per network.

    Bands and bars are 95 % intervals, a ring marks the best value, and the dotted line the default.
    """
    for i, (name, line) in enumerate(panel.lines.items()):
        values = sorted(line.outcomes)
        shares = [line.outcomes[value].attack_success for value in values]
        heights = np.array([100 * share.value for share in shares])
        low, high = 100 * np.array([share.interval for share in shares]).T
        colour = SERIES[i % len(SERIES)] if colours is None else colours[name]
        reach = (heights - low, high - heights)
        words = textwrap.fill(name, 32)  # A network of the user's own is named by its file.
        ax.errorbar(
            values, heights, reach, color=colour, marker="o", ms=4, elinewidth=0.6, label=words
        )
        ax.fill_between(values, low, high, color=colour, alpha=0.12, lw=0)
        best = 100 * line.outcomes[line.best].attack_success.value
        ax.plot(line.best, best, "o", ms=9, mfc="none", mec=colour)
    for default in {line.default for line in panel.lines.values()}:
        ax.axvline(default, color="black", lw=0.8, ls=":", zorder=0)
        place = ax.get_xaxis_transform()
        ax.text(default, 1.01, "default", ha="center", fontsize="small", transform=place)
    ax.set(xlabel=panel.field, ylabel="attack success [%]")
    ax.grid(alpha=0.3)
    return ax
