"""ART's metrics run on a spiking classifier and give sane values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from art.attacks.evasion import FastGradientMethod
from art.metrics import adversarial_accuracy, clever_u, empirical_robustness, loss_sensitivity
from scipy.stats import weibull_min

from art_snn import RGA, STBP
from tests.networks import CLASSES, Counted, build


@pytest.fixture
def counted(trained_layers: Any) -> Any:
    """A classifier whose attack rule alone may go backward, and does."""
    attack, training = Counted(RGA()), Counted(STBP())
    yield build(trained_layers, gradient=attack, training_gradient=training)
    assert attack.tally.backwards > 0
    assert training.tally.backwards == 0


def test_empirical_robustness_is_a_share_of_the_samples_norm(counted, known):
    settings = {"eps": 1.0, "eps_step": 0.05}
    value = empirical_robustness(counted, known[0][:8], "fgsm", settings)
    assert 0.05 < float(value) < 2


def test_loss_sensitivity_is_the_mean_norm_of_the_loss_gradient(counted, known):
    x, y = known[0][:8], np.eye(CLASSES)[known[1][:8]]
    gradients = counted.loss_gradient(x, y).reshape(8, -1)
    expected = np.linalg.norm(gradients, axis=1).mean()
    assert float(loss_sensitivity(counted, x, y)) == pytest.approx(expected, rel=1e-6)
    assert expected > 0


def test_clever_is_between_zero_and_the_radius(counted, known, monkeypatch):
    # A Weibull distribution fitted to few norms may lie anywhere; its end is the largest of many.
    monkeypatch.setattr(weibull_min, "fit", lambda norms, *_, **__: (1.0, norms.min(), 1.0))
    settings = {"nb_batches": 2, "batch_size": 2, "radius": 0.3, "norm": 2, "verbose": False}
    score = clever_u(counted, known[0][0], **settings)
    assert 0 < float(score) <= 0.3


def test_adversarial_accuracy_falls_with_the_strength_of_the_attack(counted, known):
    x, y = known[0][:32], known[1][:32]
    weak, strong = (
        adversarial_accuracy(counted, x, y, attack_crafter=FastGradientMethod(counted, eps=eps))
        for eps in (0.001, 0.3)
    )
    assert strong < 0.5 < weak <= 1
