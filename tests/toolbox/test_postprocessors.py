"""ART's postprocessors change predictions, and no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from art.defences.postprocessor import (
    ClassLabels,
    GaussianNoise,
    HighConfidence,
    ReverseSigmoid,
    Rounded,
)

from tests.networks import CLASSES, Probabilities
from tests.toolbox.counting import assert_differentiated_by, counting, seeded
from tests.toolbox.promises import ATTACK_GRADIENT, LOSS_GRADIENT, PREDICT, promises

SOFTMAX = Probabilities()


def both(layers: Any, known: Any, *defences: Any, samples: int = 4) -> tuple[Any, Any]:
    """Predictions of a few images: with all postprocessors, and with all but the last."""
    x = known[0][:samples]
    given = counting(layers, postprocessing_defences=list(defences)).predict(x)
    before = counting(layers, postprocessing_defences=list(defences[:-1]) or None).predict(x)
    return given, before


@promises("rounds logits and probabilities", "Rounded", uses=PREDICT)
@pytest.mark.parametrize("first", [(), (SOFTMAX,)], ids=["logits", "probabilities"])
def test_predictions_are_rounded(first: Any, trained_layers: Any, known: Any) -> None:
    given, before = both(trained_layers, known, *first, Rounded(decimals=1))
    np.testing.assert_allclose(given * 10, np.rint(before * 10), atol=1e-4)
    np.testing.assert_allclose(given, before, atol=0.0501)


@promises(
    "keeps the probabilities above the cutoff, and makes the others 0; with a softmax before it, "
    "since it also makes negative logits 0",
    "HighConfidence",
    uses=PREDICT,
)
def test_low_confidences_become_zero(trained_layers: Any, known: Any) -> None:
    given, before = both(trained_layers, known, SOFTMAX, HighConfidence(cutoff=0.4))
    np.testing.assert_array_equal(given, np.where(before >= 0.4, before, 0))
    assert (given > 0).any()
    logits, _ = both(trained_layers, known, HighConfidence(cutoff=0.4))
    assert (logits >= 0).all()


@promises(
    "gives one sample the one-hot label of its class; by a bug of ART, each of several samples "
    "gets the labels of all (`class_labels.py`, line 56): predict one by one",
    "ClassLabels",
    uses=PREDICT,
)
def test_labels_are_right_for_one_sample_at_a_time(trained_layers: Any, known: Any) -> None:
    given, before = both(trained_layers, known, ClassLabels(), samples=1)
    np.testing.assert_array_equal(given, np.eye(CLASSES)[before.argmax(1)])
    given, before = both(trained_layers, known, ClassLabels(), samples=8)
    assert len(np.unique(before.argmax(1))) > 1
    np.testing.assert_array_equal(given.sum(1), len(np.unique(before.argmax(1))))


@promises(
    "adds noise of the given scale to logits; probabilities still sum to 1 after it",
    "GaussianNoise",
    uses=PREDICT,
)
def test_noise_has_its_scale_and_keeps_probabilities(trained_layers: Any, known: Any) -> None:
    given, before = both(trained_layers, known, GaussianNoise(scale=0.2), samples=100)
    assert abs((given - before).std() - 0.2) < 0.04
    given, _ = both(trained_layers, known, SOFTMAX, GaussianNoise(scale=0.05))
    assert given.min() >= 0
    np.testing.assert_allclose(given.sum(1), 1, atol=1e-5)


@promises(
    "agrees with the formula of its paper on probabilities, with a softmax before it",
    "ReverseSigmoid",
    uses=PREDICT,
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_probabilities_are_perturbed_by_the_reverse_sigmoid(
    trained_layers: Any, known: Any
) -> None:
    given, before = both(trained_layers, known, SOFTMAX, ReverseSigmoid(beta=1.0, gamma=0.1))
    p = np.clip(before.astype(np.float64), 1e-9, 1 - 1e-9)
    logit = np.log(p / (1 - p))
    perturbed = np.clip(p - (1 / (1 + np.exp(-0.1 * logit)) - 0.5), 0, 1)
    expected = perturbed / perturbed.sum(1, keepdims=True)
    np.testing.assert_allclose(given, expected, atol=1e-3)
    np.testing.assert_array_equal(given.argmax(1), before.argmax(1))


@promises(
    "takes logits for probabilities, and divides by zero: put a softmax before it",
    "ReverseSigmoid",
    uses=PREDICT,
    error=True,
)
def test_the_reverse_sigmoid_of_logits_divides_by_zero(trained_layers: Any, known: Any) -> None:
    with (
        np.errstate(over="ignore"),
        pytest.warns(RuntimeWarning, match="divide by zero encountered in log"),
    ):
        both(trained_layers, known, ReverseSigmoid())


@promises(
    "leaves `loss_gradient` as it is without it",
    "ClassLabels",
    "GaussianNoise",
    "HighConfidence",
    "ReverseSigmoid",
    "Rounded",
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize(
    "kind", [ClassLabels, GaussianNoise, HighConfidence, ReverseSigmoid, Rounded]
)
def test_no_postprocessor_changes_a_gradient(kind: Any, trained_layers: Any, known: Any) -> None:
    x, y = known[0][:4], known[1][:4]
    classifier = counting(trained_layers, postprocessing_defences=[SOFTMAX, kind()])
    gradient = seeded(classifier.loss_gradient, x, y)
    np.testing.assert_array_equal(gradient, counting(trained_layers).loss_gradient(x, y))
    assert_differentiated_by(ATTACK_GRADIENT, classifier)
