"""ART's extraction attacks steal a spiking network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.extraction import CopycatCNN, FunctionallyEquivalentExtraction, KnockoffNets
from art.estimators.classification import PyTorchClassifier
from torch import nn

from tests.networks import CLASSES, FORMS, Probabilities, build
from tests.toolbox.promises import FIT, NO_GRADIENT, PREDICT, TRAINING_GRADIENT, promises
from tests.toolbox.rules import Rules

QUERIES = {"nb_stolen": 400, "nb_epochs": 4, "batch_size_fit": 32, "batch_size_query": 400}
FEW = QUERIES | {"nb_stolen": 60, "nb_epochs": 20}
THEFTS: dict[str, Callable[[Any], Any]] = {
    "CopycatCNN": lambda victim: CopycatCNN(victim, **QUERIES),
    "KnockoffNets": lambda victim: KnockoffNets(victim, verbose=False, **QUERIES),
    "KnockoffNets, adaptive": lambda victim: KnockoffNets(
        victim, sampling_strategy="adaptive", verbose=False, **FEW
    ),
}


def plain() -> PyTorchClassifier:
    """An ordinary network, whose training has nothing to do with spikes."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    options = {"optimizer": optimizer, "device_type": "cpu"}
    return PyTorchClassifier(network, nn.CrossEntropyLoss(), (1, 8, 8), CLASSES, **options)


def agreement(one: Any, other: Any, x: np.ndarray) -> float:
    """Share of the samples that both take for the same class."""
    return float((one.predict(x).argmax(1) == other.predict(x).argmax(1)).mean())


def assert_stolen(attack: Any, thief: Any, data: Any) -> None:
    victim, y = attack.estimator, np.eye(CLASSES)[data.y_train]
    stolen = attack.extract(data.x_train, y, thieved_classifier=thief)
    assert stolen is thief
    assert agreement(stolen, victim, data.x_test) > 0.3


@promises(
    "a spiking or an ordinary thief agrees with its victim on three in ten samples or more, and "
    "chance is one; the training rule of the thief alone goes backward",
    "CopycatCNN",
    "KnockoffNets",
    uses=f"{PREDICT} of the victim, {FIT} of the thief",
    rule=TRAINING_GRADIENT,
)
@pytest.mark.parametrize("name", THEFTS)
def test_a_spiking_thief_learns_what_its_victim_says(name, trained_layers, data):
    of_victim, of_thief = Rules(), Rules()
    assert_stolen(THEFTS[name](of_victim.build(trained_layers)), of_thief.build(), data)
    assert of_victim.used == NO_GRADIENT
    assert of_thief.used == TRAINING_GRADIENT


@pytest.mark.parametrize("name", ["CopycatCNN", "KnockoffNets"])
def test_an_ordinary_network_steals_a_spiking_one(name, trained_layers, data):
    rules = Rules()
    assert_stolen(THEFTS[name](rules.build(trained_layers)), plain(), data)
    assert rules.used == NO_GRADIENT


@promises(
    "learns from scores, too (`use_probability=True`), where the victim has a softmax as "
    "postprocessing defence: logits are no targets of a cross entropy",
    "CopycatCNN",
    "KnockoffNets",
    uses=f"{PREDICT} of the victim, {FIT} of the thief",
    rule=TRAINING_GRADIENT,
)
@pytest.mark.parametrize(("kind", "quiet"), [(CopycatCNN, {}), (KnockoffNets, {"verbose": False})])
def test_a_thief_learns_from_probabilities(kind, quiet, trained_layers, data):
    of_victim, of_thief = Rules(), Rules()
    victim = of_victim.build(trained_layers, postprocessing_defences=Probabilities())
    assert_stolen(kind(victim, use_probability=True, **QUERIES, **quiet), of_thief.build(), data)
    assert (of_victim.used, of_thief.used) == (NO_GRADIENT, TRAINING_GRADIENT)


@promises(
    "it measures slopes between the kinks of a ReLU network, and those of spikes are 0 "
    "(0 / 0 in `_critical_point_search`), so that it halves its step without end; "
    "`numpy.errstate(invalid='raise', divide='raise')` around it stops it, and `KnockoffNets` "
    "steals the network",
    "FunctionallyEquivalentExtraction",
    uses=PREDICT,
    error=True,
)
def test_there_are_no_slopes_to_extract_between_spikes(trained_layers, data):
    victim = build(trained_layers, "table")
    attack = FunctionallyEquivalentExtraction(victim, num_neurons=4)
    stopped = np.errstate(invalid="raise", divide="raise")
    with stopped, pytest.raises(FloatingPointError, match=r"divide|invalid"):
        attack.extract(FORMS["table"].present(data.x_test[:8]))
    assert attack.critical_points == []
    line = np.concatenate([attack._get_x(1e-6 * step) for step in range(20)]).astype(np.float32)
    assert len(np.unique(line, axis=0)) == 20
    assert len(np.unique(victim.predict(line), axis=0)) < 5
