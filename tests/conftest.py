"""Fixtures that several test modules share."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.attacks import Attack
from art_snn.data import Dataset, digits
from tests.networks import build

# The networks are tiny and the workers many: more threads per process only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (ART draws from numpy's global state)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data() -> Dataset:
    return digits()


@pytest.fixture(scope="session")
def trained_layers(data: Dataset) -> nn.Sequential:
    """Layers trained on the digits by `fit`, for reading only: deep-copy them to change them."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    classifier = build()
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=6)
    accuracy = (classifier.predict(data.x_test).argmax(1) == data.y_test).mean()
    assert accuracy > 0.9
    return classifier.model.layers


@pytest.fixture(scope="session")
def known(data: Dataset, trained_layers: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Test images, and their labels, that the trained network classifies rightly."""
    right = build(trained_layers).predict(data.x_test).argmax(1) == data.y_test
    return data.x_test[right], data.y_test[right]


@pytest.fixture
def classifier(trained_layers: nn.Sequential) -> PyTorchSpikingClassifier:
    """A trained classifier of its own for every test."""
    return build(copy.deepcopy(trained_layers))


@pytest.fixture
def crafted(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """All adversarial samples that art_snn.attacks.Attack crafts during the test, in order."""
    kept: list[np.ndarray] = []
    craft = Attack.craft

    def keep(self: Attack, *given: Any) -> np.ndarray:
        kept.append(craft(self, *given))
        return kept[-1]

    monkeypatch.setattr(Attack, "craft", keep)
    return kept
