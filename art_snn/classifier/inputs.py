"""The inputs of a classifier checked, converted and moved: network, samples, labels, settings."""

import math
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from art.preprocessing.standardisation_mean_std.numpy import StandardisationMeanStd
from art.preprocessing.standardisation_mean_std.pytorch import (
    StandardisationMeanStdPyTorch,
)
from numpy import ndarray
from torch import Tensor

from art_snn.checks import invalid, require
from art_snn.gradients.shared import align
from art_snn.network import SpikingNetwork


def check_samples(x: Any, input_shape: tuple[int, ...]) -> Any:
    """Samples [N, *input_shape] as torch can take them; ValueError for NaN, infinity or a mask."""
    x = _check_form(x, input_shape)
    count = int((~_is_finite(x)).sum())
    require(
        not count,
        "x",
        "finite values",
        f"{count} NaN or infinite value{'s' * (count > 1)}",
        "Clean the data, for instance with nan_to_num.",
    )
    return x


def with_finite_rows(x: Any, input_shape: tuple[int, ...]) -> tuple[Any, Tensor | None]:
    """Samples as torch can take them, with zeros for those that are not finite.

    Attacks of ART that divide by the length of a perturbation give such samples.

    :return: the samples, and which are not finite, bool [N], or None where all are."""
    x = _check_form(x, input_shape)
    finite = _is_finite(x).all(tuple(range(1, x.ndim)))
    missing = torch.as_tensor(~finite, device="cpu")
    if not missing.any():
        return x, None
    filled = fill(as_tensor(x), missing, 0)
    return filled if isinstance(x, Tensor) else filled.numpy(), missing


def fill(values: Tensor, samples: Tensor | None, value: float) -> Tensor:
    """The values [N, ...] with one value for the rows of some samples, bool [N].

    Under an expectation over transformation the values are several draws of each sample."""
    if samples is None:
        return values
    rows = samples.to(values.device).repeat_interleave(len(values) // len(samples))
    return values.masked_fill(align(rows, values), value)


def as_array(values: Any) -> ndarray:
    """A tensor of any device as numpy, in half precision as single; an array as torch takes it."""
    if isinstance(values, Tensor):
        half = values.dtype in (torch.float16, torch.bfloat16)
        return (values.float() if half else values).detach().cpu().numpy()
    array = np.asarray(values)
    # Files of FITS, of IDX and of old arrays have the bytes of a number in the other order.
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    # numpy keeps a negative stride where an axis has length 1, and torch takes none.
    return array.copy() if min(array.strides, default=0) < 0 else array


def as_tensor(x: Any) -> Tensor:
    """An array as a tensor on the CPU, whatever torch's default device is; a tensor as it is."""
    return x if isinstance(x, Tensor) else torch.as_tensor(x, device="cpu")


def _is_finite(x: Any) -> Any:
    return np.isfinite(x) if isinstance(x, ndarray) else torch.isfinite(x)


def _check_form(x: Any, input_shape: tuple[int, ...]) -> Any:
    """Samples of the right kind and shape, as torch can take them."""
    _require_numbers("x", x, "Convert it first, for instance with x.astype(np.float32).")
    if x.ndim < 1 or tuple(x.shape[1:]) != tuple(input_shape):
        raise invalid(
            "x",
            f"shape (N, {', '.join(map(str, input_shape))})",
            tuple(x.shape),
            "Samples come first, then time of event frames, channels, height and width: x[None] or "
            "x[:, None] adds an axis, x.transpose moves them.",
        )
    if isinstance(x, Tensor):
        return x.float() if x.dtype == torch.bool else x
    refuse_masked("x", x)
    return as_array(x.astype(np.float32) if x.dtype == bool else x)


def refuse_masked(argument: str, values: Any) -> None:
    """ValueError for a numpy array whose mask hides a value, since torch ignores masks."""
    require(
        not np.ma.is_masked(values),
        argument,
        "an array that hides no values",
        "a masked one",
        "Leave these samples out, or fill the values in: array.filled(0).",
    )


def _require_numbers(argument: str, values: Any, remedy: str) -> None:
    """TypeError unless torch takes the values as real numbers (not long doubles)."""
    kind = type(values).__name__
    if isinstance(values, Tensor | ndarray):
        kind = f"{kind} of dtype {values.dtype}"
    if isinstance(values, Tensor) and not values.is_complex():
        return
    if (
        isinstance(values, ndarray)
        and values.dtype.kind in "buif"
        and values.itemsize <= 8
    ):
        return
    expected = "a numpy array or torch tensor of real numbers"
    raise TypeError(f"{argument}: expected {expected}, got {kind}. {remedy}")


def check_labels(y: Any, samples: int, classes: int) -> None:
    """TypeError or ValueError unless y holds class indices (N,) or (N, 1), or scores (N, K)."""
    remedy = "Give one class index or one row of class scores per sample."
    _require_numbers("y", y, remedy)
    refuse_masked("y", y)
    require(
        tuple(y.shape) in ((samples,), (samples, 1), (samples, classes)),
        "y",
        f"{samples} labels, shape ({samples},) or ({samples}, {classes})",
        f"shape {tuple(y.shape)}",
        remedy,
    )
    if len(y) == 0:
        return

    values = as_array(y)
    least = float(values.min())
    most = float(values.max())
    got = f"values from {least:g} to {most:g}"
    remedy = f"The classifier has nb_classes={classes}."
    if y.ndim == 2 and y.shape[1] > 1:
        require(not math.isnan(least), "y", "numbers as class scores", got, remedy)
        return

    fits = least >= 0 and most <= classes - 1
    require(fits, "y", f"class indices from 0 to {classes - 1}", got, remedy)
    require(
        (values % 1 == 0).all(),
        "y",
        "whole class indices",
        "fractions",
        "Round them, or give class scores.",
    )


def class_indices(y: Any, samples: int, classes: int) -> ndarray:
    """The true classes (N,), int64, of labels in any form that :func:`check_labels` takes."""
    check_labels(y, samples, classes)
    labels = as_array(y)
    indices = labels.reshape(samples) if labels.size == samples else labels.argmax(1)
    return indices.astype(np.int64)


def lacks_preprocessing(estimator: PyTorchClassifier) -> bool:
    """True if the network gets the samples as they are, without preprocessing."""
    return all(
        isinstance(operation, StandardisationMeanStd | StandardisationMeanStdPyTorch)
        and np.all(operation.mean == 0)
        and np.all(operation.std == 1)
        for operation in estimator.preprocessing_operations
    )


def require_network(argument: str, estimator: object, remedy: str) -> SpikingNetwork:
    """The spiking network of a classifier without preprocessing; ValueError for others.

    :param remedy: sentence on what to do about preprocessing."""
    network = getattr(estimator, "model", None)
    if not isinstance(estimator, PyTorchClassifier) or not isinstance(
        network, SpikingNetwork
    ):
        raise invalid(
            argument,
            "a classifier of a spiking network",
            type(estimator).__name__
            if network is None
            else f"one of {type(network).__name__}",
            "Wrap a spiking network in PyTorchSpikingClassifier.",
        )
    require(
        lacks_preprocessing(estimator),
        argument,
        "a classifier without preprocessing",
        "one with it",
        remedy,
    )
    return network
