"""ART's membership attacks tell the training samples of an overfitted spiking network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from art.attacks.inference.membership_inference import (
    LabelOnlyDecisionBoundary,
    LabelOnlyGapAttack,
    MembershipInferenceBlackBox,
    MembershipInferenceBlackBoxRuleBased,
    ShadowModels,
)
from art.estimators.classification import ClassifierMixin
from torch import nn

from art_snn import LIF, TimeDistributed as Timed
from tests.conftest import seed_everything
from tests.networks import CLASSES, FORMS
from tests.toolbox.promises import FIT, NO_GRADIENT, PREDICT, TRAINING_GRADIENT, promises
from tests.toolbox.rules import Rules

MEMBERS = 80
HOPS = {"max_iter": 1, "max_eval": 5, "init_eval": 2, "init_size": 10, "verbose": False}


@dataclass
class Sides:
    """Members of a training set and other samples of the same kind, tables [N, 64] and labels."""

    x: np.ndarray
    y: np.ndarray
    other_x: np.ndarray
    other_y: np.ndarray

    def part(self, start: int, stop: int) -> Sides:
        arrays = (self.x, self.y, self.other_x, self.other_y)
        return Sides(*(array[start:stop] for array in arrays))

    def accuracy(self, attack: Any, **options: Any) -> float:
        """Share of samples that the attack puts on the right side; chance is a half."""
        members = attack.infer(self.x, self.y, **options).reshape(-1)
        others = attack.infer(self.other_x, self.other_y, **options).reshape(-1)
        return float((members == 1).mean() + (others == 0).mean()) / 2


class Margins(ClassifierMixin):
    """Takes for members what has the label's logit above the others, by the cut that fits best.

    ART asks for a model of its own kind, and for nothing else of that kind."""

    def fit(self, features: np.ndarray, members: np.ndarray) -> None:
        margins = self._margins(features)
        rights = [((margins > cut) == members).mean() for cut in margins]
        self.cut = margins[np.argmax(rights)]

    def predict(self, features: np.ndarray) -> np.ndarray:
        return (self._margins(features) > self.cut).astype(float)

    def _margins(self, features: np.ndarray) -> np.ndarray:
        """Of logits and one-hot labels [N, 2 CLASSES], as ART puts them together."""
        logits, labels = features[:, :CLASSES], features[:, CLASSES:].astype(bool)
        return logits[labels] - np.where(labels, -np.inf, logits).max(1)


def dense() -> nn.Sequential:
    """Layers that learn by heart what they are shown."""
    return nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(64, 128)), LIF(), Timed(nn.Linear(128, CLASSES))
    )


@pytest.fixture(scope="module")
def sides(data: Any) -> Sides:
    """Digits with labels drawn by lot: nothing can be learned about them but by heart."""
    seed_everything()
    x = FORMS["table"].present(data.x_train)[: 2 * MEMBERS]
    y = [np.random.default_rng(half).permutation(np.arange(MEMBERS) % CLASSES) for half in (0, 1)]
    return Sides(x[:MEMBERS], y[0], x[MEMBERS:], y[1])


@pytest.fixture(scope="module")
def overfitted(sides: Sides) -> Any:
    """A classifier that knows the labels of the members by heart."""
    seed_everything()
    classifier = Rules().build(dense(), "table")
    classifier.fit(sides.x, sides.y, batch_size=20, nb_epochs=30)
    assert (classifier.predict(sides.x).argmax(1) == sides.y).mean() > 0.9
    return classifier


@pytest.fixture
def victim(overfitted: Any) -> Iterator[Any]:
    """The overfitted classifier, which the test sends no gradient through."""
    rules = Rules()
    yield rules.build(overfitted.model.layers, "table")
    assert rules.used == NO_GRADIENT


LEARNED: dict[str, dict[str, Any]] = {
    "logits, a given model": {"attack_model": Margins(), "scaler_type": None},
    "loss, logistic regression": {"input_type": "loss", "attack_model_type": "lr"},
    "loss, network": {"input_type": "loss", "nn_model_epochs": 20, "nn_model_learning_rate": 0.01},
}


@promises(
    "learned from half of the members and as many others, it tells the rest apart, 7 in 10 or "
    "more, by the logits or the losses of an overfitted network",
    "MembershipInferenceBlackBox",
    uses=f"{PREDICT} or `compute_loss`",
)
@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_attack_tells_members_of_an_overfitted_network(victim, sides, name):
    attack = MembershipInferenceBlackBox(victim, **LEARNED[name])
    half = sides.part(0, MEMBERS // 2)
    attack.fit(half.x, half.y, half.other_x, half.other_y)
    assert sides.part(MEMBERS // 2, MEMBERS).accuracy(attack) > 0.7


@promises(
    "takes for members what is classified rightly: it tells 7 in 10 or more of an overfitted "
    "network, and its accuracy is that of both classifications",
    "MembershipInferenceBlackBoxRuleBased",
    "LabelOnlyGapAttack",
    uses=PREDICT,
)
@pytest.mark.parametrize("kind", [MembershipInferenceBlackBoxRuleBased, LabelOnlyGapAttack])
def test_what_is_classified_rightly_is_a_member_by_rule(kind, victim, sides):
    right = (victim.predict(sides.x).argmax(1) == sides.y).mean()
    wrong = (victim.predict(sides.other_x).argmax(1) != sides.other_y).mean()
    accuracy = sides.accuracy(kind(victim))
    assert accuracy == pytest.approx((right + wrong) / 2)
    assert accuracy > 0.7


@promises(
    "calibrated on some members and others, it tells the rest apart by their distance to the "
    "decision boundary, 7 in 10 or more",
    "LabelOnlyDecisionBoundary",
    uses=PREDICT,
)
def test_members_are_further_from_the_decision_boundary(victim, sides):
    attack, half = LabelOnlyDecisionBoundary(victim), sides.part(0, 10)
    attack.calibrate_distance_threshold(half.x, half.y, half.other_x, half.other_y, **HOPS)
    assert sides.part(10, 25).accuracy(attack, **HOPS) > 0.7


@promises(
    "its shadows learn by the training rule and leave the template as it was; what is learned from "
    "their predictions tells members of the victim, 6 in 10 or more",
    "ShadowModels",
    uses=FIT,
    rule=TRAINING_GRADIENT,
)
def test_an_attack_learned_from_shadows_tells_members_of_the_victim(victim, sides, data):
    rules = Rules()
    template = rules.build(dense(), "table", lr=0.03)
    before = template.predict(sides.x)
    shadows = ShadowModels(template, num_shadow_models=2, random_state=0)
    x = FORMS["table"].present(data.x_train)[2 * MEMBERS : 4 * MEMBERS]
    y = np.random.default_rng(2).permutation(np.arange(len(x)) % CLASSES)
    members, others = shadows.generate_shadow_dataset(x, np.eye(CLASSES)[y])
    assert rules.used == TRAINING_GRADIENT
    np.testing.assert_array_equal(template.predict(sides.x), before)
    attack = MembershipInferenceBlackBox(victim, attack_model=Margins(), scaler_type=None)
    attack.fit(*members[:2], *others[:2], pred=members[2], test_pred=others[2])
    assert sides.accuracy(attack) > 0.6
