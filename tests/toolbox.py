"""What of ART, apart from evasion attacks, does with a spiking classifier: one table.

`test_toolbox.py` runs every row; `docs/audit_table.py` writes the table as a page. Evasion attacks
have a table of their own, `tests/audit.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import art.attacks.extraction as extraction
import art.attacks.inference.attribute_inference as attributes
import art.attacks.inference.membership_inference as membership
import art.attacks.poisoning as poisoning
import art.defences.detector.evasion as evasion_detectors
import art.defences.detector.poison as poison_detectors
import art.defences.postprocessor as postprocessors
import art.defences.preprocessor as preprocessors
import art.defences.trainer as trainers
import art.estimators.classification as estimators
import art.metrics as metrics
import art.preprocessing.expectation_over_transformation as eot
import art.preprocessing.image as image
import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent, SquareAttack
from art.attacks.inference.model_inversion import MIFace
from art.attacks.inference.reconstruction import DatabaseReconstruction
from art.data_generators import NumpyDataGenerator
from art.defences.transformer.evasion import DefensiveDistillation
from art.defences.transformer.poisoning import STRIP
from art.estimators.certification.randomized_smoothing import (
    NumpyRandomizedSmoothing,
    PyTorchRandomizedSmoothing,
)
from art.evaluations.security_curve import SecurityCurve
from torch import nn

from art_snn import LIF, RGA, STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from tests.networks import CLASSES, FORMS, STEPS, Counted, Probabilities, Tally, build

PREDICT, FIT, MODEL = "predictions", "`fit`", "the model itself"
LOSS_GRADIENT, CLASS_GRADIENT = "`loss_gradient`", "`class_gradient`"
ACTIVATIONS, WEIGHTS = "`get_activations`", "gradients of the weights"

NO_GRADIENT, ATTACK, TRAINING, BOTH = "none", "attack gradient", "training gradient", "both"
USED = {(False, False): NO_GRADIENT, (True, False): ATTACK, (False, True): TRAINING}

SOURCE, TARGET, EPS = 1, 7, 0.2
RATES, LOGITS = "layers.1", "layers.2"
"""Layers whose outputs are features: the neurons, and the last one for attacks that want [N, K]."""
UNIT = (0.0, 1.0)
FIRST = {"channels_first": True}
PREDICTING = {"apply_fit": False, "apply_predict": True}
PGD = {"eps": 0.1, "eps_step": 0.05, "max_iter": 2, "verbose": False}


class SharedTally(Tally):
    """A tally that copies of a rule share, since defences train copies of a classifier."""

    def __deepcopy__(self, memo: Any) -> SharedTally:
        return self


class Bench:
    """Digits, trained layers, and classifiers whose two rules count their backward passes."""

    def __init__(self, layers: nn.Module, data: Any, folder: Path) -> None:
        self.layers, self.data, self.folder = layers, data, folder
        self.tallies = SharedTally(), SharedTally()
        self.x, self.y = data.x_train[:60].copy(), data.y_train[:60].copy()
        self.one_hot = one_hot(self.y)

    def build(self, form: str = "grey", rule: Any = None, fresh: bool = False, **o: Any) -> Any:
        """A classifier around the trained layers, or around fresh ones."""
        layers = None if fresh else copy.deepcopy(self.layers)
        return build(layers, form, **self._rules(rule), **o)

    def softmax(self, **options: Any) -> Any:
        """A classifier that predicts probabilities, for what refuses logits."""
        return self.build(postprocessing_defences=Probabilities(), **options)

    def small(self, shape: tuple[int, ...], classes: int, **options: Any) -> Any:
        """An untrained classifier of inputs of that shape."""
        layers = [Timed(nn.Flatten(), nn.Linear(math.prod(shape), 16)), LIF()]
        layers.append(Timed(nn.Linear(16, classes)))
        network = SpikingNetwork(layers, Direct(STEPS), **self._rules(), input_shape=shape)
        given: dict[str, Any] = {"input_shape": shape, "clip_values": UNIT, "device_type": "cpu"}
        given |= {"optimizer": torch.optim.Adam(network.parameters(), lr=0.01)} | options
        kind = type(self.build())
        return kind(network, nn.CrossEntropyLoss(), nb_classes=classes, **given)

    def _rules(self, rule: Any = None) -> dict[str, Any]:
        attack, training = self.tallies
        return {
            "gradient": Counted(rule or RGA(), attack),
            "training_gradient": Counted(STBP(), training),
        }

    @property
    def used(self) -> str:
        """The gradients that have gone backward."""
        attack, training = (tally.backwards > 0 for tally in self.tallies)
        return USED.get((attack, training), BOTH)


@dataclass(frozen=True)
class Row:
    """One or several classes or functions of ART with the same promise.

    :param names: as ART exports them.
    :param uses: what they use of the classifier.
    :param rule: the gradients that go backward.
    :param run: runs it on a bench, and asserts that it had an effect.
    :param remark: what the setting owes to spikes, or to ART.
    """

    names: tuple[str, ...]
    uses: str
    rule: str
    run: Callable[[Bench], None]
    remark: str = ""


@dataclass(frozen=True)
class Refusal:
    """Classes of ART that cannot run on a spiking classifier, and the error that they raise."""

    names: tuple[str, ...]
    reason: str
    message: str
    run: Callable[[Bench], object]


def one_hot(y: np.ndarray) -> np.ndarray:
    """Class indices [N] as float32 [N, CLASSES]."""
    return np.eye(CLASSES, dtype=np.float32)[y]


def add_trigger(x: np.ndarray) -> np.ndarray:
    """Images with a bright square in a corner that is dark in all digits."""
    x = x.copy()
    x[..., -2:, :2] = 1.0
    return x


def assert_within(poisons: np.ndarray, clean: np.ndarray) -> None:
    """Poisons differ from the clean samples, by at most EPS, and stay images."""
    change = np.abs(poisons - clean).max()
    assert EPS / 1000 < change <= EPS + 1e-6
    assert 0 <= poisons.min() <= poisons.max() <= 1


# Poisoning


def backdoor(bench: Bench) -> None:
    attack = poisoning.PoisoningAttackBackdoor(add_trigger)
    x, y = bench.data.x_train[:600], one_hot(bench.data.y_train[:600])
    poisons, labels = attack.poison(x[:200], one_hot(np.array([TARGET]))[0], broadcast=True)
    classifier = bench.build()
    samples, classes = np.concatenate([x[200:], poisons]), np.concatenate([y[200:], labels])
    classifier.fit(samples, classes, batch_size=32, nb_epochs=3)
    assert (classifier.predict(add_trigger(x)).argmax(1) == TARGET).mean() > 0.5


def clean_label(bench: Bench) -> None:
    trigger = poisoning.PoisoningAttackBackdoor(add_trigger)
    options = {"eps": EPS, "eps_step": EPS / 2, "max_iter": 3, "pp_poison": 0.5}
    target = one_hot(np.array([TARGET]))[0]
    kind = poisoning.PoisoningAttackCleanLabelBackdoor
    poisons, labels = kind(trigger, bench.build(), target, **options).poison(bench.x, bench.one_hot)
    changed = (poisons != bench.x).any((1, 2, 3))
    assert set(bench.y[changed]) == {TARGET}
    assert np.array_equal(labels, bench.one_hot)
    assert_within(poisons[changed], add_trigger(bench.x[changed]))


def bases_of(bench: Bench, label: int, count: int) -> np.ndarray:
    return bench.data.x_train[bench.data.y_train == label][:count].copy()


def feature_collision(bench: Bench) -> None:
    classifier = bench.build()
    base, target = bases_of(bench, SOURCE, 1), bases_of(bench, TARGET, 1)
    options = {"learning_rate": 0.05, "max_iter": 20, "similarity_coeff": 0.01, "verbose": False}
    kind = poisoning.FeatureCollisionAttack
    poisons, _ = kind(classifier, target, RATES, **options).poison(base.copy())
    goal = classifier.get_activations(target, RATES)
    before, after = (
        np.linalg.norm(classifier.get_activations(x, RATES) - goal) for x in (base, poisons)
    )
    assert after < 0.9 * before


def bullseye(bench: Bench) -> None:
    bases, target = bases_of(bench, SOURCE, 3), bases_of(bench, TARGET, 1)
    options = {"max_iter": 4, "epsilon": EPS, "learning_rate": 0.05, "verbose": False}
    kind = poisoning.BullseyePolytopeAttackPyTorch
    attack = kind(bench.build(), target, LOGITS, **options)
    assert_within(attack.poison(bases, one_hot(np.full(3, TARGET)))[0], bases)


def hidden_trigger(bench: Bench, kind: Any) -> None:
    x, y = bench.data.x_train[:200], bench.data.y_train[:200]
    target, source = one_hot(np.array([TARGET, SOURCE]))
    options = {"eps": EPS, "learning_rate": 0.01, "stopping_threshold": 0, "max_iter": 4}
    options |= {"poison_percent": 0.3, "verbose": False, "feature_layer": LOGITS}
    trigger = poisoning.PoisoningAttackBackdoor(add_trigger)
    attack = kind(bench.build(), target=target, source=source, backdoor=trigger, **options)
    poisons, indices = attack.poison(x, one_hot(y))
    assert set(y[indices]) == {TARGET}
    assert_within(poisons, x[indices])


MATCHING = {"max_trials": 1, "max_epochs": 4, "verbose": 0, "epsilon": EPS}


def gradient_matching(bench: Bench) -> None:
    triggers, aim = bases_of(bench, SOURCE, 2), np.full(2, TARGET)
    x, y = bench.data.x_train[:100], bench.data.y_train[:100]
    options = {"percent_poison": 0.05, "clip_values": UNIT} | MATCHING
    attack = poisoning.GradientMatchingAttack(classifier := bench.build(rule=STBP()), **options)
    with classifier.model.fixed(False):
        poisons, _ = attack.poison(triggers, aim, x, y)
    changed = (poisons != x).any((1, 2, 3))
    assert set(y[changed]) == {TARGET}
    assert_within(poisons[changed], x[changed])


def sleeper_agent(bench: Bench) -> None:
    x, y = bench.data.x_train[:100], bench.data.y_train[:100]
    attack = poisoning.SleeperAgentAttack(
        classifier := bench.build(rule=STBP()),
        percent_poison=0.5,
        patch=np.ones((1, 2, 2), np.float32),
        indices_target=np.flatnonzero(y == TARGET),
        patching_strategy="fixed",
        selection_strategy="max-norm",
        class_source=SOURCE,
        class_target=TARGET,
        **MATCHING,
    )
    triggers, aim = bases_of(bench, SOURCE, 2), one_hot(np.full(2, TARGET))
    with classifier.model.fixed(False):
        poisons, _ = attack.poison(triggers, aim, x, one_hot(y), x[:20], one_hot(y[:20]))
    indices = np.flatnonzero(y == TARGET)[attack.get_poison_indices()]
    assert_within(poisons[indices], x[indices])


def match_by_rga(bench: Bench) -> None:
    classifier, (x, y) = bench.build(), (bench.data.x_train[:100], bench.data.y_train[:100])
    attack = poisoning.GradientMatchingAttack(classifier, percent_poison=0.05, **MATCHING)
    with classifier.model.fixed(False):
        attack.poison(bases_of(bench, SOURCE, 1), np.array([TARGET]), x, y)


# Extraction and inference


def steal(bench: Bench, kind: Any, **options: Any) -> None:
    few = {"nb_stolen": 300, "nb_epochs": 3, "batch_size_fit": 32, "batch_size_query": 300}
    victim, thief = bench.build(), bench.build(fresh=True)
    attack = kind(victim, **few, **options)
    x = bench.data.x_train
    stolen = attack.extract(x, one_hot(bench.data.y_train), thieved_classifier=thief)
    same = stolen.predict(x[:200]).argmax(1) == victim.predict(x[:200]).argmax(1)
    assert same.mean() > 0.2


def invert(bench: Bench) -> None:
    classifier, labels = bench.build(), np.arange(CLASSES)
    grey = np.full((CLASSES, 1, 8, 8), 0.5, np.float32)
    options = {"max_iter": 5, "learning_rate": 0.1, "batch_size": CLASSES, "verbose": False}
    images = MIFace(classifier, threshold=math.inf, **options).infer(grey, labels)
    before, after = (classifier.predict(x)[labels, labels] for x in (grey, images))
    assert (after > before).all()


def tell_members(bench: Bench, attack: Callable[[Any], Any], learned: bool = False) -> None:
    x, y = FORMS["table"].present(bench.data.x_train)[:80], bench.data.y_train[:80]
    made = attack(bench.build("table"))
    if learned:
        made.fit(x[:40], y[:40], x[40:], (y[40:] + 1) % CLASSES)
    members = made.infer(x, y).reshape(-1)
    wrong = made.infer(x, (y + 1) % CLASSES).reshape(-1)
    assert members.mean() > wrong.mean()


def label_only_boundary(bench: Bench) -> None:
    hops = {"max_iter": 1, "max_eval": 5, "init_eval": 2, "init_size": 10, "verbose": False}
    x, y = FORMS["table"].present(bench.data.x_train)[:8], bench.data.y_train[:8]
    attack = membership.LabelOnlyDecisionBoundary(bench.build("table"))
    attack.calibrate_distance_threshold(x[:4], y[:4], x[4:], (y[4:] + 1) % CLASSES, **hops)
    assert attack.infer(x, y, **hops).shape == (8,)


def shadow_models(bench: Bench) -> None:
    x = FORMS["table"].present(bench.data.x_train)[:60]
    shadows = membership.ShadowModels(bench.build("table"), num_shadow_models=2, random_state=0)
    members, others = shadows.generate_shadow_dataset(x, bench.one_hot)
    assert len(members[0]) + len(others[0]) > 0


def infer_attribute(bench: Bench) -> None:
    x = FORMS["table"].present(bench.data.x_train)[:80].copy()
    x[:, 0] = np.arange(80) % 2
    classifier = bench.build("table")
    attack = attributes.AttributeInferenceBlackBox(classifier, "dt", attack_feature=0)
    attack.fit(x[:40])
    predicted = classifier.predict(x[40:]).argmax(1).reshape(-1, 1)
    bits = attack.infer(x[40:, 1:], pred=predicted, values=[0.0, 1.0])
    assert set(bits.reshape(-1)) <= {0.0, 1.0}


# Detectors


def spoil(x: np.ndarray) -> np.ndarray:
    """Obvious adversarials: the images with a checkerboard over them."""
    return (0.5 * x + 0.5 * (np.indices(x.shape[-2:]).sum(0) % 2)).astype(np.float32)


def detect(bench: Bench, detector: Any) -> None:
    x = np.concatenate([bench.x, spoil(bench.x)])
    labels = np.eye(2, dtype=np.float32)[np.repeat([0, 1], len(bench.x))]
    detector.fit(x, labels, batch_size=32, nb_epochs=6)
    flags = [detector.detect(samples)[1].mean() for samples in (bench.x, spoil(bench.x))]
    assert flags[1] > flags[0] + 0.3


def scan_subsets(bench: Bench) -> None:
    kind = evasion_detectors.SubsetScanningDetector
    detector = kind(bench.build(), bench.x[:40], RATES, verbose=False)
    assert detector.scan(bench.x[40:], spoil(bench.x[40:]))[2] > 0.5


def detect_poison(bench: Bench, defence: Any) -> None:
    flags = np.asarray(defence.detect_poison()[1])
    assert set(flags.reshape(-1)) <= {0, 1}


def spectral_signatures(bench: Bench) -> None:
    kind = poison_detectors.SpectralSignatureDefense
    options = {"expected_pp_poison": 0.2, "eps_multiplier": 1.0}
    detect_poison(bench, kind(bench.build(), bench.x, bench.one_hot, **options))


def share_right(labels: np.ndarray, logits: np.ndarray) -> float:
    return float((labels.argmax(1) == logits.argmax(1)).mean())


def provenance(bench: Bench, perf_func: Any = share_right) -> None:
    noise = np.random.default_rng(0).uniform(0, 0.01, bench.x.shape)
    x = (bench.x + noise).astype(np.float32)  # ART removes samples that share a value.
    sources = np.eye(3)[np.repeat([0, 1, 2], 20)]
    trusted = {"x_val": x[:20], "y_val": bench.one_hot[:20], "eps": 0.1, "perf_func": perf_func}
    kind = poison_detectors.ProvenanceDefense
    detect_poison(bench, kind(bench.build(), x, bench.one_hot, sources, **trusted))


def negative_impact(bench: Bench, shape: tuple[int, ...] = (64,)) -> None:
    x, y = bench.x[:8].reshape(8, *shape), bench.one_hot[:8]
    options = {"calibrated": False, "eps": 0.1, "pp_quiz": 1.0, "perf_func": share_right}
    kind = poison_detectors.RONIDefense
    detect_poison(bench, kind(bench.small(shape, CLASSES), x, y, x[:1], y[:1], **options))


# Trainers and transformers


def train(bench: Bench, make: Callable[[Any, Any], Any], labels: bool = True, **fit: Any) -> None:
    classifier = bench.build()
    before = copy.deepcopy(classifier.model.state_dict())
    trainer = make(classifier, ProjectedGradientDescent(classifier, **PGD))
    y = bench.y[:16] if labels else bench.one_hot[:16]
    trainer.fit(bench.x[:16], y, **({"batch_size": 8, "nb_epochs": 1} | fit))
    for name, weight in classifier.model.state_dict().items():
        assert torch.isfinite(weight).all(), name
        assert not torch.equal(weight, before[name]), name


def train_awp(bench: Bench, mode: str) -> None:
    def make(classifier: Any, attack: Any) -> Any:
        options = {"mode": mode, "gamma": 0.01, "beta": 6.0, "warmup": 0}
        proxy = bench.build()
        return trainers.AdversarialTrainerAWPPyTorch(classifier, proxy, attack, **options)

    train(bench, make)


OAAT: dict[str, Any] = {"list_swa_tau": [0.995], "list_swa_epoch": [0], "load_swa_model_tau": 0.995}
OAAT |= {"layer_names_activation": [RATES], "lpips_weight": 1.0, "i_lpips_weight": 0.0}
OAAT |= {"i_epsilon": 0.05, "epsilon": 0.1, "alternate_iter_eps": 1.0, "max_iter": 2, "alpha": 1.0}
OAAT |= {"mixup_epsilon": 0.1, "mixup_alpha": 0.2, "beta": 2.0, "beta_final": 3.0, "norm": "inf"}
OAAT |= {"swa_save_epoch": 0, "awp_warmup": 0, "oaat_warmup": 0, "weight_decay": 0.0}
OAAT |= {"awp_gamma": 0.005, "lr": 0.1, "lr_schedule": "cosine", "momentum": 0.9}


def train_oaat(bench: Bench) -> None:
    def make(classifier: Any, attack: Any) -> Any:
        networks = (classifier, bench.build(), bench.build(), [bench.build()])
        parameters = OAAT | {"models_path": str(bench.folder)}
        return trainers.AdversarialTrainerOAATPyTorch(*networks, attack, parameters)

    train(bench, make)


MADRY = {"nb_epochs": 1, "batch_size": 8, "eps": 0.1, "eps_step": 0.05, "max_iter": 3}


def distil(bench: Bench) -> None:
    teacher, student = bench.softmax(), bench.softmax(fresh=True)
    x = bench.data.x_train[:300]
    DefensiveDistillation(teacher, batch_size=32, nb_epochs=3)(x, student)
    assert (teacher.predict(x).argmax(1) == student.predict(x).argmax(1)).mean() > 0.2


def strip(bench: Bench) -> None:
    classifier = bench.softmax()
    before = classifier.predict(bench.x)
    defended = STRIP(classifier)(num_samples=5, false_acceptance_rate=0.05)
    defended.mitigate(bench.x)
    predictions = defended.predict(bench.x)
    kept = (predictions != 0).any(1)
    assert kept.mean() > 0.7
    np.testing.assert_allclose(predictions[kept], before[kept], atol=1e-5)


# What stands before and after the network


def preprocess(bench: Bench, make: Callable[[], Any], form: str = "grey") -> None:
    """The classifier predicts on what the defence returns, and goes back through it."""
    x, y = FORMS[form].present(bench.x[:4]), bench.y[:4]
    defence, plain = make(), bench.build(form)
    classifier = bench.build(form, preprocessing_defences=defence)
    defended = _seeded(defence, x)[0].astype(x.dtype)
    np.testing.assert_allclose(
        _seeded(classifier.predict, x), plain.predict(defended), rtol=0, atol=1e-4
    )
    gradient = _seeded(classifier.loss_gradient, x, y)
    expected = _seeded(defence.estimate_gradient, x, plain.loss_gradient(defended, y))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)
    assert np.abs(gradient).max() > 0


def _seeded(run: Callable[..., Any], *given: Any) -> Any:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (ART draws from numpy's global state)
    return run(*given)


def augment(bench: Bench, defence: Any) -> None:
    classifier = bench.build(fresh=True, preprocessing_defences=defence)
    classifier.fit(bench.x[:16], bench.one_hot[:16], batch_size=8, nb_epochs=1)
    assert np.isfinite(classifier.predict(bench.x[:4])).all()


def resize(bench: Bench, change: Any, shape: tuple[int, ...], inner: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
    options = {"input_shape": shape, "preprocessing": None, "preprocessing_defences": change}
    classifier = bench.small(inner, CLASSES, **options)
    assert classifier.loss_gradient(x, np.arange(4)).shape == x.shape


def average_draws(bench: Bench, kind: Any, form: str, **options: Any) -> None:
    """Predictions have a row per draw, and the gradient is their mean, of the samples' shape."""
    x, y = FORMS[form].present(bench.x[:4]), bench.y[:4]
    classifier = bench.build(form, preprocessing_defences=kind(3, UNIT, **options))
    assert len(classifier.predict(x)) == 3 * len(x)
    gradient = classifier.loss_gradient(x, y)
    assert gradient.shape == x.shape
    assert np.abs(gradient).max() > 0


