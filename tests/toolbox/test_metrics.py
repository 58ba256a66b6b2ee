"""ART's metrics of a spiking classifier, and their values by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from art.attacks.evasion import FastGradientMethod
from art.metrics import (
    PDTP,
    ComparisonType,
    SHAPr,
    adversarial_accuracy,
    clever,
    clever_t,
    clever_u,
    empirical_robustness,
    loss_gradient_check,
    loss_sensitivity,
    wasserstein_distance,
)
from art.utils import random_sphere
from scipy.special import softmax
from scipy.stats import weibull_min
from torch import nn

from tests.networks import CLASSES, FORMS, build
from tests.toolbox.promises import (
    ATTACK_GRADIENT,
    CLASS_GRADIENT,
    FIT,
    LOSS_GRADIENT,
    NO_GRADIENT,
    NOTHING,
    PREDICT,
    TRAINING_GRADIENT,
    promises,
)
from tests.toolbox.rules import Rules

RADIUS, BATCHES, BATCH, POOL = 0.3, 3, 2, 5


@pytest.fixture
def counted(trained_layers: Any) -> Iterator[Any]:
    """A classifier whose attack rule alone may go backward, and does."""
    rules = Rules()
    yield rules.build(trained_layers)
    assert rules.used == ATTACK_GRADIENT


@promises(
    "mean share of the samples' norm by which FGSM changes those that it flips, as by hand",
    "empirical_robustness",
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
def test_empirical_robustness_is_a_share_of_the_samples_norm(counted, known):
    x, settings = known[0][:8], {"eps": 1.0, "eps_step": 0.05}
    adversarial = FastGradientMethod(counted, minimal=True, **settings).generate(x)
    flipped = counted.predict(adversarial).argmax(1) != counted.predict(x).argmax(1)
    assert flipped.any()
    largest = np.abs(adversarial - x).reshape(8, -1).max(1) / x.reshape(8, -1).max(1)
    value = empirical_robustness(counted, x, "fgsm", settings)
    assert float(value) == pytest.approx(largest[flipped].mean(), rel=1e-5)


@promises(
    "mean L2 norm of the loss gradients, as by hand",
    "loss_sensitivity",
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_loss_sensitivity_is_the_mean_norm_of_the_loss_gradient(counted, known):
    x, y = known[0][:8], np.eye(CLASSES)[known[1][:8]]
    gradients = counted.loss_gradient(x, y).reshape(8, -1)
    expected = np.linalg.norm(gradients, axis=1).mean()
    assert float(loss_sensitivity(counted, x, y)) == pytest.approx(expected, rel=1e-6)
    assert expected > 0


@pytest.fixture
def largest_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Weibull distribution fitted to few norms may lie anywhere: its end is the largest here."""
    monkeypatch.setattr(weibull_min, "fit", lambda norms, *_, **__: (1.0, norms.min(), 1.0))


SETTINGS = {"nb_batches": BATCHES, "batch_size": BATCH, "radius": RADIUS, "norm": 2}
SETTINGS |= {"pool_factor": POOL}


def clever_by_hand(classifier: Any, x: np.ndarray, target: int) -> float:
    """Margin over the largest gradient norm among points drawn as ART draws them, in the ball."""
    points = random_sphere(nb_points=BATCH * POOL, nb_dims=64, radius=RADIUS, norm=2)
    pool = np.clip(points.reshape(-1, *x.shape) + x, 0, 1).astype(np.float32)
    logits = classifier.predict(x[None])[0]
    gradients = classifier.class_gradient(pool)
    difference = gradients[:, logits.argmax()] - gradients[:, target]
    norms = np.linalg.norm(difference.reshape(len(pool), -1), axis=1)
    picks = [np.random.choice(len(pool), BATCH) for _ in range(BATCHES)]  # noqa: NPY002
    largest = max(norms[pick].max() for pick in picks)
    return min((logits.max() - logits[target]) / largest, RADIUS)


