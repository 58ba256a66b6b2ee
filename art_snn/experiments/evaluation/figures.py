"""The figures of an evaluation, narrow enough to be read on a phone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.experiments.colours import GREY, INK, SERIES, titled
from art_snn.experiments.evaluation.panels import bars, legend, lines, panel
from art_snn.experiments.evaluation.verdict import Verdict, bound, size, unit, verdicts
from art_snn.metrics import Share

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.result import Evaluation
    from art_snn.experiments.evaluation.trial import Trial

UNION = "union of all"
LEVELS = 255


def draw(evaluation: "Evaluation") -> Figure:
    """Accuracy against the budget, as a file of its own."""
    figure = accuracy_figure(evaluation, width=6.5)
    titled(figure, evaluation.title)
    return figure


def accuracy_figure(evaluation: "Evaluation", width: float = 3.6) -> Figure:
    """What accuracy every attack leaves, and their union, with 95 % intervals.

    With one budget the attacks are bars, with more they are lines over the budget."""
    found = verdicts(evaluation)
    words = f"accuracy{' at most' if found[-1].open else ''} [%]"
    if len(found) == 1:
        return _bars(evaluation, found[0], words, width)
    clean = found[0].outcome.clean_accuracy
    curves = {}
    for name in evaluation.names:
        trials = evaluation.named(name)
        start = next(iter(trials.values())).robustness.clean_accuracy
        curves[name] = {0.0: start} | {e: t.robustness.robust_accuracy for e, t in trials.items()}
    curves[UNION] = {0.0: clean} | {v.eps: v.outcome.robust_accuracy for v in found}
    return accuracy_curves(curves, evaluation.norm, words, width)


def accuracy_curves(
    curves: Mapping[str, Mapping[float, Share]], norm: str, words: str, width: float
) -> Figure:
    """One line per name over the budgets, that of the union thick."""
    figure, ax = panel(width, 2.5, curves)
    levels = norm == "inf" and all("/" in size(norm, e) for c in curves.values() for e in c if e)
    scale = LEVELS if levels else 1
    for place, (name, curve) in enumerate(curves.items()):
        _curve(ax, name, curve, scale, place)
    ax.set(ylim=(0, 100), ylabel=words, xlabel=f"{unit(norm)}{' [1/255]' if levels else ''}")
    ax.set_xlim(left=0)
    legend(figure, ax)
    return figure


def _curve(ax: Axes, name: str, curve: Mapping[float, Share], scale: int, place: int) -> None:
    look = lines(place) | (
        {"color": INK, "lw": 3.2, "ls": "-", "zorder": 1.5} if name == UNION else {}
    )
    x = scale * np.array(list(curve))
    values = [100 * share.value for share in curve.values()]
    low, high = 100 * np.array([share.interval for share in curve.values()]).T
    reach = np.abs([values - low, high - values])
    ax.errorbar(x, values, reach, label=name, markersize=4, capsize=2, elinewidth=0.8, **look)


def _bars(evaluation: "Evaluation", verdict: Verdict, words: str, width: float) -> Figure:
    robust = [trial.robustness.robust_accuracy for trial in evaluation.trials]
    told = [f"{t.name}: {bound(evaluation, t, verdict)}" for t in evaluation.trials]
    colours = [SERIES[0]] * len(told)
    if len(told) > 1:
        robust.append(verdict.outcome.robust_accuracy)
        told.append(f"{UNION}: {verdict.share}")
        colours.append(INK)
    values = [100 * share.value for share in robust]
    low, high = 100 * np.array([share.interval for share in robust]).T
    reach = np.abs([values - low, high - values])
    return bars(told, values, words, width, colours, reach, limit=100)


def broken(trial: "Trial", width: float = 3.6) -> Figure:
    """How many samples every stage of a plan broke that those before it had not."""
    counts = trial.outcome.broken_by
    told = [f"{count}: {stage}" for stage, count in counts.items()]
    colours = [SERIES[0] if count else GREY for count in counts.values()]
    return bars(told, list(counts.values()), "samples broken", width, colours)


def spent(trials: "Sequence[Trial]", width: float = 3.6) -> Figure:
    """Attack success against the queries that a sample has taken."""
    figure, ax = panel(width, 2.5, [trial.name for trial in trials])
    courses = [course(trial) for trial in trials]
    end = max(queries[-1] for queries, _ in courses)
    for place, (trial, (queries, success)) in enumerate(zip(trials, courses, strict=True)):
        look = lines(place) | {"marker": ""}
        # What an attack has broken by its end stays broken.
        queries, success = np.append(queries, end), np.append(success, success[-1])
        ax.plot(queries, success, drawstyle="steps-post", label=trial.name, **look)
    ax.set(ylim=(0, 100), ylabel="attack success [%]", xlabel="queries of a sample")
    # Queries begin at 0 where nothing had to be asked, and end in the thousands.
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlim(left=0)
    legend(figure, ax)
    return figure


def course(trial: "Trial") -> tuple[np.ndarray, np.ndarray]:
    """Queries in ascending order, and the attack success [%] that they have brought by then."""
    outcome = trial.outcome
    correct = outcome.robustness.correct
    queries = (outcome.forwards + outcome.backwards)[correct]
    at, counts = np.unique(queries, return_inverse=True)
    broke = np.bincount(counts, outcome.robustness.flipped[correct], len(at))
    at, success = np.append(0, at), np.append(0, 100 * broke.cumsum() / max(len(queries), 1))
    kept = np.unique(np.linspace(0, len(at) - 1, MOST_POINTS).astype(int))
    return at[kept], success[kept]


MOST_POINTS = 200
"""Of a line: more would make the page large and change nothing that can be seen."""