def postprocess(bench: Bench, defence: Any) -> None:
    """Predictions change or stay, the gradient stays."""
    x, y = bench.x[:4], bench.y[:4]
    classifier = bench.build(postprocessing_defences=[Probabilities(), defence])
    np.testing.assert_array_equal(classifier.loss_gradient(x, y), bench.build().loss_gradient(x, y))
    assert np.isfinite(classifier.predict(x)).all()


# Estimators, metrics, evaluations


def ensemble(bench: Bench) -> None:
    x, y = bench.x[:4], bench.y[:4]
    members = [bench.build(), bench.build(rule=STBP())]
    both = estimators.EnsembleClassifier(members, [0.25, 0.75], clip_values=UNIT, **FIRST)
    for method, given in {"predict": (x,), "class_gradient": (x,), "loss_gradient": (x, y)}.items():
        one, other = (getattr(member, method)(*given) for member in members)
        mean = one / 4 + 3 * other / 4
        np.testing.assert_allclose(getattr(both, method)(*given), mean, rtol=1e-4, atol=1e-6)


def partition(bench: Bench) -> None:
    base = bench.build(fresh=True)
    members = estimators.DeepPartitionEnsemble(base, ensemble_size=3, **FIRST)
    members.fit(bench.x, bench.y, batch_size=20, nb_epochs=1)
    assert members.predict(bench.x[:4]).sum(1).tolist() == [3.0] * 4


