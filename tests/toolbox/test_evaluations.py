"""ART's evaluations of a spiking classifier, and their values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent
from art.evaluations.great_score import GreatScorePyTorch
from art.evaluations.security_curve import SecurityCurve

from tests.networks import CLASSES
from tests.toolbox.promises import ATTACK_GRADIENT, LOSS_GRADIENT, NO_GRADIENT, PREDICT, promises
from tests.toolbox.rules import Rules

STEPS = {"eps_step": 0.05, "max_iter": 3, "verbose": False}


@promises(
    "accuracies are those of PGD alone under every eps, and no gradient is taken for obfuscated",
    "SecurityCurve",
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
def test_a_security_curve_has_the_accuracies_of_pgd(trained_layers, data):
    rules = Rules()
    classifier = rules.build(trained_layers)
    x, y = data.x_test[:16], np.eye(CLASSES, dtype=np.float32)[data.y_test[:16]]

    def accuracy(samples: np.ndarray) -> float:
        return float((classifier.predict(samples).argmax(1) == data.y_test[:16]).mean())

    curve = SecurityCurve([0.05, 0.3])
    budgets, accuracies, clean = curve.evaluate(classifier, x, y, **STEPS)
    attacks = [ProjectedGradientDescent(classifier, eps=eps, **STEPS) for eps in budgets]
    assert accuracies == pytest.approx([accuracy(attack.generate(x, y)) for attack in attacks])
    assert clean == pytest.approx(accuracy(x))
    assert not curve.detected_obfuscating_gradients
    assert rules.used == ATTACK_GRADIENT


@promises(
    "mean margin of the logits, 0 where the class is wrong, as by hand, and the accuracy",
    "GreatScorePyTorch",
    uses=PREDICT,
)
def test_the_great_score_is_the_mean_margin_of_what_is_right(trained_layers, data):
    rules = Rules()
    classifier = rules.build(trained_layers)
    x, labels = data.x_test[:64], data.y_test[:64]
    score, accuracy = GreatScorePyTorch(classifier).evaluate(x, np.eye(CLASSES)[labels])
    logits = classifier.predict(x)
    ordered, right = np.sort(logits, axis=1), logits.argmax(1) == labels
    assert score == pytest.approx(np.where(right, ordered[:, -1] - ordered[:, -2], 0).mean())
    assert accuracy == right.mean()
    assert rules.used == NO_GRADIENT
