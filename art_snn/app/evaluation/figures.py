"""Accuracy against the budget, and attack success against queries and sizes, as figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from art_snn.app.colours import GREY, INK, SERIES
from art_snn.app.evaluation.axes import (
    WIDTH,
    accuracy_words,
    add_legend,
    budget_scale,
    labelled_bars,
    line_look,
    plain_axes,
)
from art_snn.app.evaluation.evaluation import Evaluation, Trial
from art_snn.app.evaluation.series import query_course, size_course
from art_snn.app.evaluation.verdict import CERTIFIED, UNION, Verdict, bound, verdicts
from art_snn.app.evaluation.words import unit
from art_snn.metrics import Share

BAND = {"color": INK, "alpha": 0.28, "lw": 7, "elinewidth": 2.5, "capsize": 0, "marker": ""}
"""The union as a broad light band, on which the line of an attack that alone makes it is seen."""
BELOW = {"ls": "--", "marker": "^", "lw": 1.4}
"""What is certified, which no attack goes below."""


def accuracy_figure(evaluation: Evaluation, width: float = WIDTH) -> Figure:
    """What accuracy each attack leaves, their union, and what is certified, with 95 % intervals.

    With one budget the attacks are bars, with more they are lines over the budget."""
    results = verdicts(evaluation)
    words = accuracy_words(results, bounded=bool(evaluation.bounds))
    if len(results) == 1:
        return _accuracy_bars(evaluation, results[0], words, width)
    clean = {0.0: results[0].outcome.clean_accuracy}
    curves: dict[str, dict[float, Share]] = {}
    for name in evaluation.names:
        curves[name] = {0.0: evaluation.of(name)[0].robustness.clean_accuracy}
        curves[name] |= {t.eps: t.robustness.robust_accuracy for t in evaluation.of(name)}
    curves[UNION] = clean | {v.eps: v.outcome.robust_accuracy for v in results}
    if certified := certified_curve(results):
        curves[CERTIFIED] = clean | certified
    return accuracy_curves(curves, evaluation.norm, words, width)


def certified_curve(results: Sequence[Verdict]) -> dict[float, Share]:
    """The certified accuracy over the budgets, nothing without bounds."""
    return {v.eps: v.certified for v in results if v.certified is not None}


def accuracy_curves(
    curves: Mapping[str, Mapping[float, Share]], norm: str, words: str, width: float
) -> Figure:
    """One line per name over the budgets, that of the union as a band behind the others, and that
    of what is certified dashed, in the colour of the line before it."""
    figure, ax = plain_axes(width, 2.5, curves)
    scale, by = budget_scale(norm, (eps for curve in curves.values() for eps in curve))
    lines: list[Any] = []
    colour = INK
    for place, (name, curve) in enumerate(curves.items()):
        x = scale * np.array(list(curve))
        values, reach = _percentages(list(curve.values()))
        look = {"markersize": 4, "capsize": 2, "elinewidth": 0.8} | line_look(place)
        look |= BAND | {"zorder": 1.5} if name == UNION else {}
        certified = name == CERTIFIED or name.endswith(f", {CERTIFIED}")
        look |= BELOW | {"color": colour} if certified else {}
        colour = look["color"]
        lines.append(ax.errorbar(x, values, reach, label=name, **look))
    ax.set(ylim=(0, 100), ylabel=words, xlabel=f"{unit(norm)}{by}")
    ax.set_xlim(left=0)
    add_legend(figure, lines, list(curves))
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
    if verdict.certified is not None:
        robust.append(verdict.certified)
        labels.append(f"{CERTIFIED}: at least {verdict.certified}")
        colours.append(GREY)
    values, reach = _percentages(robust)
    return labelled_bars(labels, values, words, width, colours, reach, limit=100)


def queries_figure(trials: Sequence[Trial], width: float = WIDTH) -> Figure:
    """Attack success against the queries that a sample has taken."""
    figure = _success({trial.name: query_course(trial) for trial in trials}, width)
    (ax,) = figure.axes
    ax.set_xlabel("forward and backward passes of a sample")
    # Queries begin at 0 where nothing had to be asked, and end in the thousands.
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlim(left=0)
    return figure


def sizes_figure(evaluation: Evaluation, width: float = WIDTH) -> Figure:
    """Attack success against the size of the smallest adversarial of a sample, at any budget."""
    scale, by = budget_scale(evaluation.norm, evaluation.budgets)
    courses = {}
    for name in evaluation.names:
        trials = evaluation.of(name)
        sizes, success = size_course(trials)
        sizes, success = np.append(sizes, trials[-1].eps), np.append(success, success[-1])
        courses[name] = scale * sizes, success
    figure = _success(courses, width)
    (ax,) = figure.axes
    for eps in evaluation.budgets:
        ax.axvline(scale * eps, color=GREY, lw=0.8, ls=":", zorder=1)
    words = unit(evaluation.norm)
    words = words.replace("eps in", "size of the change in", 1)
    ax.set_xlabel(f"{words}{by}")
    ax.set_xlim(0, 1.02 * scale * evaluation.budgets[-1])
    return figure


def _success(courses: Mapping[str, tuple[np.ndarray, np.ndarray]], width: float) -> Figure:
    """Attack success in steps, one line per name, all to the end of the longest."""
    figure, ax = plain_axes(width, 2.5, courses)
    end = max(x[-1] for x, _ in courses.values())
    for place, (name, (x, success)) in enumerate(courses.items()):
        look = line_look(place) | {"marker": ""}
        # What an attack has broken by its end stays broken.
        x, success = np.append(x, end), np.append(success, success[-1])
        ax.plot(x, success, drawstyle="steps-post", label=name, **look)
    ax.set(ylim=(-2, 102), ylabel="attack success [%]")
    add_legend(figure, ax.lines, list(courses))
    return figure