def clone(bench: Bench) -> None:
    classifier = bench.build()
    classifier.gradient = RGA(beta=3.0)
    copied = classifier.clone_for_refitting()
    assert (type(copied), copied.gradient) == (type(classifier), RGA(beta=3.0))
    copied.fit(bench.x[:8], bench.y[:8], nb_epochs=1)
    assert type(classifier)(**classifier.get_params()) == classifier


def save(bench: Bench) -> None:
    classifier = bench.build()
    classifier.fit_generator(NumpyDataGenerator(bench.x, bench.one_hot, batch_size=20), nb_epochs=1)
    classifier.save("network", str(bench.folder))
    other = bench.build(fresh=True)
    state = torch.load(bench.folder / "network.model", weights_only=True)
    other.model.load_state_dict(state)
    np.testing.assert_array_equal(other.predict(bench.x), classifier.predict(bench.x))


def black_box(bench: Bench) -> None:
    classifier, options = bench.build(), {"max_iter": 5, "eps": 0.2, "verbose": False}
    kind = estimators.BlackBoxClassifierNeuralNetwork
    box = kind(classifier.predict, classifier.input_shape, CLASSES, clip_values=UNIT)
    one, other = (
        _seeded(SquareAttack(victim, **options).generate, bench.x[:4], bench.y[:4])
        for victim in (box, classifier)
    )
    np.testing.assert_array_equal(one, other)


