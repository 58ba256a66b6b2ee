"""Training a spiking network by its training gradient, plainly or on adversarial samples."""

from __future__ import annotations

from art_snn.training.adversary import Adversary, Craft
from art_snn.training.history import Epoch, best
from art_snn.training.loop import accuracy, train
from art_snn.training.samples import Validation
from art_snn.training.settings import Recipe, Training

__all__ = [
    "Adversary",
    "Craft",
    "Epoch",
    "Recipe",
    "Training",
    "Validation",
    "accuracy",
    "best",
    "train",
]
