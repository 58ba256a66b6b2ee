"""Every rule side by side: strength and cost."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from art_snn.evaluation.compare import RULES
from art_snn.evaluation.comparison import Comparison
from art_snn.gradients import RateGradient, TemporalGradient
from art_snn.plotting.colours import COLOURS


def success_bars(ax: Axes, comparison: Comparison) -> Axes:
    """Conditional attack success of every rule that applies, with 95 % intervals.

    Temporal rules are blue, rate rules orange, others grey; the line is the union of all.
    """
    outcomes = comparison.attacked
    shares = [outcome.attack_success for outcome in outcomes.values()]
    values = np.array([100 * share.value for share in shares])
    ends = 100 * np.array([share.interval for share in shares]).T
    places = np.arange(len(values))
    reach = np.abs(ends - values)
    colours = [_bar_colour(name) for name in outcomes]
    ax.barh(places, values, xerr=reach, color=colours, error_kw={"lw": 1, "capsize": 2})
    if len(outcomes) > 1:
        union = 100 * comparison.union().attack_success.value
        ax.axvline(union, color="black", lw=0.8, ls=":")
        ax.text(union, -0.75, "union of all ", ha="right", va="center", fontsize="small")
    ax.set(yticks=places, yticklabels=list(outcomes), xlabel="attack success [%]")
    ax.set(xlim=(0, 100), ylim=(len(values) - 0.4, -1.1))
    ax.grid(alpha=0.3, axis="x")
    return ax


def time_bars(ax: Axes, comparison: Comparison) -> Axes:
    """Time of one gradient of every rule that applies, in inferences."""
    names = list(comparison.attacked)
    values = [comparison.seconds[name] / comparison.inference for name in names]
    places = np.arange(len(names))
    ax.barh(places, values, color=[_bar_colour(name) for name in names])
    ax.axvline(1, color="black", lw=0.8, ls=":")
    ax.set(yticks=places, yticklabels=names, xlabel="time of one gradient [inferences]")
    ax.set(ylim=(len(names) - 0.4, -1.1))
    ax.grid(alpha=0.3, axis="x")
    return ax


def _bar_colour(name: str) -> str:
    """Blue for temporal rules, orange for rate rules, grey for all others."""
    rule = RULES.get(name)
    if isinstance(rule, TemporalGradient):
        return COLOURS["stbp"]
    return COLOURS["rga"] if isinstance(rule, RateGradient) else "#999999"