def estimate_gradient(bench: Bench) -> None:
    inner = bench.softmax()
    kind = estimators.QueryEfficientGradientEstimationClassifier
    x, y = bench.x[:4], bench.one_hot[:4]
    adversarial = FastGradientMethod(kind(inner, 40, 0.1), eps=0.1).generate(x, y)
    assert inner.compute_loss(adversarial, y).mean() > inner.compute_loss(x, y).mean()


SMOOTHING = {"sample_size": 20, "scale": 0.1, "alpha": 0.05}


def smooth(bench: Bench, kind: Any) -> None:
    base = bench.build()
    if kind is NumpyRandomizedSmoothing:
        smoothed = kind(base, **SMOOTHING)
    else:
        given = (base.model, base.loss, base.input_shape, base.nb_classes, base.optimizer)
        smoothed = kind(*given, clip_values=UNIT, device_type="cpu", **SMOOTHING)
    _, radii = smoothed.certify(bench.x[:3], n=20)
    assert (radii > 0).any()
    x, y = bench.x[:3], bench.one_hot[:3]
    expected = base.loss_gradient(x, y)
    np.testing.assert_allclose(smoothed.loss_gradient(x, y), expected, rtol=1e-4, atol=1e-7)
    smoothed.fit(bench.x[:16], bench.y[:16], batch_size=8, nb_epochs=1)


