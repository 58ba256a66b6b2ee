"""The figures of a page with what they show in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from art_snn.attacks import Outcome
from art_snn.experiments.evaluation.figures import accuracy_curves, accuracy_figure, broken, spent
from art_snn.experiments.evaluation.rows import at
from art_snn.experiments.evaluation.svg import inline
from art_snn.experiments.evaluation.verdict import budget_words, join_words, verdicts

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.opened import Opened
    from art_snn.experiments.evaluation.result import Evaluation
    from art_snn.experiments.evaluation.trial import Trial


@dataclass(frozen=True)
class Drawn:
    """A figure on a page.

    :param title: what is drawn.
    :param element: the figure itself.
    :param words: below the figure."""

    title: str
    element: Markup
    words: str = ""


def accuracy_drawn(evaluation: "Evaluation", name: str) -> Drawn:
    """Accuracy against the budget."""
    found = verdicts(evaluation)
    told = [f"{one.share} {budget_words(one.norm, one.eps)}" for one in found]
    words = (
        f"All attacks together leave {join_words(told)}. The numbers are in the table of attacks."
    )
    title = "Accuracy under every attack and under all of them, with 95 % intervals"
    return Drawn(title, inline(accuracy_figure(evaluation), name, title, words))


def stages_drawn(evaluation: "Evaluation", name: str) -> list[Drawn]:
    """What broke the samples at the largest budget, of every trial of several stages."""
    several = [trial for trial in _largest(evaluation) if len(trial.stages) > 1]
    return [
        _stages(trial, evaluation.norm, f"{name}-{place}") for place, trial in enumerate(several)
    ]


def queries_drawn(evaluation: "Evaluation", name: str) -> Drawn:
    """Success against queries at the largest budget."""
    trials = _largest(evaluation)
    told = [f"{trial.name} {trial.outcome.queries:.0f}" for trial in trials]
    at_eps = budget_words(evaluation.norm, evaluation.budgets[-1])
    words = f"Forward and backward passes per sample, on average: {join_words(told)}."
    title = f"Attack success against the queries that a sample took, {at_eps}"
    return Drawn(title, inline(spent(trials), name, title, words), words)


def sides_drawn(every: "Sequence[Opened]", name: str) -> Drawn | None:
    """The verdicts of several evaluations in one figure; None where their norms differ."""
    norms = {one.evaluation.norm for one in every}
    if len(norms) > 1:
        return None
    curves, told, is_open = {}, [], False
    for number, one in enumerate(every, 1):
        found = verdicts(one.evaluation)
        is_open |= found[0].open
        clean = {0.0: found[0].outcome.clean_accuracy}
        curves[f"{number}: {one.evaluation.title}"] = clean | {
            v.eps: v.outcome.robust_accuracy for v in found
        }
        shares = [f"{v.share} {budget_words(v.norm, v.eps)}" for v in found]
        told.append(f"result {number} {join_words(shares)}")
    axis = f"accuracy{' at most' if is_open else ''} [%]"
    title = "Accuracy under all attacks of every result, with 95 % intervals"
    figure = accuracy_curves(curves, norms.pop(), axis, 3.6)
    return Drawn(title, inline(figure, name, title, f"{'; '.join(told)}."))


def _largest(evaluation: "Evaluation") -> "list[Trial]":
    return list(at(evaluation, evaluation.budgets[-1]).values())


def _stages(trial: "Trial", norm: str, name: str) -> Drawn:
    counts = trial.outcome.broken_by
    total, stood = len(trial.stage), trial.stage.count(Outcome.STANDING)
    wrong = trial.stage.count(Outcome.WRONG) + trial.stage.count(Outcome.UNANSWERED)
    words = (
        f"Of {total} samples {wrong} were not correct before, {sum(counts.values())} were broken, "
        f"and {stood} stand."
    )
    each = join_words([f"{stage} {count}" for stage, count in counts.items()])
    title = f"Samples that every stage of {trial.name} broke, {budget_words(norm, trial.eps)}"
    drawing = inline(broken(trial), name, title, f"{words} Broken by stage: {each}.")
    return Drawn(title, drawing, words)
