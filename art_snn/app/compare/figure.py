import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import GREY, KINDS, titled
from art_snn.app.compare.result import Comparison


def draw(comparison: Comparison) -> Figure:
    """Attack success and time of one gradient, one bar per rule, in the colour of its kind."""
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(comparison.attacked)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    success_bars(left, comparison)
    time_bars(right, comparison)
    titled(figure, comparison.title, comparison.attack)
    return figure


def success_bars(ax: Axes, comparison: Comparison) -> Axes:
    """Conditional attack success with 95 % intervals; the line is the union of all."""
    shares = [outcome.attack_success for outcome in comparison.attacked.values()]
    values = np.array([100 * share.value for share in shares])
    reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
    _bars(ax, comparison, values, "attack success [%]", xerr=reach)
    if len(shares) > 1:
        union = 100 * comparison.union().attack_success.value
        ax.axvline(union, color="black", lw=0.8, ls=":")
        side = "right" if union > 30 else "left"
        ax.text(union, -0.75, " union of all ", ha=side, va="center", fontsize="small")
    ax.set(xlim=(0, 100))
    return ax


def time_bars(ax: Axes, comparison: Comparison) -> Axes:
    """Time of one gradient, in inferences."""
    seconds = np.array([comparison.seconds[name] for name in comparison.attacked])
    _bars(ax, comparison, seconds / comparison.inference, "time of one gradient [inferences]")
    ax.axvline(1, color="black", lw=0.8, ls=":")
    return ax


def _bars(
    ax: Axes, comparison: Comparison, values: np.ndarray, words: str, xerr: np.ndarray | None = None
) -> None:
    names = list(comparison.attacked)
    colours = [KINDS.get(comparison.rows[name].kind, GREY) for name in names]
    places = np.arange(len(names))
    ax.barh(places, values, xerr=xerr, color=colours, error_kw={"lw": 1, "capsize": 2})
    ax.set(yticks=places, yticklabels=names, xlabel=words, ylim=(len(names) - 0.4, -1.1))
    ax.grid(alpha=0.3, axis="x")
