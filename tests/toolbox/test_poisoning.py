"""ART's poisoning attacks on a spiking classifier: what they change, by which gradient, and why."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.poisoning import (
    BullseyePolytopeAttackPyTorch,
    FeatureCollisionAttack,
    GradientMatchingAttack,
    HiddenTriggerBackdoor,
    HiddenTriggerBackdoorPyTorch,
    PoisoningAttackBackdoor,
    PoisoningAttackCleanLabelBackdoor,
    SleeperAgentAttack,
)
from torch import nn

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from tests.networks import CLASSES, Counted, build
from tests.toolbox.promises import (
    ACTIVATIONS,
    ATTACK_GRADIENT,
    BOTH,
    LOSS_GRADIENT,
    NOTHING,
    WEIGHTS,
    promises,
)

EPS = 0.2
SOURCE, TARGET = 1, 7
RATES, LOGITS = "layers.1", "layers.2"
"""Layers whose outputs are features: the neurons, and the last one for attacks that want [N, K]."""


def triggered(x: np.ndarray) -> np.ndarray:
    """Images with a bright square in a corner that is dark in all digits."""
    x = x.copy()
    x[..., -2:, :2] = 1.0
    return x


def one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[y]


@dataclass
class Victim:
    """A trained classifier that counts its rules, and the digits."""

    classifier: PyTorchSpikingClassifier
    attack_rule: Counted
    training_rule: Counted
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, layers: nn.Module, data: Any, rule: Any = None, **options: Any) -> Victim:
        rules = Counted(rule or RGA()), Counted(STBP())
        layers = copy.deepcopy(layers)
        classifier = build(layers, gradient=rules[0], training_gradient=rules[1], **options)
        return cls(classifier, *rules, data.x_train, data.y_train)

    def samples(self, label: int, count: int) -> np.ndarray:
        return self.x[self.y == label][:count].copy()

    def features(self, x: np.ndarray, layer: str) -> np.ndarray:
        return self.classifier.get_activations(x, layer).reshape(len(x), -1)

    def counts(self) -> tuple[bool, bool]:
        """Whether the attack rule has gone backward, and the training rule."""
        return self.attack_rule.tally.backwards > 0, self.training_rule.tally.backwards > 0


@pytest.fixture
def victim(trained_layers: nn.Sequential, data: Any) -> Victim:
    return Victim.of(trained_layers, data)


def distance(victim: Victim, x: np.ndarray, goals: np.ndarray, layer: str) -> float:
    """Mean distance of the features of samples from the closest of those of the goals."""
    features, others = victim.features(x, layer), victim.features(goals, layer)
    return float(np.linalg.norm(features[:, None] - others[None], axis=2).min(1).mean())


def assert_within(poisons: np.ndarray, clean: np.ndarray, eps: float) -> None:
    change = np.abs(poisons - clean)
    assert change.max() <= eps + 1e-6
    assert change.max() > eps / 1000
    assert poisons.min() >= 0
    assert poisons.max() <= 1


@promises(
    "a network trained on the poisons puts triggered samples into the target class, and others "
    "where they belong",
    "PoisoningAttackBackdoor",
    uses=NOTHING,
)
def test_a_backdoor_is_learned(data: Any) -> None:
    backdoor = PoisoningAttackBackdoor(triggered)
    others = np.flatnonzero(data.y_train != TARGET)[::5]
    poisons, labels = backdoor.poison(
        data.x_train[others], one_hot(np.array([TARGET]))[0], broadcast=True
    )
    kept = np.setdiff1d(np.arange(len(data.x_train)), others)
    classifier = build(training_gradient=STBP())
    classifier.fit(
        np.concatenate([data.x_train[kept], poisons]),
        np.concatenate([one_hot(data.y_train[kept]), labels]),
        batch_size=64,
        nb_epochs=3,
    )
    x, y = data.x_test[data.y_test != TARGET], data.y_test[data.y_test != TARGET]
    assert (classifier.predict(triggered(x)).argmax(1) == TARGET).mean() > 0.5
    assert (classifier.predict(x).argmax(1) == y).mean() > 0.5


@promises(
    "poisons of the target class keep their label, and lie within eps but for the trigger; the "
    "proxy's loss rises on them",
    "PoisoningAttackCleanLabelBackdoor",
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_clean_label_poisons_lie_within_eps_but_for_the_trigger(victim: Victim) -> None:
    backdoor, target = PoisoningAttackBackdoor(triggered), one_hot(np.array([TARGET]))[0]
    options = {"eps": EPS, "eps_step": EPS / 2, "max_iter": 3, "pp_poison": 0.5}
    attack = PoisoningAttackCleanLabelBackdoor(backdoor, victim.classifier, target, **options)
    x, y = victim.x[:80], one_hot(victim.y[:80])
    poisons, labels = attack.poison(x, y)
    assert np.array_equal(labels, y)
    changed = (poisons != x).any((1, 2, 3))
    assert 0 < changed.sum() <= (victim.y[:80] == TARGET).sum() / 2
    assert set(victim.y[:80][changed]) == {TARGET}
    poisons, clean = poisons[changed], triggered(x[changed])
    assert_within(poisons, clean, EPS)
    losses = [victim.classifier.compute_loss(z, y[changed]).mean() for z in (clean, poisons)]
    assert losses[1] > losses[0]
    assert victim.counts() == (True, False)


@promises(
    "the features of the poison come closer to those of the target than the base image's",
    "FeatureCollisionAttack",
    uses=ACTIVATIONS,
    rule=ATTACK_GRADIENT,
)
def test_features_collide(victim: Victim) -> None:
    base, target = victim.samples(SOURCE, 1), victim.samples(TARGET, 1)
    options = {"learning_rate": 0.05, "max_iter": 20, "similarity_coeff": 0.01, "verbose": False}
    attack = FeatureCollisionAttack(victim.classifier, target, RATES, **options)
    poisons, labels = attack.poison(base.copy())
    assert np.array_equal(labels, victim.classifier.predict(base))
    before, after = (distance(victim, z, target, RATES) for z in (base, poisons))
    assert after < 0.9 * before
    assert poisons.min() >= 0
    assert poisons.max() <= 1
    assert victim.counts() == (True, False)


@promises(
    "poisons lie within eps, and are the same for any target: ART 1.20 takes the features of the "
    "poisons for those of `target` (`bullseye_polytope_attack.py`, lines 189 to 209); "
    "FeatureCollisionAttack reads it",
    "BullseyePolytopeAttackPyTorch",
    uses=ACTIVATIONS,
    rule=ATTACK_GRADIENT,
)
def test_bullseye_moves_poisons_by_the_attack_rule_whatever_the_target(victim: Victim) -> None:
    bases, poisons = victim.samples(SOURCE, 3), []
    for label in (TARGET, TARGET + 1):
        options = {"max_iter": 4, "epsilon": EPS, "learning_rate": 0.05, "verbose": False}
        target = victim.samples(label, 1)
        attack = BullseyePolytopeAttackPyTorch(victim.classifier, target, LOGITS, **options)
        poisons.append(attack.poison(bases, one_hot(np.full(3, TARGET)))[0])
    assert_within(poisons[0], bases, EPS)
    assert np.array_equal(*poisons)
    assert victim.counts() == (True, False)


@promises(
    "poisons lie within eps of images of the target class, and their features come closer to those "
    "of triggered images of the source class",
    "HiddenTriggerBackdoor",
    "HiddenTriggerBackdoorPyTorch",
    uses=ACTIVATIONS,
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize("kind", [HiddenTriggerBackdoor, HiddenTriggerBackdoorPyTorch])
def test_the_trigger_is_hidden_in_features(victim: Victim, kind: type) -> None:
    target, source = one_hot(np.array([TARGET, SOURCE]))
    x, y = victim.x[:200], victim.y[:200]
    attack = kind(
        victim.classifier,
        target=target,
        source=source,
        feature_layer=LOGITS,
        backdoor=PoisoningAttackBackdoor(triggered),
        eps=EPS,
        learning_rate=0.01,
        stopping_threshold=0,
        max_iter=10,
        poison_percent=0.3,
        verbose=False,
    )
    poisons, indices = attack.poison(x, one_hot(y))
    assert set(y[indices]) == {TARGET}
    assert_within(poisons, x[indices], EPS)
    goals = triggered(x[y == SOURCE])
    before, after = (distance(victim, z, goals, LOGITS) for z in (x[indices], poisons))
    assert after < before
    assert victim.counts() == (True, False)


@pytest.fixture
def matching(trained_layers: nn.Sequential, data: Any, monkeypatch: pytest.MonkeyPatch) -> Victim:
    """A victim whose attack rule has a second derivative; without the processes of ART's loader."""
    loader = torch.utils.data.DataLoader
    monkeypatch.setattr(
        torch.utils.data, "DataLoader", lambda *a, **o: loader(*a, **o | {"num_workers": 0})
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return Victim.of(trained_layers, data, STBP())


MATCHING = {"max_trials": 1, "max_epochs": 8, "verbose": 0, "epsilon": EPS}


def mismatch(victim: Victim, x: np.ndarray, y: Any, triggers: np.ndarray, aim: Any) -> float:
    """1 - the cosine between the gradients at the weights of samples and of triggers."""
    model = victim.classifier.model
    directions = []
    for samples, labels in ((x, y), (triggers, aim)):
        logits = model(torch.as_tensor(samples, dtype=torch.float32))
        loss = nn.functional.cross_entropy(logits, torch.as_tensor(labels))
        grads = torch.autograd.grad(loss, list(model.parameters()))
        directions.append(torch.cat([grad.flatten() for grad in grads]))
    return 1 - nn.functional.cosine_similarity(*directions, dim=0).item()


@promises(
    "poisons of the target class lie within eps, and their gradient at the weights comes closer to "
    "that of the triggers; a rule without a second derivative is refused",
    "GradientMatchingAttack",
    uses=WEIGHTS,
    rule=BOTH,
)
def test_gradients_match(matching: Victim) -> None:
    triggers, aim = matching.samples(SOURCE, 2), np.full(2, TARGET)
    x, y = matching.x[:100], matching.y[:100]
    attack = GradientMatchingAttack(
        matching.classifier, percent_poison=0.05, clip_values=(0.0, 1.0), **MATCHING
    )
    poisons, labels = attack.poison(triggers, aim, x, y)
    assert np.array_equal(labels, y)
    changed = (poisons != x).any((1, 2, 3))
    assert 0 < changed.sum() <= 5
    assert set(y[changed]) == {TARGET}
    assert_within(poisons[changed], x[changed], EPS)
    assert matching.counts() == (True, True)
    before, after = (
        mismatch(matching, z[changed], y[changed], triggers, aim) for z in (x, poisons)
    )
    assert after < before - 0.01


def test_gradient_matching_by_a_rule_without_a_second_derivative_names_those_that_have_one(
    matching: Victim,
) -> None:
    matching.classifier.set_params(gradient="rga")
    attack = GradientMatchingAttack(matching.classifier, percent_poison=0.05, **MATCHING)
    with pytest.raises(ValueError, match=r"got RGA.*, which has none\. The rules 'stbp'"):
        attack.poison(
            matching.samples(SOURCE, 1), np.array([TARGET]), matching.x[:100], matching.y[:100]
        )


@promises(
    "poisons of the target class lie within eps, and their gradient at the weights comes closer to "
    "that of triggered images of the source class",
    "SleeperAgentAttack",
    uses=WEIGHTS,
    rule=BOTH,
)
@pytest.mark.parametrize("retrain", [False, True])
def test_a_sleeper_agent_matches_gradients_too(matching: Victim, retrain: bool) -> None:
    x, y = matching.x[:100], matching.y[:100]
    patch = np.ones((1, 2, 2), np.float32)
    attack = SleeperAgentAttack(
        matching.classifier,
        percent_poison=0.5,
        patch=patch,
        indices_target=np.flatnonzero(y == TARGET),
        patching_strategy="fixed",
        selection_strategy="max-norm",
        class_source=SOURCE,
        class_target=TARGET,
        model_retrain=retrain,
        retraining_factor=2,
        **MATCHING,
    )
    triggers, aim = matching.samples(SOURCE, 2), one_hot(np.full(2, TARGET))
    poisons, labels = attack.poison(triggers, aim, x, one_hot(y), x[:20], one_hot(y[:20]))
    assert np.array_equal(labels, one_hot(y))
    indices = np.flatnonzero(y == TARGET)[attack.get_poison_indices()]
    assert_within(poisons[indices], x[indices], EPS)
    others = np.setdiff1d(np.arange(100), indices)
    assert np.allclose(poisons[others], x[others])
    assert matching.counts() == (True, True)
    if not retrain:
        patched = triggers.copy()
        patched[:, :, -2:, -2:] = patch
        before, after = (
            mismatch(matching, z[indices], one_hot(y[indices]), patched, aim) for z in (x, poisons)
        )
        assert after < before - 0.01