def measure_robustness(bench: Bench) -> None:
    classifier, settings = bench.build(), {"eps": 1.0, "eps_step": 0.05}
    assert 0 < metrics.empirical_robustness(classifier, bench.x[:8], "fgsm", settings) < 1


def measure_sensitivity(bench: Bench) -> None:
    classifier, x, y = bench.build(), bench.x[:8], bench.one_hot[:8]
    norms = np.linalg.norm(classifier.loss_gradient(x, y).reshape(8, -1), axis=1)
    assert math.isclose(metrics.loss_sensitivity(classifier, x, y), norms.mean(), rel_tol=1e-5)
    assert not metrics.loss_gradient_check(classifier, x, y, verbose=False).any()


def measure_clever(bench: Bench) -> None:
    options = {"nb_batches": 3, "batch_size": 2, "radius": 0.3, "norm": 2, "pool_factor": 5}
    assert 0 <= metrics.clever_u(bench.build(), bench.x[0], verbose=False, **options) <= 0.3


def measure_accuracy(bench: Bench) -> None:
    attack = FastGradientMethod(classifier := bench.build(), eps=0.3)
    assert metrics.adversarial_accuracy(classifier, bench.x, bench.y, attack_crafter=attack) < 0.9


def measure_privacy(bench: Bench) -> None:
    options = {"indexes": np.array([3]), "num_iter": 1}
    given = bench.build(), bench.build(fresh=True), bench.x[:20], bench.y[:20]
    assert 0 < metrics.PDTP(*given, **options)[0][0] < math.inf


