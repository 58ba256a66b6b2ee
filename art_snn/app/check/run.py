"""Reads an evaluation, compares it with network and data, and attacks nothing."""

from typing import Any

from art_snn.app.check.repetition import Repetition
from art_snn.app.check.result import Checked
from art_snn.app.check.settings import Settings
from art_snn.app.evaluate import Settings as Evaluating
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation import Evaluation, read_evaluation
from art_snn.app.resume import earlier
from art_snn.checks import FOLDER, expand_path, path_kind


def run(settings: Settings) -> Checked:
    """Check the evaluation, and write check.json and check.md.

    :raises FileNotFoundError, ValueError: when the evaluation is missing or damaged, or when
        network and data do not suit each other."""
    with settings.at_work() as team:
        earlier(settings.output / "check.json", "kind", dict, lambda content: "checks" in content)
        evaluation = read_evaluation(settings.folder, "folder").evaluation
        data = settings.source.load()
        target = Target.obtain(as_evaluated(evaluation, settings), data, team)
        path = expand_path("folder", settings.folder)
        folder = path if path_kind("folder", path) == FOLDER else path.parent
        checks = [*Repetition(evaluation, target, folder).checks()]
        result = Checked(f"{evaluation.name}, {evaluation.title}", checks)
        result.write(settings.output)
    return result


def as_evaluated(evaluation: Evaluation, settings: Settings) -> Evaluating:
    """The settings of the evaluation, but for its attacks."""
    source = evaluation.provenance
    how: dict[str, Any] = {"seed": source.seed, "block": source.block}
    how |= {"batch_size": source.batch_size, "samples": len(evaluation.samples), "examined": 0}
    how |= {name: getattr(settings, name) for name in ("source", "network", "output", "device")}
    return Evaluating(norm=evaluation.norm, eps=evaluation.budgets, **how)  # type: ignore[arg-type]
