from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS, GREY, titled
from art_snn.app.cost.result import Cost
from art_snn.measuring.workload import CostRow


def draw(cost: Cost) -> Figure:
    """Time at the left, peak memory at the right, both in inferences."""
    figure = Figure(figsize=(9, 1.4 + 0.32 * len(cost.seconds)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = list(cost.seconds)
    _bars(left, rows, [cost.ratio(row) for row in rows], "time [inferences]")
    _bars(right, rows, [cost.memory_ratio(row) for row in rows], "peak memory [inferences]")
    # Both share the axis.
    left.invert_yaxis()
    titled(figure, cost.title, cost.machine, fontsize="small")
    return figure


def _bars(ax: Axes, rows: list[CostRow], values: list[float], words: str) -> None:
    labels = [f"{'stock ' * row.stock}{row.name or row.kind}" for row in rows]
    colours = [COLOURS.get(row.name.partition(" ")[0], GREY) for row in rows]
    bars = ax.barh(labels, values, color=colours)
    for bar, row in zip(bars, rows, strict=True):
        bar.set_alpha(0.5 if row.stock else 1)
    ax.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    ax.axvline(1, color="black", lw=0.8, ls=":")
    ax.set(xlabel=words, xlim=(0, 1.15 * max([1, *values])))
