"""Pictures of rate-current curves, recorded and assumed."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS
from art_snn.app.curves.result import Curves
from art_snn.curves import Pairs
from art_snn.curves.static import Curve

STYLES: dict[str, dict[str, Any]] = {
    "static": {"color": "black", "lw": 1.4},
    "static, smooth": {"color": "black", "lw": 0.7, "ls": "--"},
    "RGA": {"color": COLOURS["rga"], "lw": 1.8},
}
BINS = 24


def draw(result: Curves) -> Figure:
    """One panel per network: recorded pairs, static curves, RGA's polyline."""
    recordings = result.recordings
    figure = Figure(figsize=(5.2 * len(recordings), 4.2), layout="constrained")
    row = figure.subplots(1, len(recordings), squeeze=False, sharey=True)[0]
    for ax, recording in zip(row, recordings, strict=True):
        threshold = recording.dynamics.threshold
        high = threshold * (max(result.rule.beta, 1) + 0.5)
        rate_current(ax, recording.pairs, recording.curves, low=-threshold, high=high)
        title = textwrap.fill(f"{recording.panel.title}, {recording.panel.layer}", 48)
        ax.set_title(title, fontsize="medium")
        ax.label_outer()
    return figure


def rate_current(
    ax: Axes, pairs: Pairs, curves: Mapping[str, Curve], *, low: float, high: float
) -> Axes:
    """Recorded pairs as points with their mean in bins of the current, and curves through them.

    The legend names the share of the pairs outside low and high."""
    inside = (pairs.current >= low) & (pairs.current <= high)
    x, y = pairs.current[inside], pairs.rate[inside]
    words = f"{len(inside)} recorded pairs"
    if not inside.all():
        words += f" ({100 * (~inside).mean():.1f} % outside)"
    blue = COLOURS["stbp"]
    ax.scatter(x, y, s=5, color=blue, alpha=0.12, lw=0, rasterized=True, label=words)
    places, means = _binned(x, y, np.linspace(low, high, BINS + 1))
    ax.plot(places, means, "D", mfc="white", mec=blue, ms=4, label="their mean in bins", zorder=3)
    grid = np.linspace(low, high, 2001)
    for name, curve in curves.items():
        ax.plot(grid, curve(grid), label=name, **STYLES.get(name, {}))
    ax.set(xlabel="mean current", ylabel="mean rate [1/step]", xlim=(low, high))
    ax.set(ylim=(-0.04, 1.04))
    ax.grid(alpha=0.3)
    legend = ax.legend(fontsize="small", frameon=False, loc="upper left")
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
    return ax


def _binned(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean x and mean y of every bin that holds at least ten pairs."""
    index = np.digitize(x, edges[1:-1])
    counts = np.bincount(index, minlength=BINS)
    enough = counts >= 10
    sums = [np.bincount(index, weights=values, minlength=BINS)[enough] for values in (x, y)]
    return sums[0] / counts[enough], sums[1] / counts[enough]
