"""The first samples of an evaluation with their adversarials, by which others check it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.store import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import block_name
from art_snn.app.evaluation import Trial
from art_snn.checks import FILE, ArgumentError, invalid, require, require_kind
from art_snn.files import corruption, write_arrays

FIRST, COUNT = "first.npz", 20
"""The file, and how many samples it holds at most."""
EXPECTED = "the first samples with their adversarials, as art-snn evaluate writes them"
REMEDY = "Evaluate anew into another folder; earlier versions wrote no such file."


@dataclass(frozen=True)
class First:
    """The first n samples, and what the attacks made of them at each budget.

    :param eps: the B budgets.
    :param x, y: samples ``(n, *shape)`` and their classes (n,).
    :param adversarial: ``(B, n, *shape)``; the sample itself where nothing broke it.
    :param broken: which are adversarial, bool (B, n)."""

    eps: NDArray[np.float64]
    x: np.ndarray
    y: NDArray[np.int64]
    adversarial: np.ndarray
    broken: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.eps), len(self.x))
        fits = self.adversarial.shape == (len(self.eps), *self.x.shape)
        fits = fits and self.broken.shape == shape and self.y.shape == shape[1:]
        fits = fits and self.broken.dtype == bool
        got = f"arrays of shape {self.x.shape} and {self.adversarial.shape}"
        require(fits, "first", EXPECTED, got, REMEDY)

    @classmethod
    def of(cls, target: Target, trials: Sequence[Trial], store: Store) -> "First":
        """Those of an evaluation, from its blocks; the first attack that broke a sample counts."""
        count, budgets = min(COUNT, len(target.x)), target.settings.budgets
        x, y = target.x[:count], target.y[:count]
        adversarial, broken = np.stack([x] * len(budgets)), np.zeros((len(budgets), count), bool)
        blocks = [rows for rows in target.slices if rows.start < count]
        for place, trial in enumerate(trials):
            names = [block_name(f"attack-{place}", rows) for rows in blocks]
            arrays = np.concatenate([store.array(name, "adversarials") for name in names])
            row = budgets.index(trial.eps)
            new = (trial.outcome.stage[:count] >= 0) & ~broken[row]
            adversarial[row][new], broken[row][new] = arrays[:count][new], True
        return cls(np.array(budgets, dtype=float), x, y, adversarial, broken)

    def write(self, folder: Path) -> None:
        """Write them into the folder of the evaluation."""
        write_arrays(folder / FIRST, **vars(self))

    @classmethod
    def read(cls, folder: Path) -> "First":
        """Those in the folder of an evaluation.

        :raises FileNotFoundError: when there are none.
        :raises ValueError: when the file is damaged or holds something else."""
        path = folder / FIRST
        require_kind("first", path, FILE, EXPECTED)
        try:
            spoilt = corruption(path)
            if spoilt is not None:
                raise invalid("first", EXPECTED, f"{path}, which {spoilt}", REMEDY)
            with np.load(path, allow_pickle=False) as file:
                return cls(**{name: file[name] for name in file.files})
        except ArgumentError:
            raise
        except Exception as error:
            # What is no such archive fails in any way its bytes happen to lead to.
            got = f"{path}, which cannot be read ({type(error).__name__})"
            raise invalid("first", EXPECTED, got, REMEDY) from error
