"""art_snn: attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox."""

from __future__ import annotations

from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import Direct, Frames, Poisson
from art_snn.gradients import (
    ASSG,
    BPTR,
    CBA,
    EOT,
    GRADIENTS,
    HART,
    PDSG,
    RGA,
    STBP,
    Extended,
    Mean,
    StaticCurve,
)
from art_snn.layers import TimeDistributed
from art_snn.network import SpikingNetwork
from art_snn.neurons import IF, LIF

__version__ = "0.1.0"

__all__ = [
    "ASSG",
    "BPTR",
    "CBA",
    "EOT",
    "GRADIENTS",
    "HART",
    "IF",
    "LIF",
    "PDSG",
    "RGA",
    "STBP",
    "Direct",
    "Extended",
    "Frames",
    "Mean",
    "Poisson",
    "PyTorchSpikingClassifier",
    "SpikingNetwork",
    "StaticCurve",
    "TimeDistributed",
]
