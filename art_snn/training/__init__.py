"""Training a spiking network by its training gradient, plainly or on adversarial samples."""

from __future__ import annotations

from art_snn.training.adversarial import AdversarialTraining
from art_snn.training.adversary import Adversary, Craft
from art_snn.training.loop import accuracy, train
from art_snn.training.recipe import Recipe
from art_snn.training.samples import Validation
from art_snn.training.state import Epoch, best

__all__ = [
    "AdversarialTraining",
    "Adversary",
    "Craft",
    "Epoch",
    "Recipe",
    "Validation",
    "accuracy",
    "best",
    "train",
]