@promises(
    "margin over the largest gradient norm around the sample, as by hand, at most the radius; all "
    "classes of `clever` are those of `clever_t`, and `clever_u` is their minimum; the Weibull "
    "distribution is replaced by the largest norm",
    "clever",
    "clever_t",
    "clever_u",
    uses=f"{PREDICT}, {CLASS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
@pytest.mark.usefixtures("largest_norms")
def test_clever_is_the_margin_over_the_largest_gradient_norm(counted, known):
    x, label = known[0][0], int(known[1][0])
    others = [target for target in range(CLASSES) if target != label]

    def seeded(metric: Any, *given: Any, **options: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002 (ART draws from numpy's global state)
        return metric(counted, x, *given, **options)

    scores = seeded(clever, verbose=False, **SETTINGS).astype(float)
    assert seeded(clever_t, others[0], **SETTINGS) == scores[0]
    assert scores[0] == pytest.approx(seeded(clever_by_hand, others[0]), rel=1e-4)
    assert seeded(clever_u, verbose=False, **SETTINGS) == scores.min()
    assert len(scores) == len(others)
    assert 0 < scores.min() <= scores.max() <= RADIUS


@promises(
    "share of the rightly classified samples that an attack leaves so, as by hand; it falls with "
    "the strength of the attack",
    "adversarial_accuracy",
    uses=f"{PREDICT}, and what the attack uses",
    rule=ATTACK_GRADIENT,
)
def test_adversarial_accuracy_falls_with_the_strength_of_the_attack(counted, known):
    x, y = known[0][:32], known[1][:32]
    attacks = [FastGradientMethod(counted, eps=eps) for eps in (0.001, 0.3)]
    weak, strong = (adversarial_accuracy(counted, x, y, attack_crafter=each) for each in attacks)
    assert strong < 0.5 < weak <= 1
    assert strong == (counted.predict(attacks[1].generate(x)).argmax(1) == y).mean()


@promises(
    "flags none of the gradients of a trained network, and as zero those behind a readout of zeros",
    "loss_gradient_check",
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_the_gradient_check_flags_what_is_zero(counted, known):
    x, y = known[0][:4], np.eye(CLASSES)[known[1][:4]]
    assert not loss_gradient_check(counted, x, y, verbose=False).any()
    silent = build()
    nn.init.zeros_(list(silent.model.parameters())[-2])
    flags = loss_gradient_check(silent, x, y, verbose=False)
    np.testing.assert_array_equal(flags, [[True, False, False]] * 4)


@promises(
    "mean distance of the sorted values of two samples, as by hand",
    "wasserstein_distance",
    uses=NOTHING,
)
def test_the_wasserstein_distance_is_that_of_sorted_values(known):
    x, other = known[0][:4], known[0][4:8]
    ordered = [np.sort(images.reshape(4, -1), axis=1) for images in (x, other)]
    expected = np.abs(ordered[0] - ordered[1]).mean(1)
    np.testing.assert_allclose(wasserstein_distance(x, other), expected, rtol=1e-5)


@promises(
    "largest change of a class probability, in bins of a hundredth, between the classifier and one "
    "trained by the training rule without the sample, as by hand",
    "PDTP",
    uses=f"{PREDICT} of the classifier, `reset` and {FIT} of another one",
    rule=TRAINING_GRADIENT,
)
def test_pointwise_privacy_is_the_change_of_a_probability_without_the_sample(trained_layers, data):
    rules, of_another = Rules(), Rules()
    classifier, another = rules.build(trained_layers), of_another.build()
    x, y = data.x_train[:20], data.y_train[:20]
    options = {"indexes": np.array([3]), "num_iter": 1}
    kind = ComparisonType.DIFFERENCE
    average, worst, deviation = PDTP(classifier, another, x, y, comparison_type=kind, **options)
    binned = [np.floor(100 * softmax(each.predict(x), axis=1)) for each in (classifier, another)]
    # A probability at the edge of a bin may fall into the next one.
    assert average[0] == pytest.approx(np.abs(binned[0] - binned[1]).max() / 100, abs=0.011)
    assert average[0] > 0.1
    assert (worst[0], deviation[0]) == (average[0], 0)
    assert (rules.used, of_another.used) == (NO_GRADIENT, TRAINING_GRADIENT)


@promises(
    "Shapley values of the nearest training sample's vote in the space of predictions, as by all "
    "orders of the training samples",
    "SHAPr",
    uses=PREDICT,
)
def test_membership_risk_is_the_shapley_value_of_a_vote(trained_layers, data):
    classifier, present = build(trained_layers, "table"), FORMS["table"].present
    x, y, test_x = present(data.x_train[:5]), np.array([0, 1, 1, 0, 2]), present(data.x_test[:2])
    test_y = np.array([1, 0])
    distances = np.linalg.norm(classifier.predict(test_x)[:, None] - classifier.predict(x), axis=2)

    def utility(members: tuple[int, ...], test: int) -> float:
        nearest = min(members, key=lambda index: distances[test, index], default=None)
        return float(nearest is not None and y[nearest] == test_y[test])

    expected = np.zeros(5)
    orders = list(permutations(range(5)))
    for test in range(2):
        for order in orders:
            for place, index in enumerate(order):
                gain = utility(order[: place + 1], test) - utility(order[:place], test)
                expected[index] += gain * 5 / 2 / len(orders)
    np.testing.assert_allclose(SHAPr(classifier, x, y, test_x, test_y), expected, atol=1e-6)
    assert (expected != 0).any()
