"""A spiking network as ART sees it, and the checks of what users hand to it."""

from __future__ import annotations

from art_snn.classifier.classifier import PyTorchSpikingClassifier

__all__ = ["PyTorchSpikingClassifier"]
