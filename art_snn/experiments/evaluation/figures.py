"""The figures of an evaluation, narrow enough to be read on a phone."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn.experiments.colours import GREY, GRID, INK, SERIES
from art_snn.experiments.evaluation.evaluation import Evaluation, Trial
from art_snn.experiments.evaluation.verdict import UNION, Verdict, bound, size, unit, verdicts
from art_snn.metrics import Share

LEVELS = 255
MOST_POINTS = 200
"""Of a line: more would make the page large and change nothing that can be seen."""
MARKERS = "osD^vP"
STYLES = ("-", "--", ":", "-.")
SIZE = 9
LETTERS = 13
"""Characters of that size in an inch."""


def accuracy_figure(evaluation: Evaluation, width: float = 3.6) -> Figure:
    """What accuracy each attack leaves, and their union, with 95 % intervals.

    With one budget the attacks are bars, with more they are lines over the budget."""
    results = verdicts(evaluation)
    words = f"accuracy{' at most' if any(verdict.open for verdict in results) else ''} [%]"
    if len(results) == 1:
        return _accuracy_bars(evaluation, results[0], words, width)
    curves: dict[str, dict[float, Share]] = {}
    for trial in sorted(evaluation.trials, key=lambda trial: trial.eps):
        curve = curves.setdefault(trial.name, {0.0: trial.robustness.clean_accuracy})
        curve[trial.eps] = trial.robustness.robust_accuracy
    curves = {name: curves[name] for name in evaluation.names}
    curves[UNION] = {0.0: results[0].outcome.clean_accuracy}
    curves[UNION] |= {v.eps: v.outcome.robust_accuracy for v in results}
    return accuracy_curves(curves, evaluation.norm, words, width)


def accuracy_curves(
    curves: Mapping[str, Mapping[float, Share]], norm: str, words: str, width: float
) -> Figure:
    """One line per name over the budgets, that of the union thick."""
    figure, ax = _axes(width, 2.5, curves)
    levels = norm == "inf" and all("/" in size(norm, e) for c in curves.values() for e in c if e)
    scale = LEVELS if levels else 1
    for place, (name, curve) in enumerate(curves.items()):
        union = {"color": INK, "lw": 3.2, "ls": "-", "zorder": 1.5} if name == UNION else {}
        x = scale * np.array(list(curve))
        values, reach = _percentages(list(curve.values()))
        look = _look(place) | union
        ax.errorbar(x, values, reach, label=name, markersize=4, capsize=2, elinewidth=0.8, **look)
    ax.set(ylim=(0, 100), ylabel=words, xlabel=f"{unit(norm)}{' [1/255]' if levels else ''}")
    ax.set_xlim(left=0)
    _legend(figure, ax)
    return figure


def _percentages(shares: Sequence[Share]) -> tuple[list[float], np.ndarray]:
    """Shares [n], and how far their intervals reach below and above them [2, n]."""
    values = [100 * share.value for share in shares]
    low, high = 100 * np.array([share.interval for share in shares]).T
    return values, np.abs([values - low, high - values])


def _accuracy_bars(evaluation: Evaluation, verdict: Verdict, words: str, width: float) -> Figure:
    robust = [trial.robustness.robust_accuracy for trial in evaluation.trials]
    labels = [f"{t.name}: {bound(evaluation, t, verdict)}" for t in evaluation.trials]
    colours = [SERIES[0]] * len(labels)
    if len(labels) > 1:
        robust.append(verdict.outcome.robust_accuracy)
        labels.append(f"{UNION}: {verdict.share}")
        colours.append(INK)
    values, reach = _percentages(robust)
    return _bars(labels, values, words, width, colours, reach, limit=100)


def broken_figure(trial: Trial, width: float = 3.6) -> Figure:
    """How many samples each stage of a plan broke that those before it had not."""
    counts = trial.outcome.broken_by
    labels = [f"{count}: {stage}" for stage, count in counts.items()]
    colours = [SERIES[0] if count else GREY for count in counts.values()]
    return _bars(labels, list(counts.values()), "samples broken", width, colours)


def queries_figure(trials: Sequence[Trial], width: float = 3.6) -> Figure:
    """Attack success against the queries that a sample has taken."""
    figure, ax = _axes(width, 2.5, [trial.name for trial in trials])
    courses = [course(trial) for trial in trials]
    end = max(queries[-1] for queries, _ in courses)
    for place, (trial, (queries, success)) in enumerate(zip(trials, courses, strict=True)):
        look = _look(place) | {"marker": ""}
        # What an attack has broken by its end stays broken.
        queries, success = np.append(queries, end), np.append(success, success[-1])
        ax.plot(queries, success, drawstyle="steps-post", label=trial.name, **look)
    ax.set(ylim=(0, 100), ylabel="attack success [%]", xlabel="queries of a sample")
    # Queries begin at 0 where nothing had to be asked, and end in the thousands.
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlim(left=0)
    _legend(figure, ax)
    return figure


def course(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Queries in ascending order, and the attack success [%] that they have brought by then."""
    outcome = trial.outcome
    correct = outcome.robustness.correct
    queries = (outcome.forwards + outcome.backwards)[correct]
    at, places = np.unique(queries, return_inverse=True)
    broke = np.bincount(places, outcome.robustness.flipped[correct], len(at))
    at, success = np.append(0, at), np.append(0, 100 * broke.cumsum() / max(len(queries), 1))
    kept = np.unique(np.linspace(0, len(at) - 1, MOST_POINTS).astype(int))
    return at[kept], success[kept]


def _axes(width: float, height: float, names: Iterable[str] = ()) -> tuple[Figure, Axes]:
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


def _look(place: int) -> dict[str, Any]:
    """Colour, style and marker of a line, which also differ in grey."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
    style = STYLES[place // len(SERIES) % len(STYLES)]
    return {"color": colour, "marker": marker, "ls": style, "lw": 1.4}


def _legend(figure: Figure, ax: Axes) -> None:
    """The names of the lines, below one another below the axes."""
    handles, names = ax.get_legend_handles_labels()
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


def _bars(
    labels: Sequence[str],
    values: Sequence[float],
    words: str,
    width: float,
    colours: Sequence[str],
    reach: np.ndarray | None = None,
    limit: float | None = None,
) -> Figure:
    """Bars below their labels, which may be long, with the reach of their intervals [2, n]."""
    folded = [textwrap.fill(label, int(LETTERS * width)) for label in labels]
    heights = np.array([0.24 + 0.17 * (1 + label.count("\n")) for label in folded])
    figure, ax = _axes(width, 0.55 + float(heights.sum()))
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
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    return figure