def security_curve(bench: Bench) -> None:
    options = {"eps_step": 0.05, "max_iter": 3, "verbose": False}
    _, accuracies, clean = SecurityCurve([0.05, 0.3]).evaluate(
        bench.build(), bench.x[:16], bench.one_hot[:16], **options
    )
    assert accuracies[1] <= accuracies[0] <= clean


CRAFTS = "crafts with the attack gradient, updates with the training gradient"
SOFTMAX = "with a softmax as postprocessing defence"

KINDS: dict[str, list[Row]] = {
    "Poisoning": [
        Row(("PoisoningAttackBackdoor",), FIT, TRAINING, backdoor),
        Row(("PoisoningAttackCleanLabelBackdoor",), LOSS_GRADIENT, ATTACK, clean_label),
        Row(("FeatureCollisionAttack",), ACTIVATIONS, ATTACK, feature_collision),
        Row(("BullseyePolytopeAttackPyTorch",), ACTIVATIONS, ATTACK, bullseye),
        *(
            Row(
                (name,), ACTIVATIONS, ATTACK, partial(hidden_trigger, kind=getattr(poisoning, name))
            )
            for name in ("HiddenTriggerBackdoor", "HiddenTriggerBackdoorPyTorch")
        ),
        Row(
            ("GradientMatchingAttack",),
            WEIGHTS,
            BOTH,
            gradient_matching,
            "with STBP gradients, in `network.fixed(False)`",
        ),
        Row(
            ("SleeperAgentAttack",),
            WEIGHTS,
            BOTH,
            sleeper_agent,
            "with STBP gradients, in `network.fixed(False)`",
        ),
    ],
    "Extraction": [
        Row(
            ("CopycatCNN",),
            PREDICT + ", `fit` of the thief",
            TRAINING,
            partial(steal, kind=extraction.CopycatCNN),
        ),
        Row(
            ("KnockoffNets",),
            PREDICT + ", `fit` of the thief",
            TRAINING,
            partial(steal, kind=extraction.KnockoffNets, verbose=False),
        ),
    ],
    "Inference": [
        Row(("MIFace",), CLASS_GRADIENT, ATTACK, invert, "with `threshold=float('inf')`"),
        Row(
            ("MembershipInferenceBlackBox",),
            PREDICT,
            NO_GRADIENT,
            partial(
                tell_members,
                attack=lambda c: membership.MembershipInferenceBlackBox(c, "loss", "lr"),
                learned=True,
            ),
        ),
        *(
            Row(
                (name,),
                PREDICT,
                NO_GRADIENT,
                partial(tell_members, attack=getattr(membership, name)),
            )
            for name in ("MembershipInferenceBlackBoxRuleBased", "LabelOnlyGapAttack")
        ),
        Row(("LabelOnlyDecisionBoundary",), PREDICT, NO_GRADIENT, label_only_boundary),
        Row(("ShadowModels",), FIT, TRAINING, shadow_models),
        Row(("AttributeInferenceBlackBox",), PREDICT, NO_GRADIENT, infer_attribute),
    ],
    "Detectors": [
        Row(
            ("BinaryInputDetector",),
            FIT,
            TRAINING,
            lambda b: detect(b, evasion_detectors.BinaryInputDetector(b.small((1, 8, 8), 2))),
        ),
        Row(
            ("BinaryActivationDetector",),
            f"{ACTIVATIONS}, {FIT}",
            TRAINING,
            lambda b: detect(
                b,
                evasion_detectors.BinaryActivationDetector(
                    b.build(), b.small((12, 8, 8), 2), layer=RATES
                ),
            ),
        ),
        Row(("SubsetScanningDetector",), ACTIVATIONS, NO_GRADIENT, scan_subsets),
        Row(
            ("ActivationDefence",),
            ACTIVATIONS,
            NO_GRADIENT,
            lambda b: poison_detectors.ActivationDefence(b.build(), b.x, b.one_hot).detect_poison(
                nb_clusters=2, nb_dims=2, reduce="PCA"
            ),
        ),
        Row(("SpectralSignatureDefense",), ACTIVATIONS, NO_GRADIENT, spectral_signatures),
        Row(
            ("ProvenanceDefense",),
            FIT,
            TRAINING,
            provenance,
            "with a function as `perf_func`, and samples that share no values",
        ),
        Row(
            ("RONIDefense",),
            FIT,
            TRAINING,
            negative_impact,
            "on vectors, with a function as `perf_func`",
        ),
    ],
    "Trainers": [
        Row(
            ("AdversarialTrainer",),
            FIT,
            BOTH,
            partial(train, make=lambda c, a: trainers.AdversarialTrainer(c, a, ratio=1.0)),
            CRAFTS,
        ),
        Row(
            ("AdversarialTrainerMadryPGD",),
            FIT,
            BOTH,
            lambda b: train(
                b,
                lambda c, _: trainers.AdversarialTrainerMadryPGD(c, **MADRY),
                validation_data=(b.x, b.y),
            ),
            CRAFTS,
        ),
        Row(
            ("AdversarialTrainerFBFPyTorch",),
            WEIGHTS,
            BOTH,
            partial(
                train,
                make=lambda c, _: trainers.AdversarialTrainerFBFPyTorch(c, eps=0.1),
                labels=False,
            ),
            CRAFTS,
        ),
        Row(
            ("AdversarialTrainerTRADESPyTorch",),
            WEIGHTS,
            BOTH,
            partial(
                train, make=lambda c, a: trainers.AdversarialTrainerTRADESPyTorch(c, a, beta=6.0)
            ),
            CRAFTS,
        ),
        *(
            Row(
                ("AdversarialTrainerAWPPyTorch",),
                WEIGHTS,
                BOTH,
                partial(train_awp, mode=mode),
                CRAFTS,
            )
            for mode in ("PGD", "TRADES")
        ),
        Row(("AdversarialTrainerOAATPyTorch",), WEIGHTS, BOTH, train_oaat, CRAFTS),
        Row(
            ("DPInstaHideTrainer",),
            FIT,
            TRAINING,
            partial(
                train,
                make=lambda c, _: trainers.DPInstaHideTrainer(c, preprocessors.Mixup(CLASSES)),
                labels=False,
            ),
        ),
    ],
    "Transformers": [
        Row(("DefensiveDistillation",), f"{PREDICT}, {FIT}", TRAINING, distil, SOFTMAX),
        Row(("STRIP",), PREDICT, NO_GRADIENT, strip, SOFTMAX),
    ],
    "Preprocessors": [
        *(
            Row(
                (name,),
                f"{PREDICT}, {LOSS_GRADIENT}",
                ATTACK,
                partial(preprocess, make=make, form=form),
                "" if form == "grey" else form,
            )
            for name, form, make in (
                (
                    "FeatureSqueezing",
                    "grey",
                    lambda: preprocessors.FeatureSqueezing(UNIT, bit_depth=2),
                ),
                (
                    "GaussianAugmentation",
                    "grey",
                    lambda: preprocessors.GaussianAugmentation(
                        0.1, augmentation=False, **PREDICTING
                    ),
                ),
                ("JpegCompression", "grey", lambda: preprocessors.JpegCompression(UNIT, **FIRST)),
                ("JpegCompression", "frames", lambda: preprocessors.JpegCompression(UNIT, **FIRST)),
                ("SpatialSmoothing", "grey", lambda: preprocessors.SpatialSmoothing(**FIRST)),
                ("SpatialSmoothing", "frames", lambda: preprocessors.SpatialSmoothing(**FIRST)),
                (
                    "SpatialSmoothingPyTorch",
                    "grey",
                    lambda: preprocessors.SpatialSmoothingPyTorch(**FIRST),
                ),
                (
                    "SpatialSmoothingPyTorch",
                    "frames",
                    lambda: preprocessors.SpatialSmoothingPyTorch(**FIRST),
                ),
                ("TotalVarMin", "channels last", lambda: preprocessors.TotalVarMin()),
                ("Cutout", "grey", lambda: preprocessors.Cutout(4, **FIRST, **PREDICTING)),
                (
                    "CutoutPyTorch",
                    "grey",
                    lambda: preprocessors.CutoutPyTorch(4, **FIRST, **PREDICTING),
                ),
            )
        ),
        *(
            Row(
                (name,),
                FIT,
                TRAINING,
                partial(augment, defence=defence),
                "trains on changed samples",
            )
            for name, defence in (
                ("Mixup", preprocessors.Mixup(CLASSES)),
                ("MixupPyTorch", preprocessors.MixupPyTorch(CLASSES)),
                ("CutMix", preprocessors.CutMix(CLASSES, **FIRST)),
                ("CutMixPyTorch", preprocessors.CutMixPyTorch(CLASSES, **FIRST)),
                ("LabelSmoothing", preprocessors.LabelSmoothing()),
            )
        ),
        Row(
            ("ImageResizePyTorch",),
            LOSS_GRADIENT,
            ATTACK,
            lambda b: resize(
                b, image.ImageResizePyTorch(height=4, width=4, **PREDICTING), (3, 8, 8), (3, 4, 4)
            ),
        ),
        Row(
            ("ImageSquarePadPyTorch",),
            LOSS_GRADIENT,
            ATTACK,
            lambda b: resize(b, image.ImageSquarePadPyTorch(**PREDICTING), (3, 8, 6), (3, 8, 8)),
        ),
    ],
    "Expectation over transformation": [
        Row(
            (name,),
            f"{PREDICT}, {LOSS_GRADIENT}",
            ATTACK,
            partial(average_draws, kind=getattr(eot, name), form=form, **options),
            "one row of predictions per draw",
        )
        for name, form, options in (
            ("EoTBrightnessPyTorch", "grey", {"delta": 0.3}),
            ("EoTContrastPyTorch", "channels last", {"contrast_factor": 0.5}),
            ("EoTGaussianNoisePyTorch", "frames", {"std": 0.2}),
            ("EoTShotNoisePyTorch", "grey", {"lam": (1.0, 5.0)}),
            ("EoTZoomBlurPyTorch", "channels last", {"zoom": 1.8}),
            ("EoTImageCenterCropPyTorch", "grey", {"size": 3}),
            ("EoTImageRotationPyTorch", "grey", {"angles": 90.0}),
        )
    ],
    "Postprocessors": [
        Row(
            (name,),
            LOSS_GRADIENT,
            ATTACK,
            lambda b, name=name: postprocess(b, getattr(postprocessors, name)()),
            "leaves the gradient as it is",
        )
        for name in ("ClassLabels", "GaussianNoise", "HighConfidence", "ReverseSigmoid", "Rounded")
    ],
    "Estimators": [
        Row(
            ("PyTorchClassifier",),
            FIT,
            TRAINING,
            clone,
            "clones keep the settings and have fresh weights",
        ),
        Row(
            ("PyTorchClassifier", "NumpyDataGenerator"),
            FIT,
            TRAINING,
            save,
            "what `save` writes loads again",
        ),
        Row(
            ("EnsembleClassifier",),
            CLASS_GRADIENT,
            ATTACK,
            ensemble,
            "each member has its own rule",
        ),
        Row(("DeepPartitionEnsemble",), FIT, TRAINING, partition),
        Row(("BlackBoxClassifierNeuralNetwork",), PREDICT, NO_GRADIENT, black_box),
        Row(
            ("QueryEfficientGradientEstimationClassifier",),
            PREDICT,
            NO_GRADIENT,
            estimate_gradient,
            SOFTMAX,
        ),
        *(
            Row(
                (kind.__name__,),
                f"{PREDICT}, {LOSS_GRADIENT}, {FIT}",
                BOTH,
                partial(smooth, kind=kind),
            )
            for kind in (PyTorchRandomizedSmoothing, NumpyRandomizedSmoothing)
        ),
    ],
    "Metrics": [
        Row(("empirical_robustness",), LOSS_GRADIENT, ATTACK, measure_robustness),
        Row(
            ("loss_sensitivity", "loss_gradient_check"), LOSS_GRADIENT, ATTACK, measure_sensitivity
        ),
        Row(("clever", "clever_t", "clever_u"), CLASS_GRADIENT, ATTACK, measure_clever),
        Row(
            ("adversarial_accuracy",),
            f"{PREDICT}, and what the attack uses",
            ATTACK,
            measure_accuracy,
        ),
        Row(("PDTP",), FIT, TRAINING, measure_privacy),
        Row(("SecurityCurve",), LOSS_GRADIENT, ATTACK, security_curve),
    ],
}
"""What runs, by kind."""

