"""ART's inversion of a spiking network, and its reconstruction of training samples."""

from __future__ import annotations

import numpy as np
import pytest
from art.attacks.inference.model_inversion import MIFace
from art.attacks.inference.reconstruction import DatabaseReconstruction
from art.exceptions import EstimatorError

from tests.networks import CLASSES, build
from tests.toolbox.promises import ATTACK_GRADIENT, CLASS_GRADIENT, WEIGHTS, promises
from tests.toolbox.rules import Rules

# ART gives up on an image as soon as 1 minus its logit exceeds the threshold: mi_face.py, line 139.
GOING_ON = {"threshold": float("inf"), "max_iter": 10, "learning_rate": 0.1, "batch_size": CLASSES}


@promises(
    "an image inverted from grey raises the logit of its class, for each of ten classes; with "
    "`threshold=float('inf')`, since ART gives up on an image above it",
    "MIFace",
    uses=CLASS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_an_inverted_image_raises_the_logit_of_its_class(trained_layers):
    rules = Rules()
    classifier = rules.build(trained_layers)
    grey, labels = np.full((CLASSES, 1, 8, 8), 0.5, np.float32), np.arange(CLASSES)
    images = MIFace(classifier, verbose=False, **GOING_ON).infer(grey, labels)
    before, after = (classifier.predict(x)[labels, labels] for x in (grey, images))
    assert (after > before).all()
    assert ((images >= 0) & (images <= 1)).all()
    assert rules.used == ATTACK_GRADIENT


def test_a_finite_threshold_gives_up_what_is_furthest_from_its_class(trained_layers):
    classifier = build(trained_layers)
    grey, labels = np.full((CLASSES, 1, 8, 8), 0.5, np.float32), np.arange(CLASSES)
    changes = ({"max_iter": 1}, {"threshold": 0.0})
    once, stopped = (
        MIFace(classifier, verbose=False, **GOING_ON | change).infer(grey, labels)
        for change in changes
    )
    far = classifier.predict(once)[labels, labels] < 1
    assert far.any()
    np.testing.assert_array_equal(stopped[far], once[far])


@promises(
    "it fits scikit-learn's models again and again to compare all of their weights, "
    "and takes no others; `MIFace` inverts a network",
    "DatabaseReconstruction",
    uses=WEIGHTS,
    error=True,
)
def test_databases_are_reconstructed_from_models_of_scikit_learn_alone(trained_layers):
    with pytest.raises(EstimatorError, match="ScikitlearnEstimator"):
        DatabaseReconstruction(build(trained_layers))
