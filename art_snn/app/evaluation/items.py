"""Evaluations as a report shows them: with the samples that lie next to their files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.resume import read_result, structured
from art_snn.checks import (
    FILE,
    FOLDER,
    ArgumentError,
    expand_path,
    invalid,
    path_kind,
    require,
    require_kind,
)
from art_snn.files import corruption, write_arrays

EXAMPLES, RESULT = "examples.npz", "evaluation.json"
EXPECTED = "an evaluation, as art-snn evaluate writes it"
_REMEDY = "Evaluate again into the same folder; what is there is taken up."


@dataclass(frozen=True)
class Examples:
    """Samples that one trial broke.

    :param trial: name of the trial; eps: its budget.
    :param rows: numbers of the samples in the evaluation, from 0 [k].
    :param x, adversarial: samples, and what the trial made of them ``[k, *input_shape]``.
    :param predicted: classes that the network takes the adversarials for [k]."""

    trial: str
    eps: float
    rows: np.ndarray
    x: np.ndarray
    adversarial: np.ndarray
    predicted: np.ndarray

    def __post_init__(self) -> None:
        sizes = {len(column) for column in (self.rows, self.x, self.adversarial, self.predicted)}
        alike = len(sizes) == 1 and self.x.shape == self.adversarial.shape
        expected = "as many samples and adversarials, alike in shape"
        got = f"arrays of {sorted(sizes)} rows, {self.x.shape} and {self.adversarial.shape}"
        remedy = "Give each sample its row, its adversarial and its prediction."
        require(alike, "adversarial", expected, got, remedy)
        whole = all(column.dtype.kind in "iu" for column in (self.rows, self.predicted))
        got = f"{self.rows.dtype} and {self.predicted.dtype}"
        remedy = "Give numbers of samples and of classes."
        require(whole, "rows", "rows and predicted classes as whole numbers", got, remedy)

    def write(self, folder: Path) -> None:
        """Write them into the folder of the evaluation."""
        write_arrays(folder / EXAMPLES, **{name: np.asarray(v) for name, v in vars(self).items()})

    @classmethod
    def read(cls, folder: Path) -> "Examples | None":
        """Those of an evaluation's folder, None where there are none.

        :raises ValueError: when the file is damaged or holds something else."""
        path = folder / EXAMPLES
        if not path.exists():
            return None
        expected = "samples next to their adversarials"
        try:
            broken = corruption(path)
            if broken:
                raise invalid("examples", expected, f"{path}, which {broken}", _REMEDY)
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            trial, eps = str(arrays.pop("trial")), float(arrays.pop("eps"))
            return cls(trial, eps, **arrays)
        except ArgumentError:
            raise
        except Exception as error:
            # What is no such archive fails in any way its bytes happen to lead to.
            got = f"{path}, which cannot be read ({type(error).__name__})"
            raise invalid("examples", expected, got, _REMEDY) from error


@dataclass(frozen=True)
class ReportItem:
    """An evaluation as a report shows it.

    :param name: the path of its file, or "".
    :param examples: some samples with their adversarials, if there are any.
    :param objection: why there are none, in a sentence."""

    name: str
    evaluation: Evaluation
    examples: Examples | None = None
    objection: str | None = None

    @classmethod
    def of(cls, name: str, evaluation: Evaluation, folder: Path) -> "ReportItem":
        """With the examples of that folder, unless they are damaged or of another evaluation."""
        try:
            examples = Examples.read(folder)
        except ArgumentError as error:
            return cls(name, evaluation, None, f"Left out: {error.complaint}")
        if examples is None:
            return cls(name, evaluation, None, "There are no examples next to the evaluation.")
        trials = {(trial.name, trial.eps) for trial in evaluation.trials}
        within = all(0 <= row < len(evaluation.samples) for row in examples.rows.tolist())
        if within and (examples.trial, examples.eps) in trials:
            return cls(name, evaluation, examples)
        return cls(name, evaluation, None, "Left out: the examples are of another evaluation.")


def read_evaluation(file: str | Path, argument: str = "files") -> ReportItem:
    """The evaluation in a JSON file, or in a folder, with the examples that lie next to it.

    :param file: evaluation.json, or the folder that holds it.
    :param argument: as complaints name the file.
    :raises FileNotFoundError: when it is not there.
    :raises ValueError: when it is damaged, naming the field, or holds anything else."""
    path = expand_path(argument, file)
    if path_kind(argument, path) == FOLDER:
        path /= RESULT
    require_kind(argument, path, FILE, EXPECTED)
    remedy = "Give evaluation.json from the folder of an evaluation."
    try:
        content = read_result(path)
        if not {"trials", "findings"} & content.keys():
            raise ValueError("holds another kind of result")
        evaluation: Evaluation = structured(content, Evaluation)
    except (ValueError, OSError) as error:
        raise invalid(argument, EXPECTED, f"{path}, which {error}", remedy) from error
    return ReportItem.of(str(file), evaluation, path.parent)
