"""How a spiking network learns what an attack will do to its samples."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
from art.estimators.classification import PyTorchClassifier
from art.preprocessing.standardisation_mean_std.numpy import StandardisationMeanStd
from art.preprocessing.standardisation_mean_std.pytorch import StandardisationMeanStdPyTorch

from art_snn.network import SpikingNetwork


def attacking(estimator: PyTorchClassifier, radius: float | None) -> AbstractContextManager[object]:
    """A block for one batch, in which a spiking network is told how far the attack goes.

    Behind preprocessing a radius has another unit, and none is told.

    :param radius: the largest change of a value of a sample; None where it can be any."""
    if not isinstance(estimator.model, SpikingNetwork):
        return nullcontext()
    return estimator.model.attacking(radius if reaches_as_it_is(estimator) else None)


def reaches_as_it_is(estimator: PyTorchClassifier) -> bool:
    """Whether the network is given the samples without any preprocessing."""
    return all(
        isinstance(operation, StandardisationMeanStd | StandardisationMeanStdPyTorch)
        and bool(np.all(operation.mean == 0) and np.all(operation.std == 1))
        for operation in estimator.preprocessing_operations
    )
