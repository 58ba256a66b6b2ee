"""ART's attribute inference attacks on a spiking network that classifies feature tables.

Digits with a secret bit in their first pixel, which is 0 in all of them. The class is the digit
modulo 5, plus 5 where the bit is set: the class tells the bit, the other pixels do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from art.attacks.inference.attribute_inference import (
    AttributeInferenceBaseline,
    AttributeInferenceBaselineTrueLabel,
    AttributeInferenceBlackBox,
    AttributeInferenceMembership,
    AttributeInferenceWhiteBoxDecisionTree,
    AttributeInferenceWhiteBoxLifestyleDecisionTree,
)
from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
from art.exceptions import EstimatorError
from torch import nn

from art_snn import LIF, TimeDistributed as Timed
from tests.conftest import seed_everything
from tests.networks import CLASSES, FORMS, build
from tests.toolbox.promises import MODEL, NO_GRADIENT, NOTHING, PREDICT, promises
from tests.toolbox.rules import Rules

SAMPLES, FITTED = 400, 200
BITS = [0.0, 1.0]


@dataclass
class Secrets:
    """Tables x [N, 64] whose first column is the secret bit, their classes y, and a classifier."""

    x: np.ndarray
    y: np.ndarray
    classifier: Any

    @property
    def bits(self) -> np.ndarray:
        return self.x[FITTED:, 0]

    @property
    def rest(self) -> np.ndarray:
        """What the attacker knows of the samples under attack."""
        return self.x[FITTED:, 1:]

    @property
    def predicted(self) -> np.ndarray:
        """Classes [N, 1] of the samples under attack."""
        return self.classifier.predict(self.x[FITTED:]).argmax(1).reshape(-1, 1)

    def accuracy(self, bits: np.ndarray) -> float:
        """Share of bits that are inferred rightly; chance is a half."""
        return float((bits.reshape(-1) == self.bits).mean())


@pytest.fixture(scope="module")
def trained(data: Any) -> Secrets:
    seed_everything()
    bits = np.random.default_rng(0).permutation(np.arange(SAMPLES) % 2)
    x = FORMS["table"].present(data.x_train[:SAMPLES]).copy()
    x[:, 0] = bits
    y = data.y_train[:SAMPLES] % 5 + 5 * bits
    layers = nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(64, 64)), LIF(), Timed(nn.Linear(64, CLASSES))
    )
    classifier = build(layers, "table")
    classifier.fit(x, y, batch_size=40, nb_epochs=12)
    return Secrets(x, y, classifier)


@pytest.fixture
def secrets(trained: Secrets) -> Iterator[Secrets]:
    """The attack goes without a gradient of the classifier."""
    rules = Rules()
    yield Secrets(trained.x, trained.y, rules.build(trained.classifier.model.layers, "table"))
    assert rules.used == NO_GRADIENT


@promises(
    "infers a feature that the class depends on for 8 in 10 samples or more, chance being 5, and "
    "with predictions of other samples no better than chance",
    "AttributeInferenceBlackBox",
    uses=PREDICT,
)
def test_predictions_tell_the_feature_that_the_class_depends_on(secrets):
    attack = AttributeInferenceBlackBox(secrets.classifier, "dt", attack_feature=0)
    attack.fit(secrets.x[:FITTED])
    right, mixed = (
        secrets.accuracy(attack.infer(secrets.rest, pred=predicted, values=BITS))
        for predicted in (secrets.predicted, np.roll(secrets.predicted, 1, axis=0))
    )
    assert right > 0.8
    assert 0.3 < mixed < 0.7


@promises(
    "without a classifier, the measure of others: at chance for a feature that the rest does not "
    "tell, and right for one that it does",
    "AttributeInferenceBaseline",
    uses=NOTHING,
)
def test_the_baseline_infers_what_the_other_features_tell(secrets):
    attack = AttributeInferenceBaseline("dt", attack_feature=0)
    attack.fit(secrets.x[:FITTED])
    assert 0.3 < secrets.accuracy(attack.infer(secrets.rest, values=BITS)) < 0.7
    copied = secrets.x.copy()
    copied[:, 7] = copied[:, 0]
    attack.fit(copied[:FITTED])
    assert secrets.accuracy(attack.infer(copied[FITTED:, 1:], values=BITS)) == 1


@promises(
    "without a classifier, from the true label: right where the label tells the feature",
    "AttributeInferenceBaselineTrueLabel",
    uses=NOTHING,
)
def test_the_true_label_tells_the_feature_that_it_depends_on(secrets):
    attack = AttributeInferenceBaselineTrueLabel("rf", attack_feature=0)
    attack.fit(secrets.x[:FITTED], secrets.y[:FITTED])
    bits = attack.infer(secrets.rest, secrets.y[FITTED:], values=BITS)
    assert secrets.accuracy(bits) > 0.8


@promises(
    "infers, for 8 in 10 samples or more, the value under which a membership attack on the losses "
    "takes the sample for a member",
    "AttributeInferenceMembership",
    uses="`compute_loss`",
)
def test_the_value_that_looks_like_a_member_is_the_right_one(secrets):
    members = MembershipInferenceBlackBox(secrets.classifier, "loss", "lr")
    x, y = secrets.x[:FITTED], secrets.y[:FITTED]
    # For it, a sample with the wrong bit is no member.
    members.fit(x, y, np.concatenate([1 - x[:, :1], x[:, 1:]], axis=1), y)
    attack = AttributeInferenceMembership(secrets.classifier, members, attack_feature=0)
    assert secrets.accuracy(attack.infer(secrets.rest, secrets.y[FITTED:], values=BITS)) > 0.8


@promises(
    "it counts the samples in the leaves of scikit-learn's decision trees, and takes "
    "no other classifier; `AttributeInferenceBlackBox` needs predictions alone",
    "AttributeInferenceWhiteBoxDecisionTree",
    "AttributeInferenceWhiteBoxLifestyleDecisionTree",
    uses=MODEL,
    error=True,
)
@pytest.mark.parametrize(
    "kind",
    [AttributeInferenceWhiteBoxDecisionTree, AttributeInferenceWhiteBoxLifestyleDecisionTree],
)
def test_a_network_has_no_leaves_to_count_samples_in(kind, trained):
    with pytest.raises(EstimatorError, match="ScikitlearnDecisionTreeClassifier"):
        kind(trained.classifier)
