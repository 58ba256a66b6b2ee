"""The figures of a page as SVG, in the page's font and colours, with what they show in words."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from art_snn.attacks import Outcome
from art_snn.experiments.colours import ROLES
from art_snn.experiments.evaluation.evaluation import Evaluation, Trial
from art_snn.experiments.evaluation.figures import (
    accuracy_curves,
    accuracy_figure,
    broken_figure,
    queries_figure,
)
from art_snn.experiments.evaluation.items import ReportItem
from art_snn.experiments.evaluation.verdict import budget_words, join_words, verdicts

STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "art_snn"}
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True)
class Drawing:
    """A figure on a page, with its title and the words below it."""

    title: str
    element: Markup
    words: str = ""


def draw_accuracy(evaluation: Evaluation, name: str) -> Drawing:
    """Accuracy against the budget."""
    shares = [f"{one.share} {budget_words(one.norm, one.eps)}" for one in verdicts(evaluation)]
    words = f"All attacks together leave {join_words(shares)}."
    words = f"{words} The table of attacks has the numbers."
    title = "Accuracy under each attack and under all of them, with 95 % intervals"
    return Drawing(title, inline(accuracy_figure(evaluation), name, title, words))


def draw_stages(evaluation: Evaluation, name: str) -> list[Drawing]:
    """What broke the samples at the largest budget, of each trial of several stages."""
    trials = evaluation.at(evaluation.budgets[-1]).values()
    several = enumerate(trial for trial in trials if len(trial.outcome.stages) > 1)
    return [_draw_stages(trial, evaluation.norm, f"{name}-{place}") for place, trial in several]


def _draw_stages(trial: Trial, norm: str, name: str) -> Drawing:
    counts, stage = trial.outcome.broken_by, trial.outcome.stage
    survive = int((stage == Outcome.STANDING).sum())
    wrong = int((stage < Outcome.STANDING).sum())
    words = (
        f"Of {len(stage)} samples {wrong} were not correct before, {sum(counts.values())} were "
        f"broken, and {survive} survive."
    )
    stages = join_words([f"{stage} {count}" for stage, count in counts.items()])
    title = f"Samples that each stage of {trial.name} broke, {budget_words(norm, trial.eps)}"
    element = inline(broken_figure(trial), name, title, f"{words} Broken by stage: {stages}.")
    return Drawing(title, element, words)


def draw_queries(evaluation: Evaluation, name: str) -> Drawing:
    """Success against queries at the largest budget."""
    trials = list(evaluation.at(evaluation.budgets[-1]).values())
    means = [f"{trial.name} {trial.outcome.queries:.0f}" for trial in trials]
    at_eps = budget_words(evaluation.norm, evaluation.budgets[-1])
    words = f"Forward and backward passes per sample, on average: {join_words(means)}."
    title = f"Attack success against the queries that a sample took, {at_eps}"
    return Drawing(title, inline(queries_figure(trials), name, title, words), words)


def draw_side_by_side(items: Sequence[ReportItem], name: str) -> Drawing | None:
    """The verdicts of several evaluations in one figure; None where their norms differ."""
    norms = {item.evaluation.norm for item in items}
    if len(norms) > 1:
        return None
    curves, words, is_open = {}, [], False
    for number, item in enumerate(items, 1):
        results = verdicts(item.evaluation)
        is_open |= any(verdict.open for verdict in results)
        clean = {0.0: results[0].outcome.clean_accuracy}
        curve = clean | {v.eps: v.outcome.robust_accuracy for v in results}
        curves[f"{number}: {item.evaluation.name}"] = curve
        shares = [f"{v.share} {budget_words(v.norm, v.eps)}" for v in results]
        words.append(f"result {number} {join_words(shares)}")
    axis = f"accuracy{' at most' if is_open else ''} [%]"
    title = "Accuracy under all attacks of each result, with 95 % intervals"
    figure = accuracy_curves(curves, norms.pop(), axis, 3.6)
    return Drawing(title, inline(figure, name, title, f"{'; '.join(words)}."))


def inline(figure: Figure, name: str, title: str, words: str) -> Markup:
    """The figure as an element of a page; the same figure gives the same element.

    :param words: what is to be seen, in numbers, for those who do not see it."""
    with matplotlib.rc_context(STYLE):
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=NOTHING)
    svg = stream.getvalue()
    body = _recoloured(_renamed(svg[svg.index("<defs>") : svg.rindex("</svg>")], name))
    box = re.search(r'viewBox="([\d. ]+)"', svg)
    assert box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box[1]}"'
        f' aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-words">{escape(words)}</desc>'
    )
    # Matplotlib has escaped what it was given, and the rest is escaped above.
    return Markup(f"{head}{body}</svg>")


def _renamed(body: str, name: str) -> str:
    """The names of elements under that of the figure, since a page has several figures."""
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    return re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)


def _recoloured(body: str) -> str:
    for colour, role in ROLES.items():
        body = body.replace(colour, f"var(--{role})")
    # The font is the page's.
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
