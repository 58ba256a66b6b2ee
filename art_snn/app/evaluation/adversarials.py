"""Adversarials that anybody made, from a file: checked before a network is asked about them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from art_snn.app.evaluation.record import NAME, Mask, name_from
from art_snn.app.evaluation.verdict import describe_budget
from art_snn.attacks import Candidates, Norm, require_measure
from art_snn.attacks.measures import ROUNDING, rounding_of
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.checks import ArgumentError, expand_path, quote, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.classifier.inputs import as_tensor
from art_snn.files import read_arrays

_OPTION = "adversarials"
"""The option that names the files, as complaints call it."""
_CONTENT = "a .npz file with the array x, and index and name where they are needed"
_ROOM = 2**20
"""Bytes for headers and a name, next to the adversarials."""


@dataclass(frozen=True)
class Submission:
    """The adversarials of one file.

    :param candidates: for each sample one, or the sample itself.
    :param min_budget: the smallest budget that allows each, float (N,); infinite where none is."""

    candidates: Candidates
    min_budget: NDArray[np.float64]

    def within(self, eps: float) -> Candidates:
        """Those that a budget allows."""
        return replace(self.candidates, present=self.min_budget <= eps)

    @classmethod
    def read(
        cls,
        file: Path,
        classifier: PyTorchSpikingClassifier,
        x: ndarray,
        norm: str,
        eps: float,
    ) -> "Submission":
        """The adversarials of samples x ``(N, *shape)`` in a file, none outside of the budget eps.

        :param norm: "inf", "2", "0" or "shift".
        :raises FileNotFoundError: when there is no such file.
        :raises ValueError: for a file, a shape, an index or values that do not fit."""
        path = expand_path(_OPTION, file)
        remedy = "Write it with numpy.savez(file, x=adversarials, index=rows, name='your name')."
        arrays = read_arrays(
            path,
            _OPTION,
            _CONTENT,
            remedy,
            names=("x", "index", "name"),
            largest=9 * x.size + _ROOM,  # In double precision, with an index and a name.
        )
        require("x" in arrays, _OPTION, _CONTENT, f"{path}, without x", remedy)

        given = _check_points(path, arrays["x"], classifier, x.dtype)
        count = len(given)
        index = arrays.get("index", np.arange(count))
        _check_index(path, index, count, len(x))
        points = x.copy()
        points[index] = given
        there = np.zeros(len(x), dtype=bool)
        there[index] = True

        try:
            if norm == "0":  # Between the two values no flip leads.
                SparseDynamicAttack(classifier, verbose=False)._samples(points)
            least = np.full(len(x), np.inf)
            least[there] = min_budgets(norm, classifier, x[there], points[there])
        except ArgumentError as error:
            raise ArgumentError(_OPTION, f"{path}: {error.complaint}") from error
        outside = np.count_nonzero(least[there] > eps)
        require(
            not outside,
            _OPTION,
            f"adversarials {describe_budget(norm, eps)} of their samples",
            f"{outside} of {count} in {path} farther away, the farthest at "
            f"{least[there].max():.4g}",
            "Project them into that ball, or leave them out. The index says which test sample "
            "each of them is of; without it they are the first ones, in their order.",
        )

        text = arrays.get("name", np.array(name_from(path.stem)))
        name = str(text)
        require(
            name == name_from(name) and text.dtype.kind == "U" and text.ndim == 0,
            _OPTION,
            NAME,
            f"{quote(name)} in {path}",
            "It says who made the adversarials, such as 'A. Turing'.",
        )
        return cls(Candidates(name, points, there), least)


def _check_points(
    path: Path, points: ndarray, classifier: PyTorchSpikingClassifier, dtype: Any
) -> ndarray:
    """Adversarials of the shape of samples, of real finite numbers in their range, in
    that dtype; what is beyond the range by rounding is clipped."""
    shape = classifier.input_shape
    require(
        points.shape[1:] == shape and len(points) > 0,
        _OPTION,
        f"x of shape (N, {', '.join(map(str, shape))})",
        f"{points.shape} in {path}",
        "Give the adversarials in the shape that the network takes, one or more.",
    )
    require(
        points.dtype.kind in "fiu" and np.isfinite(points).all(),
        _OPTION,
        "x of finite real numbers",
        f"{points.dtype} in {path}, or NaN or infinity among them",
        "Give floating point numbers in the unit of the samples.",
    )
    with np.errstate(over="ignore"):  # What becomes infinite is outside of the range.
        points = points.astype(dtype)
    if classifier.clip_values is None:
        return points
    low, high = (np.asarray(end, dtype) for end in classifier.clip_values)
    count = np.count_nonzero(~in_range(points, classifier))
    require(
        not count,
        _OPTION,
        f"values from {low.min():g} to {high.max():g}, as the samples have",
        f"{points.min():g} to {points.max():g} in {path}, outside in {count} of {len(points)}",
        "Clip them to that range, or scale them as the samples are.",
    )
    return np.clip(points, low, high)  # type: ignore[no-any-return]  # numpy gives Any.


def _check_index(path: Path, rows: ndarray, count: int, samples: int) -> None:
    """Refuse what does not name, for each adversarial, another test sample."""
    fits = rows.dtype.kind in "iu" and rows.shape == (count,)
    got = f"{rows.dtype} of shape {rows.shape} in {path}"
    if fits:
        distinct = np.unique(rows)
        least = distinct[0]
        most = distinct[-1]
        got += f", {len(distinct)} from {least} to {most}"
        fits = len(distinct) == count and least >= 0 and most < samples
    require(
        fits,
        _OPTION,
        f"index as {count} whole numbers from 0 to {samples - 1}, each once",
        got,
        "Give the number of the test sample of each; --samples evaluates more. Write further "
        "adversarials of a sample into another file: the option may be given several times.",
    )


def in_range(points: ndarray, classifier: PyTorchSpikingClassifier) -> Mask:
    """Points with values that samples may have, but for rounding, bool (n,)."""
    fits = np.isfinite(points)
    if classifier.clip_values is not None:
        low, high = (np.asarray(end, points.dtype) for end in classifier.clip_values)
        slack = ROUNDING * (high - low)
        fits = fits & (points >= low - slack) & (points <= high + slack)
    return fits.all(tuple(range(1, fits.ndim)))  # type: ignore[no-any-return]  # numpy gives Any.


def min_budgets(
    norm: Norm, classifier: PyTorchSpikingClassifier, x: ndarray, points: ndarray
) -> NDArray[np.float64]:
    """The smallest budget that allows each point (n,), with the slack that all attacks have.

    :raises ValueError: for points that no shift of spikes leads to, where these are measured."""
    limits = classifier.clip_values
    low = 0.0 if limits is None else as_tensor(limits[0])
    there = as_tensor(points)
    far = require_measure(norm).distances(as_tensor(x), there, low)
    return far - rounding_of(there)  # type: ignore[no-any-return]  # torch gives Any.
