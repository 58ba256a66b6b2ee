"""An evaluation with what lies beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from art_snn.checks import ArgumentError
from art_snn.experiments.evaluation.examples import Examples

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.result import Evaluation


@dataclass(frozen=True)
class Opened:
    """An evaluation with what lies beside it.

    :param name: by which it is told from others: the path of its file, or "".
    :param evaluation: what was found.
    :param examples: some samples beside their adversarials, if there are any.
    :param lacking: why there are none, in a sentence, or ""."""

    name: str
    evaluation: "Evaluation"
    examples: Examples | None = None
    lacking: str = ""

    @classmethod
    def of(cls, name: str, evaluation: "Evaluation", folder: Path) -> "Opened":
        """With the examples of that folder; where they are damaged or of another evaluation,
        without them."""
        try:
            examples = Examples.read(folder)
        except ArgumentError as error:
            return cls(name, evaluation, None, f"Left out: {error.complaint}")
        if examples is None:
            return cls(name, evaluation, None, "No examples lie beside the evaluation.")
        known = {(trial.name, trial.eps) for trial in evaluation.trials}
        within = all(0 <= row < len(evaluation.samples) for row in examples.rows.tolist())
        if within and (examples.trial, examples.eps) in known:
            return cls(name, evaluation, examples)
        return cls(name, evaluation, None, "Left out: the examples are of another evaluation.")
