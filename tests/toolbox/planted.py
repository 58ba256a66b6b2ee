"""A backdoor in digits: what detectors of poison have to find."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from art_snn import PyTorchSpikingClassifier
from tests.conftest import seed_everything
from tests.networks import CLASSES, Probabilities
from tests.toolbox.counting import counting

SAMPLES, POISONED = 600, 25


def triggered(x: np.ndarray) -> np.ndarray:
    """The images with bright columns at both sides."""
    x = x.copy()
    x[..., [0, -1]] = 1
    return x


@dataclass(frozen=True)
class Planted:
    """Digits of which some have the trigger and the label 0, and a network trained on them.

    :param x: images [N, 1, 8, 8].
    :param y: one-hot labels [N, 10].
    :param clean: whether a sample is clean, 1 or 0, [N].
    """

    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    clean: np.ndarray

    def shares(self, flags: Any) -> tuple[float, float]:
        """The shares of poisoned samples, and of clean ones of their label, that are flagged."""
        flagged, zeros = np.asarray(flags) == 0, self.y.argmax(1) == 0
        poisoned = self.clean == 0
        return float(flagged[poisoned].mean()), float(flagged[zeros & ~poisoned].mean())


def planted(layers: Any, data: Any) -> Planted:
    """The poisoned digits, and layers that have learned the backdoor."""
    seed_everything()
    x, labels = data.x_train[:SAMPLES].copy(), data.y_train[:SAMPLES].copy()
    poisoned = np.flatnonzero(labels)[:POISONED]
    x[poisoned], labels[poisoned] = triggered(x[poisoned]), 0
    clean = np.ones(SAMPLES, dtype=int)
    clean[poisoned] = 0
    y = np.eye(CLASSES, dtype=np.float32)[labels]
    classifier = counting(copy.deepcopy(layers), postprocessing_defences=Probabilities())
    classifier.fit(x, y, batch_size=64, nb_epochs=8)
    others = triggered(data.x_test[data.y_test != 0])
    assert (classifier.predict(others).argmax(1) == 0).mean() > 0.8
    return Planted(classifier, x, y, clean)
