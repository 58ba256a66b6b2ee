"""The figures of a page, with what they show in words."""

from collections.abc import Sequence

import numpy as np

from art_snn.app.evaluation.axes import LEVELS, WIDTH, accuracy_words, budget_scale
from art_snn.app.evaluation.classes import draw_classes
from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.figures import (
    accuracy_curves,
    accuracy_figure,
    certified_curve,
    queries_figure,
    sizes_figure,
)
from art_snn.app.evaluation.items import ReportItem
from art_snn.app.evaluation.series import smallest_changes
from art_snn.app.evaluation.stages import draw_stages
from art_snn.app.evaluation.svg import Drawing, inline
from art_snn.app.evaluation.verdict import CERTIFIED, verdicts
from art_snn.app.evaluation.words import budget_words, join_words


def draw_sections(evaluation: Evaluation, name: str) -> dict[str, list[Drawing]]:
    """The figures of an evaluation by the section of the page that they belong to.

    :param name: begins the names of all their elements."""
    figures = {
        "accuracy": draw_accuracy,
        "queries": draw_queries,
        "sizes": draw_sizes,
        "classes": draw_classes,
    }
    attacks = [draw(evaluation, f"{name}-{part}") for part, draw in figures.items()]
    return {"attacks": attacks, "stages": draw_stages(evaluation, f"{name}-stages")}


def draw_accuracy(evaluation: Evaluation, name: str) -> Drawing:
    """Accuracy against the budget."""
    shares = [f"{one.share} {budget_words(one.norm, one.eps)}" for one in verdicts(evaluation)]
    words = f"All attacks together leave {join_words(shares)}."
    if evaluation.bounds:
        proven = [f"{v.certified} {budget_words(v.norm, v.eps)}" for v in verdicts(evaluation)]
        words += f" Certified are {join_words(proven)}."
    words = f"{words} The table of attacks has the numbers."
    certified = ", and what is certified" if evaluation.bounds else ""
    title = f"Accuracy under each attack and under all of them{certified}, with 95 % intervals"
    return Drawing(title, inline(accuracy_figure(evaluation), name, title, words))


def draw_queries(evaluation: Evaluation, name: str) -> Drawing:
    """Success against queries at the largest budget."""
    trials = list(evaluation.at(evaluation.budgets[-1]).values())
    means = [f"{trial.name} {trial.outcome.queries:.0f}" for trial in trials]
    at_eps = budget_words(evaluation.norm, evaluation.budgets[-1])
    words = f"Forward and backward passes per sample, on average: {join_words(means)}."
    title = f"Attack success against the queries that a sample took, {at_eps}"
    return Drawing(title, inline(queries_figure(trials), name, title, words), words)


def draw_sizes(evaluation: Evaluation, name: str) -> Drawing:
    """Success against the size of the change, over all budgets."""
    words = f"{_medians(evaluation)} The dotted lines are the budgets. Smaller changes may exist: "
    words += "most attacks stop at the first that they find."
    title = "Attack success against the size of the smallest change that broke a sample"
    return Drawing(title, inline(sizes_figure(evaluation), name, title, words), words)


def _medians(evaluation: Evaluation) -> str:
    """How large half of the changes are, in a sentence."""
    scale, _ = budget_scale(evaluation.norm, evaluation.budgets)
    medians = []
    for attack in evaluation.names:
        _, sizes = smallest_changes(evaluation.of(attack))
        broken = sizes[np.isfinite(sizes)]
        if len(broken):
            unit = f"/{LEVELS}" if scale == LEVELS else ""
            medians.append(f"{attack} {scale * np.median(broken):.3g}{unit}")
    return f"Medians: {join_words(medians)}." if medians else "No sample was broken."


def draw_side_by_side(items: Sequence[ReportItem], name: str) -> Drawing | None:
    """The verdicts of several evaluations in one figure; None where their norms differ."""
    norms = {item.evaluation.norm for item in items}
    if len(norms) > 1:
        return None
    curves, words, results = {}, [], []
    for number, item in enumerate(items, 1):
        mine = verdicts(item.evaluation)
        results += mine
        clean = {0.0: mine[0].outcome.clean_accuracy}
        curve = clean | {v.eps: v.outcome.robust_accuracy for v in mine}
        curves[f"{number}: {item.evaluation.name}"] = curve
        shares = [f"{v.share} {budget_words(v.norm, v.eps)}" for v in mine]
        words.append(f"result {number} {join_words(shares)}")
        if certified := certified_curve(mine):
            curves[f"{number}: {item.evaluation.name}, {CERTIFIED}"] = clean | certified
    bounded = any(item.evaluation.bounds for item in items)
    certified_words = ", and what is certified" if bounded else ""
    title = f"Accuracy under all attacks of each result{certified_words}, with 95 % intervals"
    axis = accuracy_words(results, bounded=bounded)
    figure = accuracy_curves(curves, norms.pop(), axis, WIDTH)
    return Drawing(title, inline(figure, name, title, f"{'; '.join(words)}."))
