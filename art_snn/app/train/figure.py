"""Pictures of a training run: loss and accuracy by epoch."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn.app.colours import COLOURS, GREY, titled
from art_snn.app.train.result import Fitted
from art_snn.checks import require
from art_snn.training import Epoch, best


def draw(fitted: Fitted) -> Figure:
    """Loss and validation accuracy, under attack where there was one, against the epoch."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    against = [f"against {fitted.against}"] if fitted.against else []
    titled(figure, fitted.title, *against, fontsize="small")
    score = "accuracy under attack [%]" if against else "validation accuracy [%]"
    training_curves(figure.subplots(), fitted.history, score)
    return figure


def training_curves(
    ax: Axes, history: Sequence[Epoch], score: str = "validation accuracy [%]"
) -> Axes:
    """Mean loss and, at the right, the score that chose the best epoch, over one epoch or more."""
    require(history, "history", "at least one epoch", "none", "Train first.")
    numbers = [epoch.number for epoch in history]
    # A line of one point would not be seen.
    marker = "o" if len(history) == 1 else None
    ax.plot(numbers, [epoch.loss for epoch in history], color=GREY, marker=marker)
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    kept = best(history)
    if kept is not None:
        right = ax.twinx()
        scores = [epoch.validation for epoch in history]
        shares = [math.nan if score is None else 100 * score for score in scores]
        right.plot(numbers, shares, color=COLOURS["stbp"])
        right.plot(kept.number, 100 * (kept.validation or 0.0), "o", color=COLOURS["stbp"])
        right.set_ylabel(score, color=COLOURS["stbp"])
        right.set_ylim(0, 100)
    return ax
