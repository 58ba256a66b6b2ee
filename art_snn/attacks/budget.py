"""How a spiking network learns what an attack will do to its samples."""

from contextlib import AbstractContextManager, nullcontext

from art.estimators.classification import PyTorchClassifier

from art_snn.classifier.inputs import reaches_as_it_is
from art_snn.network import SpikingNetwork


def attacking(estimator: PyTorchClassifier, radius: float | None) -> AbstractContextManager[object]:
    """A block for one batch, in which a spiking network is told how far the attack goes.

    Behind preprocessing a radius has another unit, and none is told.

    :param radius: the largest change of a value of a sample; None where it can be any."""
    if not isinstance(estimator.model, SpikingNetwork):
        return nullcontext()
    return estimator.model.attacking(radius if reaches_as_it_is(estimator) else None)
