"""A training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from art_snn.checks import invalid
from art_snn.plotting.colours import COLOURS
from art_snn.training import Epoch, best


def training_curves(ax: Axes, history: Sequence[Epoch]) -> Axes:
    """Mean loss and, on an axis of its own at the right, validation accuracy.

    :param history: epochs; a dot marks the one whose weights were kept.
    :raises ValueError: without any epoch.
    """
    if not history:
        raise invalid("history", expected="at least one epoch", got="none", remedy="Train first.")
    numbers = [epoch.number for epoch in history]
    # A line of one point would not be seen.
    marker = "o" if len(history) == 1 else None
    ax.plot(numbers, [epoch.loss for epoch in history], color="#999999", marker=marker)
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    chosen = best(history)
    if chosen is not None:
        right = ax.twinx()
        shares = [100 * (epoch.validation or 0.0) for epoch in history]
        right.plot(numbers, shares, color=COLOURS["stbp"])
        right.plot(chosen.number, 100 * (chosen.validation or 0.0), "o", color=COLOURS["stbp"])
        right.set_ylabel("validation accuracy [%]", color=COLOURS["stbp"])
        right.set_ylim(0, 100)
    return ax
