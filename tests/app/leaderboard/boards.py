"""Evaluations by hand from which leaderboards are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from art_snn.app.leaderboard import Leaderboard

from art_snn.app.report.evaluation import Evaluation, ReportItem
from tests.evaluations import STAGES, evaluation, proven, provenance, trial

EPS = 8 / 255
ANN = "adversarials Ann"


def network(stage: Any, name: str = "plain", weights: str = "", **changes: Any) -> Evaluation:
    """One network of the weights of its name, under a plan with that outcome and under PGD-7, which
    breaks nothing.

    :param changes: of the evaluation; those of its provenance by their names there."""
    noted = {
        key: changes.pop(key) for key in ("dataset", "parameters", "training") if key in changes
    }
    noted |= {key: changes.pop(key) for key in ("examined", "steps", "data") if key in changes}
    plan, eps = changes.pop("plan", "standard"), changes.pop("eps", EPS)
    stages = changes.pop("stages", STAGES[:2])
    weak = trial("PGD-7 by stbp", eps, [-2 if number == -2 else -1 for number in stage])
    source = provenance(weights=weights or f"{name}0000000", **noted)
    usual: dict[str, Any] = {"name": name, "plan": plan, "provenance": source, "key": name}
    return evaluation(trial(plan, eps, stage, stages), weak, **(usual | changes))


def certified(made: Evaluation, *margins: float) -> Evaluation:
    """The same with bounds at its budget."""
    return replace(made, bounds=(proven(*margins, eps=made.budgets[0]),))


def board(*made: Evaluation) -> Leaderboard:
    """The leaderboard of evaluations in the files a, b, c and so on."""
    return Leaderboard.of(ReportItem(chr(97 + n), one) for n, one in enumerate(made))


def column(table: Leaderboard, title: str, place: int = 0) -> list[str]:
    """The cells of a column, from the top."""
    return [row[title].text for row in table.rankings[place].rows]
