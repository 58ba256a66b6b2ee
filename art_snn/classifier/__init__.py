"""A spiking network as ART sees it, and the checks of what users hand to it."""

from art_snn.classifier.classifier import (
    PyTorchSpikingClassifier as PyTorchSpikingClassifier,
    wrapped as wrapped,
)
