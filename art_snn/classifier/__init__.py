"""A spiking network as ART sees it, and the checks of what users hand to it."""

from typing import Any

from art.estimators.classification import PyTorchClassifier
from torch import nn
from torch.nn import Module

from art_snn.classifier.classifier import (
    PyTorchSpikingClassifier as PyTorchSpikingClassifier,
)


def wrap(
    network: Module,
    input_shape: tuple[int, ...],
    nb_classes: int,
    clip_values: tuple[float, float] | None,
    device_type: str,
    kind: type[PyTorchClassifier] = PyTorchSpikingClassifier,
) -> Any:
    """A classifier of ART around the network, with cross entropy as its loss.

    :param kind: class of the classifier."""
    return kind(
        network,
        nn.CrossEntropyLoss(),
        input_shape,
        nb_classes,
        clip_values=clip_values,
        device_type=device_type,
    )
