"""Some samples beside their adversarials, for people to look at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from art_snn.checks import ArgumentError, invalid, require
from art_snn.files import damage, write_arrays

NAME = "examples.npz"
_REMEDY = "Evaluate again into the same folder; what is there is taken up."


@dataclass(frozen=True)
class Examples:
    """Samples that one trial broke.

    :param trial: name of the trial.
    :param eps: its budget.
    :param rows: numbers of the samples in the evaluation, from 0 [k].
    :param x: samples ``[k, *input_shape]``.
    :param adversarial: what the trial made of them ``[k, *input_shape]``.
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
        remedy = "Give every sample its row, its adversarial and its prediction."
        require(alike, "adversarial", expected, got, remedy)
        whole = all(column.dtype.kind in "iu" for column in (self.rows, self.predicted))
        got = f"{self.rows.dtype} and {self.predicted.dtype}"
        remedy = "Give numbers of samples and of classes."
        require(whole, "rows", "rows and predicted classes as whole numbers", got, remedy)

    def write(self, folder: Path) -> None:
        """Write them into the folder, beside the evaluation.

        :raises WriteFailed: when the system refuses."""
        scalars = {"trial": np.array(self.trial), "eps": np.array(self.eps)}
        columns = {name: getattr(self, name) for name in ("rows", "x", "adversarial", "predicted")}
        write_arrays(folder / NAME, **scalars, **columns)

    @classmethod
    def read(cls, folder: Path) -> "Examples | None":
        """Those of an evaluation's folder, None where there are none.

        :raises ValueError: when the file is damaged or holds something else."""
        path = folder / NAME
        if not path.exists():
            return None
        expected = "samples beside their adversarials"
        try:
            broken = damage(path)
            if broken:
                raise invalid("examples", expected, f"{path}, which {broken}", _REMEDY)
            with np.load(path, allow_pickle=False) as found:
                told = {name: found[name] for name in found.files}
            trial, eps = str(told.pop("trial")), float(told.pop("eps"))
            return cls(trial, eps, **told)
        except ArgumentError:
            raise
        except Exception as error:
            # What is no such archive fails in any way its bytes happen to lead to.
            got = f"{path}, which cannot be read ({type(error).__name__})"
            raise invalid("examples", expected, got, _REMEDY) from error