REFUSALS = [
    Refusal(
        ("GradientMatchingAttack", "SleeperAgentAttack"),
        "a rule without a second derivative: take STBP",
        r"got RGA.*, which has none\. .*STBP",
        match_by_rga,
    ),
    Refusal(
        ("DatabaseReconstruction",),
        "models of scikit-learn alone",
        "ScikitlearnEstimator",
        lambda b: DatabaseReconstruction(b.build()),
    ),
    Refusal(
        (
            "AttributeInferenceWhiteBoxDecisionTree",
            "AttributeInferenceWhiteBoxLifestyleDecisionTree",
        ),
        "decision trees alone",
        "ScikitlearnDecisionTree",
        lambda b: attributes.AttributeInferenceWhiteBoxDecisionTree(b.build()),
    ),
    Refusal(
        ("DefensiveDistillation",),
        "logits: give both classifiers a softmax as postprocessing defence",
        "do not produce probability",
        lambda b: DefensiveDistillation(b.build())(b.x, b.softmax()),
    ),
    Refusal(
        ("STRIP",),
        "logits: give the classifier a softmax as postprocessing defence",
        "non-finite values",
        lambda b: STRIP(b.build())(num_samples=5).mitigate(b.x),
    ),
    Refusal(
        ("ProvenanceDefense", "RONIDefense"),
        "'accuracy', which takes no logits: give `perf_func` a function",
        "Classification metrics can't handle a mix",
        lambda b: provenance(b, "accuracy"),
    ),
    Refusal(
        ("RONIDefense",),
        "images: give it vectors, and let the encoder restore them",
        "number of dimensions",
        lambda b: negative_impact(b, (1, 8, 8)),
    ),
    Refusal(
        ("AdversarialTrainerCertifiedPytorch", "AdversarialTrainerCertifiedIBPPyTorch"),
        "all but ART's own bounds of ReLU networks: use `art-snn harden --defence ibp`",
        "should be of type PyTorchIBPClassifier",
        lambda b: trainers.AdversarialTrainerCertifiedIBPPyTorch(b.build()),
    ),
]
"""What does not run, with its reason and remedy."""
