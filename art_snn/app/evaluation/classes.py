"""How accurate the network is on each class, without an attack and under all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from art_snn.app.colours import INK, SERIES
from art_snn.app.evaluation.axes import SIZE, WIDTH, accuracy_words, add_legend, plain_axes
from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.svg import Drawing, inline
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.evaluation.words import join_words, short_budget
from art_snn.metrics import Share

MOST_ROWS = 20
"""Classes that have a row with their counts; more are columns next to one another."""
MOST_BUDGETS = 3
"""Budgets at which the accuracy of a class is drawn."""
MOST_WEAK = 4
"""Classes that a sentence names; of more it gives the number."""
SHADE = 0.3
"""Of one bar. That of a budget lies upon that of the budget before and makes it darker."""
CLEAN = "without an attack"

Counts = Mapping[int, Sequence[int]]
"""By class: all samples, those classified correctly, and those that are so at each budget."""


def class_counts(evaluation: Evaluation) -> dict[int, list[int]]:
    """Of each class, sorted: all samples, the correct ones, and the robust ones at each budget."""
    labels, results = np.array(evaluation.labels), verdicts(evaluation)
    columns = [np.ones(len(labels), dtype=bool), results[0].outcome.correct]
    columns += [one.outcome.correct & one.outcome.robust for one in results]
    classes, places = np.unique(labels, return_inverse=True)
    counts = [np.bincount(places[column], minlength=len(classes)) for column in columns]
    return dict(zip(classes.tolist(), np.transpose(counts).tolist(), strict=True))


def draw_classes(evaluation: Evaluation, name: str) -> Drawing:
    """Accuracy by class without an attack and under all of them."""
    results = verdicts(evaluation)
    spread = np.linspace(0, len(results) - 1, MOST_BUDGETS).round().astype(int)
    places = np.unique(spread).tolist()
    columns = [0, 1, *(place + 2 for place in places)]
    counts = {n: [row[c] for c in columns] for n, row in class_counts(evaluation).items()}
    names = [CLEAN, *(short_budget(evaluation.norm, results[place].eps) for place in places)]
    figure = classes_figure(counts, names, accuracy_words(results))
    words, rows = weakest_words(evaluation), []
    if len(counts) <= MOST_ROWS:
        words += f" The counts are those of correct samples {join_words(names)}."
    for number, (total, *correct) in counts.items():
        rows.append(f"class {number} {join_words([*map(str, correct)])} of {total}")
    title = "Accuracy of each class without an attack and under all attacks"
    return Drawing(title, inline(figure, name, title, f"{words} {'; '.join(rows)}."), words)


def weakest_words(evaluation: Evaluation) -> str:
    """Which class is the weakest, in a sentence: at the largest budget that leaves any sample."""
    counts, results = class_counts(evaluation), verdicts(evaluation)
    left = np.sum(list(counts.values()), axis=0)
    place = max(np.flatnonzero(left[2:]) + 2, default=1)
    at = short_budget(evaluation.norm, results[place - 2].eps) if place > 1 else CLEAN
    shares = {number: Share(row[place], row[0]) for number, row in counts.items()}
    least = min(share.value for share in shares.values())
    weak = [number for number, share in shares.items() if share.value == least]
    if len(shares) == 1:
        return f"All samples are of class {weak[0]}."
    if len(weak) == len(shares):
        return f"All classes are equally accurate {at}."
    if len(weak) == 1:
        share = shares[weak[0]]
        samples = "sample is" if share.total == 1 else "samples are"
        return f"Class {weak[0]} is the weakest {at}: {share} of its {share.total} {samples} right."
    several = f"Classes {join_words([*map(str, weak)])}"
    several = several if len(weak) <= MOST_WEAK else f"{len(weak)} classes"
    return f"{several} are the weakest {at}: {100 * least:.1f} % of the samples of each are right."


def classes_figure(
    counts: Counts, names: Sequence[str], words: str, width: float = WIDTH
) -> Figure:
    """Accuracy of each class without an attack and at each budget, the larger ones darker.

    :param names: of the counts after the first; words: what the axis shows."""
    draw = _columns if len(counts) > MOST_ROWS else _rows
    figure = draw(counts, names, words, width)
    shades = [1 - (1 - SHADE) ** (1 + place) for place in range(len(names))]
    handles = [Patch(color=SERIES[0], alpha=shade, lw=0) for shade in shades]
    add_legend(figure, handles, names)
    return figure


def _rows(counts: Counts, names: Sequence[str], words: str, width: float) -> Figure:
    figure, ax = plain_axes(width, 0.6 + 0.21 * len(counts), names)
    places = np.arange(len(counts))
    for column in _percentages(counts).T:
        ax.barh(places, column, height=0.72, color=SERIES[0], alpha=SHADE, lw=0)
    for place, (total, *correct) in enumerate(counts.values()):
        label = f"{', '.join(map(str, correct))} of {total}"
        ax.text(102, place, label, color=INK, fontsize=SIZE, va="center")
    ax.set(yticks=places, yticklabels=list(counts), ylabel="class", xlabel=words)
    ax.set(xlim=(0, 100), ylim=(len(counts) - 0.5, -0.5))
    ax.grid(visible=False, axis="y")
    return figure


def _columns(counts: Counts, names: Sequence[str], words: str, width: float) -> Figure:
    figure, ax = plain_axes(width, 2.5, names)
    first, last = min(counts), max(counts)
    values = np.full((last - first + 1, len(names)), np.nan)
    values[np.array(list(counts)) - first] = _percentages(counts)
    for column in values.T:
        edges = np.arange(first, last + 2) - 0.5
        ax.stairs(column, edges, fill=True, color=SERIES[0], alpha=SHADE, lw=0)
    ax.set(ylim=(0, 100), xlim=(first - 0.5, last + 0.5), xlabel="class", ylabel=words)
    ax.grid(visible=False, axis="x")
    return figure


def _percentages(counts: Counts) -> np.ndarray:
    """Shares of the samples of each class that are correct, in percent [classes, names]."""
    table = np.array(list(counts.values()))
    return np.asarray(100 * table[:, 1:] / table[:, :1])
