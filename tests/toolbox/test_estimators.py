"""A spiking classifier in ART's estimators: alone, in ensembles, behind walls, with a detector."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod, HopSkipJump, SquareAttack
from art.estimators.classification import (
    BlackBoxClassifier,
    BlackBoxClassifierNeuralNetwork,
    DeepPartitionEnsemble,
    DetectorClassifier,
    EnsembleClassifier,
    PyTorchClassifier,
    QueryEfficientGradientEstimationClassifier,
)
from scipy.stats import entropy
from torch import nn

from art_snn import LIF, RGA, STBP, Direct, PyTorchSpikingClassifier, SpikingNetwork, checkpoint
from art_snn.layers import TimeDistributed as Timed
from tests.conftest import seed_everything
from tests.networks import CLASSES, STEPS, Counted, Probabilities, build
from tests.toolbox.promises import (
    ACTIVATIONS,
    ATTACK_GRADIENT,
    CLASS_GRADIENT,
    FIT,
    MODEL,
    NO_GRADIENT,
    PREDICT,
    TRAINING_GRADIENT,
    promises,
)

KEEP = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture
def batch(known: Any) -> tuple[np.ndarray, np.ndarray]:
    return known[0][:6].copy(), known[1][:6].copy()


@pytest.fixture
def rules() -> tuple[Counted, Counted]:
    """Counting rules: the attack gradient and the training gradient."""
    return Counted(RGA()), Counted(STBP())


def backwards(rules: tuple[Counted, Counted]) -> tuple[int, int]:
    return rules[0].tally.backwards, rules[1].tally.backwards


@pytest.fixture
def counted(trained_layers: Any, rules: Any) -> PyTorchSpikingClassifier:
    return build(copy.deepcopy(trained_layers), gradient=rules[0], training_gradient=rules[1])


@promises(
    "a clone for refitting has the same settings and rules and fresh weights, and trains itself",
    "PyTorchClassifier",
    uses=FIT,
    rule=TRAINING_GRADIENT,
)
def test_a_clone_has_the_same_settings_fresh_weights_and_trains_itself(classifier, batch):
    classifier.gradient = RGA(beta=3.0)
    before = copy.deepcopy(classifier.model.state_dict())
    with classifier.model.using(STBP(detach_reset=True)):
        clone = classifier.clone_for_refitting()
    assert type(clone) is type(classifier)
    assert clone.model is not classifier.model
    assert clone._device_type == "cpu"
    assert (clone.gradient, clone.model.training_gradient) == (RGA(beta=3.0), STBP())
    assert clone.clip_values[1] == 1
    fresh = copy.deepcopy(clone.model.state_dict())
    clone.model.training_gradient = training = Counted(STBP())
    clone.fit(*batch, nb_epochs=1)
    assert training.tally.backwards == 1
    for name, weight in clone.model.state_dict().items():
        assert not torch.equal(fresh[name], before[name]), name
        assert not torch.equal(fresh[name], weight), name
        assert torch.equal(classifier.model.state_dict()[name], before[name]), name


@promises(
    "`get_params` builds an equal classifier, and `set_params` takes what it gives",
    "PyTorchClassifier",
    uses=MODEL,
)
def test_get_params_builds_an_equal_classifier(classifier, batch):
    classifier.set_params(gradient="stbp")
    assert classifier.gradient == classifier.model.gradient == STBP()
    classifier.set_params(gradient=RGA(beta=3.0))
    parameters = classifier.get_params()
    ours = PyTorchSpikingClassifier.estimator_params
    assert ours == [*PyTorchClassifier.estimator_params, "gradient", "attack_dtype"]
    assert set(parameters) == set(ours)
    other = PyTorchSpikingClassifier(**parameters)
    assert other == classifier
    np.testing.assert_array_equal(other.loss_gradient(*batch), classifier.loss_gradient(*batch))
    other.set_params(**parameters)
    assert other.gradient == RGA(beta=3.0)


@promises(
    "`save` writes FILE.model, which `checkpoint.load` reads, and FILE.optimizer, which "
    "`torch.load` reads; ART has no reading of its own",
    "PyTorchClassifier",
    uses=MODEL,
)
def test_what_art_saves_is_read_again(classifier, batch, tmp_path: Path):
    classifier.fit(*batch, nb_epochs=1)
    classifier.save("network", str(tmp_path))
    other = build()
    checkpoint.load(other.model, tmp_path / "network.model")
    np.testing.assert_array_equal(other.predict(batch[0]), classifier.predict(batch[0]))
    state = torch.load(tmp_path / "network.optimizer", weights_only=True)
    other.optimizer.load_state_dict(state)
    for one in (classifier, other):
        seed_everything()
        one.fit(*batch, nb_epochs=1)
    np.testing.assert_array_equal(other.predict(batch[0]), classifier.predict(batch[0]))


@promises(
    "methods of the base class keep to the selected rule: `custom_loss_gradient` is that of the "
    "activations by hand, `compute_losses` is the loss, `set_batchnorm` sets those layers only",
    "PyTorchClassifier",
    uses=ACTIVATIONS,
    rule=ATTACK_GRADIENT,
)
def test_methods_of_the_base_class_keep_to_the_selected_rule(counted, rules, batch):
    assert isinstance(counted, PyTorchClassifier)
    x, other = batch[0], batch[0][::-1].copy()
    gradient = counted.custom_loss_gradient(torch.norm, x, other, "layers.1")
    assert backwards(rules) == (1, 0)
    leaf = torch.tensor(x, requires_grad=True)
    rates = counted.get_activations(leaf, "layers.1", framework=True)
    goal = torch.tensor(counted.get_activations(other, "layers.1"))
    (expected,) = torch.autograd.grad(torch.norm(rates - goal), leaf)
    np.testing.assert_allclose(gradient, expected, **KEEP)
    assert np.abs(gradient).max() > 0
    (losses,) = counted.compute_losses(*batch).values()
    np.testing.assert_array_equal(losses, counted.compute_loss(*batch))
    normed = build(
        nn.Sequential(
            Timed(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)),
            LIF(),
            Timed(nn.Flatten(), nn.Linear(72, CLASSES)),
        )
    )
    normed.set_batchnorm(True)
    assert [type(m) for m in normed.model.modules() if m.training] == [nn.BatchNorm2d]


@promises(
    "logits and gradients are the weighted means of those of its networks, each by its rule",
    "EnsembleClassifier",
    uses=CLASS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_an_ensemble_averages_logits_and_gradients_of_each_rule(trained_layers, batch):
    attacks, training = [Counted(RGA()), Counted(STBP())], Counted(STBP())
    networks = [copy.deepcopy(trained_layers), None]
    members = [
        build(layers, gradient=rule, training_gradient=training)
        for layers, rule in zip(networks, attacks, strict=True)
    ]
    ensemble = EnsembleClassifier(members, [0.25, 0.75], channels_first=True, clip_values=(0, 1))

    def mean(method: str, *given: Any) -> np.ndarray:
        one, other = (getattr(member, method)(*given) for member in members)
        return one / 4 + 3 * other / 4

    for method, given in {
        "predict": batch[:1],
        "class_gradient": batch[:1],
        "loss_gradient": batch,
    }.items():
        before = [rule.tally.backwards for rule in attacks]
        result = getattr(ensemble, method)(*given)
        passes = {"predict": 0, "class_gradient": CLASSES, "loss_gradient": 1}[method]
        assert [rule.tally.backwards for rule in attacks] == [n + passes for n in before]
        np.testing.assert_allclose(result, mean(method, *given), **KEEP)
    adversarial = FastGradientMethod(ensemble, eps=0.1).generate(*batch)
    assert np.abs(adversarial - batch[0]).max() == pytest.approx(0.1)
    assert training.tally.backwards == 0


@promises(
    "every network trains on its part of the samples: poison changes the network of its part "
    "only; the class of most networks wins",
    "DeepPartitionEnsemble",
    uses=FIT,
    rule=TRAINING_GRADIENT,
)
@pytest.mark.filterwarnings("ignore:If a single classifier:UserWarning")
def test_poison_reaches_the_network_of_its_part_only(data, rules):
    x, y = data.x_train[:48], data.y_train[:48]
    poison = y.copy()
    poison[[int(np.sum(sample)) % 3 == 1 for sample in x]] = 0
    ensembles = []
    for labels in (y, poison):
        seed_everything()
        base = build(gradient=rules[0], training_gradient=rules[1])
        ensemble = DeepPartitionEnsemble(base, ensemble_size=3, channels_first=True)
        ensemble.fit(x, labels, batch_size=48, nb_epochs=2)
        ensembles.append(ensemble)
    assert backwards(rules) == (0, 2 * 3 * 2)
    raw, poisoned = (ensemble.predict(data.x_test[:20], raw=True) for ensemble in ensembles)
    assert [np.array_equal(*pair) for pair in zip(raw, poisoned, strict=True)] == [
        True,
        False,
        True,
    ]
    votes = sum(np.eye(CLASSES)[logits.argmax(1)] for logits in raw)
    np.testing.assert_array_equal(ensembles[0].predict(data.x_test[:20]), votes)


@promises(
    "estimates the gradient from predictions alone, as by hand, and its steps raise the loss; "
    "logits need a softmax as postprocessing defence, since it measures entropy; its samples are "
    "clipped only where `round_samples` is set",
    "QueryEfficientGradientEstimationClassifier",
    uses=PREDICT,
)
def test_an_estimate_of_the_gradient_takes_predictions_and_raises_the_loss(
    trained_layers, rules, batch
):
    options = {"gradient": rules[0], "training_gradient": rules[1]}
    inner = build(trained_layers, postprocessing_defences=Probabilities(), **options)
    blind, y = QueryEfficientGradientEstimationClassifier(inner, 40, 0.1), np.eye(CLASSES)[batch[1]]
    np.random.seed(1)  # noqa: NPY002 (ART draws from numpy's global state)
    estimate = blind.loss_gradient(batch[0], y)
    np.random.seed(1)  # noqa: NPY002
    noise = 0.1 * np.random.normal(size=(40, 1, 8, 8))  # noqa: NPY002
    for sample, label, row in zip(batch[0], y, estimate, strict=True):
        low, high = (
            [entropy(label, p) for p in inner.predict(sample + sign * noise)] for sign in (-1, 1)
        )
        slopes = np.subtract(high, low) / 0.1
        expected = np.mean(noise * slopes[:, None, None, None], axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)
    adversarial = FastGradientMethod(blind, eps=0.1).generate(batch[0], y)
    assert inner.compute_loss(adversarial, y).mean() > inner.compute_loss(batch[0], y).mean()
    assert backwards(rules) == (0, 0)


@promises(
    "predicts what the function behind it predicts, or what a table of predictions holds, and an "
    "attack on it fools the network",
    "BlackBoxClassifier",
    uses=PREDICT,
    rule=NO_GRADIENT,
)
def test_a_black_box_hides_the_network_from_attacks_on_labels(counted, rules, batch):
    x, y = batch
    given = (counted.input_shape, CLASSES, (0.0, 1.0))
    box = BlackBoxClassifier(counted.predict, *given)
    np.testing.assert_array_equal(box.predict(x), counted.predict(x))
    labels = np.eye(CLASSES, dtype=np.float32)[counted.predict(x).argmax(1)]
    np.testing.assert_array_equal(BlackBoxClassifier((x, labels), *given).predict(x), labels)
    start = np.stack([x[y != label][0] for label in y])
    attack = HopSkipJump(box, max_iter=1, max_eval=50, init_eval=10, verbose=False)
    adversarial = attack.generate(x, labels, x_adv_init=start)
    assert (counted.predict(adversarial).argmax(1) != y).mean() > 0.5
    assert np.linalg.norm(adversarial - x) < np.linalg.norm(start - x)
    assert backwards(rules) == (0, 0)


@promises(
    "an attack on the network's predictions alone is the attack on the network, bit for bit",
    "BlackBoxClassifierNeuralNetwork",
    uses=PREDICT,
    rule=NO_GRADIENT,
)
def test_an_attack_on_a_black_box_is_the_attack_on_the_network(counted, rules, batch):
    box = BlackBoxClassifierNeuralNetwork(
        counted.predict, counted.input_shape, CLASSES, clip_values=(0.0, 1.0)
    )
    np.testing.assert_array_equal(box.predict(batch[0]), counted.predict(batch[0]))
    results = []
    for victim in (box, counted):
        seed_everything()
        attack = SquareAttack(victim, max_iter=5, eps=0.2, verbose=False)
        results.append(attack.generate(*batch))
    np.testing.assert_array_equal(*results)
    assert np.abs(results[0] - batch[0]).max() > 0
    assert backwards(rules) == (0, 0)


@promises(
    "the last class is the largest logit times one plus the detector's, and its gradient the "
    "product rule of both networks' selected rules; the detector is ART's `PyTorchClassifier` "
    "around a spiking network of one logit, for images",
    "DetectorClassifier",
    uses=CLASS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_a_detector_adds_a_class_whose_gradient_follows_both_rules(counted, rules, batch):
    layers = nn.Sequential(
        Timed(nn.Conv2d(1, 4, 3, padding=1)), LIF(), Timed(nn.Flatten(), nn.Linear(256, 1))
    )
    other = Counted(STBP())
    network = SpikingNetwork(layers, Direct(STEPS), other, rules[1], input_shape=(1, 8, 8))
    detector = PyTorchClassifier(
        network, nn.BCEWithLogitsLoss(), (1, 8, 8), 2, clip_values=(0, 1), device_type="cpu"
    )
    both, x = DetectorClassifier(counted, detector), batch[0]
    logits, alarm = counted.predict(x), detector.predict(x)
    expected = np.concatenate([logits, (alarm + 1) * logits.max(1, keepdims=True)], axis=1)
    np.testing.assert_allclose(both.predict(x), expected, **KEEP)
    assert backwards(rules) == (0, 0)
    jacobian = both.class_gradient(x)
    assert rules[0].tally.backwards == CLASSES
    assert other.tally.backwards > 0
    np.testing.assert_array_equal(jacobian[:, :CLASSES], counted.class_gradient(x))
    top = counted.class_gradient(x)[np.arange(len(x)), logits.argmax(1)]
    product = logits.max(1)[:, None, None, None] * detector.class_gradient(x, 0)[:, 0]
    product += (alarm + 1)[:, :, None, None] * top
    np.testing.assert_allclose(jacobian[:, CLASSES], product, **KEEP)
    np.testing.assert_allclose(both.class_gradient(x, CLASSES)[:, 0], product, **KEEP)
    assert rules[1].tally.backwards == 0


@promises(
    "a detector of our own class is refused, since ART wants one logit of at least two classes: "
    "wrap that network in ART's `PyTorchClassifier`",
    "DetectorClassifier",
    uses=PREDICT,
    error=True,
)
@pytest.mark.parametrize("logits", [1, 2])
def test_a_detector_of_our_class_has_no_single_logit(classifier, batch, logits):
    layers = nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(64, 4)), LIF(), Timed(nn.Linear(4, logits))
    )
    network = SpikingNetwork(layers, Direct(STEPS), input_shape=(1, 8, 8))
    given = (network, nn.CrossEntropyLoss(), (1, 8, 8))
    with pytest.raises(ValueError, match="nb_classes must be greater than or equal to 2"):
        PyTorchSpikingClassifier(*given, 1, device_type="cpu")
    detector = PyTorchSpikingClassifier(*given, 2, device_type="cpu")
    message = r"model: expected logits of shape \[N, 2\]" if logits == 1 else "broadcast"
    with pytest.raises(ValueError, match=message):
        DetectorClassifier(classifier, detector).predict(batch[0])
