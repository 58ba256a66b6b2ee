"""What of ART, apart from evasion attacks, does with a spiking classifier: one table.

`test_audit.py` runs every row; `docs/audit_table.py` writes the table as a page. Evasion attacks
have a table of their own, `tests/audit.py`. Whether a class achieves what it is for is ART's
promise; ours is that it runs, by which gradients, and that it sees the network as it is.
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
from tests.classifiers import DIGITS, FORMS, STEPS, Counted, Probabilities, Tally, build

PREDICT, FIT = "predictions", "`fit`"
LOSS_GRADIENT, CLASS_GRADIENT = "`loss_gradient`", "`class_gradient`"
ACTIVATIONS, WEIGHTS = "`get_activations`", "gradients of the weights"

NO_GRADIENT, ATTACK, TRAINING, BOTH = "none", "attack gradient", "training gradient", "both"
USED = {(False, False): NO_GRADIENT, (True, False): ATTACK, (False, True): TRAINING}

SOURCE, TARGET, EPS = 1, 7, 0.2
RATES, LOGITS = "layers.1", "layers.2"
"""Layers whose outputs are features: the neurons, and the last one for attacks that want [N, K]."""
UNIT = (0.0, 1.0)
FIRST, QUIET = {"channels_first": True}, {"verbose": False}
PREDICTING = {"apply_fit": False, "apply_predict": True}
PGD = {"eps": 0.1, "eps_step": 0.05, "max_iter": 2} | QUIET


class SharedTally(Tally):
    """A tally that copies of a rule share, since defences train copies of a classifier."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Bench:
    """Digits, trained layers, and classifiers whose two rules count their backward passes."""

    def __init__(self, layers: nn.Module, data: Any, folder: Path) -> None:
        self.layers, self.data, self.folder = layers, data, folder
        self.tallies = SharedTally(), SharedTally()
        self.x, self.y = data.x_train[:100].copy(), data.y_train[:100].copy()
        self.one_hot = one_hot(self.y)
        self.table = FORMS["table"].present(self.x)

    def build(self, form: str = "grey", rule: Any = None, fresh: bool = False, **o: Any) -> Any:
        """A classifier around the trained layers, or around fresh ones."""
        layers = None if fresh else copy.deepcopy(self.layers)
        return build(layers, form, **self._rules(rule), **o)

    def softmax(self, **options: Any) -> Any:
        """A classifier that predicts probabilities, for what refuses logits."""
        return self.build(postprocessing_defences=Probabilities(), **options)

    def small(self, shape: tuple[int, ...], classes: int = DIGITS, **options: Any) -> Any:
        """An untrained classifier of inputs of that shape."""
        layers = [Timed(nn.Flatten(), nn.Linear(math.prod(shape), 16)), LIF()]
        layers.append(Timed(nn.Linear(16, classes)))
        network = SpikingNetwork(layers, Direct(STEPS), **self._rules(), input_shape=shape)
        given: dict[str, Any] = {"input_shape": shape, "clip_values": UNIT, "device_type": "cpu"}
        given |= {"optimizer": torch.optim.Adam(network.parameters(), lr=0.01)} | options
        kind = type(self.build())
        return kind(network, nn.CrossEntropyLoss(), nb_classes=classes, **given)

    def bases(self, label: int, count: int) -> np.ndarray:
        """Samples of a class."""
        return self.data.x_train[self.data.y_train == label][:count].copy()

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


class Row(NamedTuple):
    """One or several classes or functions of ART with the same promise.

    :param names: as ART exports them, with commas between.
    :param uses: what they use of the classifier.
    :param rule: the gradients that go backward.
    :param run: runs it on a bench.
    :param remark: what the setting owes to spikes, or to ART.
    """

    names: str
    uses: str
    rule: str
    run: Callable[[Bench], object]
    remark: str = ""


class Refusal(NamedTuple):
    """Classes of ART that cannot run on a spiking classifier, and the error that they raise."""

    names: str
    reason: str
    message: str
    run: Callable[[Bench], object]


def one_hot(y: Any) -> np.ndarray:
    """Class indices [N] as float32 [N, DIGITS]."""
    return np.eye(DIGITS, dtype=np.float32)[y]


def _seeded(run: Callable[..., Any], *given: Any) -> Any:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (ART draws from numpy's global state)
    return run(*given)


# Poisoning


def add_trigger(x: np.ndarray) -> np.ndarray:
    """Images with a bright square in a corner that is dark in all digits."""
    x = x.copy()
    x[..., -2:, :2] = 1.0
    return x


def backdoor(bench: Bench) -> None:
    attack = poisoning.PoisoningAttackBackdoor(add_trigger)
    poisons, labels = attack.poison(bench.x, one_hot(TARGET), broadcast=True)
    bench.build().fit(poisons, labels, batch_size=32, nb_epochs=1)


def clean_label(bench: Bench) -> None:
    trigger = poisoning.PoisoningAttackBackdoor(add_trigger)
    options = {"eps": EPS, "eps_step": EPS / 2, "max_iter": 3, "pp_poison": 0.5}
    kind = poisoning.PoisoningAttackCleanLabelBackdoor
    kind(trigger, bench.build(), one_hot(TARGET), **options).poison(bench.x, bench.one_hot)


def feature_collision(bench: Bench) -> None:
    options = {"learning_rate": 0.05, "max_iter": 4, "similarity_coeff": 0.01} | QUIET
    kind = poisoning.FeatureCollisionAttack
    kind(bench.build(), bench.bases(TARGET, 1), RATES, **options).poison(bench.bases(SOURCE, 1))


def bullseye(bench: Bench) -> None:
    options = {"max_iter": 4, "epsilon": EPS, "learning_rate": 0.05} | QUIET
    kind = poisoning.BullseyePolytopeAttackPyTorch
    attack = kind(bench.build(), bench.bases(TARGET, 1), LOGITS, **options)
    attack.poison(bench.bases(SOURCE, 3), one_hot(np.full(3, TARGET)))


def hidden_trigger(bench: Bench, name: str) -> None:
    options = {"eps": EPS, "learning_rate": 0.01, "stopping_threshold": 0, "max_iter": 4} | QUIET
    options |= {"target": one_hot(TARGET), "source": one_hot(SOURCE), "poison_percent": 0.3}
    trigger = poisoning.PoisoningAttackBackdoor(add_trigger)
    kind = getattr(poisoning, name)
    attack = kind(bench.build(), backdoor=trigger, feature_layer=LOGITS, **options)
    attack.poison(bench.x, bench.one_hot)


MATCHING = {"max_trials": 1, "max_epochs": 4, "verbose": 0, "epsilon": EPS}


def match_gradients(bench: Bench, rule: Any = None) -> None:
    classifier = bench.build(rule=rule)
    attack = poisoning.GradientMatchingAttack(classifier, percent_poison=0.05, **MATCHING)
    attack.poison(bench.bases(SOURCE, 2), np.full(2, TARGET), bench.x, bench.y)


def sleeper_agent(bench: Bench) -> None:
    classifier, triggers = bench.build(rule=STBP()), bench.bases(SOURCE, 2)
    options = {"patching_strategy": "fixed", "selection_strategy": "max-norm"} | MATCHING
    options |= {"class_source": SOURCE, "class_target": TARGET, "percent_poison": 0.5}
    places = {"indices_target": np.flatnonzero(bench.y == TARGET)}
    patch = np.ones((1, 2, 2), np.float32)
    attack = poisoning.SleeperAgentAttack(classifier, patch=patch, **places, **options)
    samples = bench.x, bench.one_hot, bench.x[:20], bench.one_hot[:20]
    attack.poison(triggers, one_hot(np.full(2, TARGET)), *samples)


# Extraction and inference


def steal(bench: Bench, name: str) -> None:
    few = {"nb_stolen": 100, "nb_epochs": 1, "batch_size_fit": 32, "batch_size_query": 100}
    options = QUIET if name == "KnockoffNets" else {}
    attack = getattr(extraction, name)(bench.build(), **few, **options)
    attack.extract(bench.x, bench.one_hot, thieved_classifier=bench.build(fresh=True))


def invert(bench: Bench) -> None:
    grey = np.full((DIGITS, 1, 8, 8), 0.5, np.float32)
    options = {"max_iter": 5, "learning_rate": 0.1, "batch_size": DIGITS} | QUIET
    MIFace(bench.build(), threshold=math.inf, **options).infer(grey, np.arange(DIGITS))


MEMBERS = {
    "MembershipInferenceBlackBox": ("loss", "lr"),
    "MembershipInferenceBlackBoxRuleBased": (),
    "LabelOnlyGapAttack": (),
}


def tell_members(bench: Bench, name: str) -> None:
    given, x, y = MEMBERS[name], bench.table, bench.y
    attack = getattr(membership, name)(bench.build("table"), *given)
    if given:
        attack.fit(x[:50], y[:50], x[50:], (y[50:] + 1) % DIGITS)
    attack.infer(x, y)


def label_only_boundary(bench: Bench) -> None:
    hops = {"max_iter": 1, "max_eval": 5, "init_eval": 2, "init_size": 10} | QUIET
    x, y = bench.table[:8], bench.y[:8]
    attack = membership.LabelOnlyDecisionBoundary(bench.build("table"))
    attack.calibrate_distance_threshold(x[:4], y[:4], x[4:], (y[4:] + 1) % DIGITS, **hops)
    attack.infer(x, y, **hops)


def shadow_models(bench: Bench) -> None:
    shadows = membership.ShadowModels(bench.build("table"), num_shadow_models=2, random_state=0)
    shadows.generate_shadow_dataset(bench.table, bench.one_hot)


def infer_attribute(bench: Bench) -> None:
    x, classifier = bench.table.copy(), bench.build("table")
    x[:, 0] = np.arange(len(x)) % 2
    attack = attributes.AttributeInferenceBlackBox(classifier, "dt", attack_feature=0)
    attack.fit(x[:40])
    predicted = classifier.predict(x[40:]).argmax(1).reshape(-1, 1)
    attack.infer(x[40:, 1:], pred=predicted, values=[0.0, 1.0])


# Detectors


def detect(bench: Bench, detector: Any) -> None:
    labels = np.eye(2, dtype=np.float32)[np.arange(len(bench.x)) % 2]
    detector.fit(bench.x, labels, batch_size=32, nb_epochs=1)
    detector.detect(bench.x)


def detect_inputs(bench: Bench) -> None:
    detect(bench, evasion_detectors.BinaryInputDetector(bench.small((1, 8, 8), 2)))


def detect_activations(bench: Bench) -> None:
    inner = bench.small((12, 8, 8), 2)
    detect(bench, evasion_detectors.BinaryActivationDetector(bench.build(), inner, layer=RATES))


def scan_subsets(bench: Bench) -> None:
    kind = evasion_detectors.SubsetScanningDetector
    kind(bench.build(), bench.x[:40], RATES, **QUIET).scan(bench.x[40:], 1 - bench.x[40:])


def cluster_activations(bench: Bench) -> None:
    defence = poison_detectors.ActivationDefence(bench.build(), bench.x, bench.one_hot)
    defence.detect_poison(nb_clusters=2, nb_dims=2, reduce="PCA")


def spectral_signatures(bench: Bench) -> None:
    kind = poison_detectors.SpectralSignatureDefense
    options = {"expected_pp_poison": 0.2, "eps_multiplier": 1.0}
    kind(bench.build(), bench.x, bench.one_hot, **options).detect_poison()


def share_right(labels: np.ndarray, logits: np.ndarray) -> float:
    return float((labels.argmax(1) == logits.argmax(1)).mean())


def provenance(bench: Bench, perf_func: Any = share_right) -> None:
    noise = np.random.default_rng(0).uniform(0, 0.01, (60, 1, 8, 8))
    x = (bench.x[:60] + noise).astype(np.float32)  # ART removes samples that share a value.
    sources = np.eye(3)[np.repeat([0, 1, 2], 20)]
    trusted = {"x_val": x[:20], "y_val": bench.one_hot[:20], "eps": 0.1, "perf_func": perf_func}
    kind = poison_detectors.ProvenanceDefense
    kind(bench.build(), x, bench.one_hot[:60], sources, **trusted).detect_poison()


def negative_impact(bench: Bench, shape: tuple[int, ...] = (64,)) -> None:
    x, y = bench.x[:8].reshape(8, *shape), bench.one_hot[:8]
    options = {"calibrated": False, "eps": 0.1, "pp_quiz": 1.0, "perf_func": share_right}
    kind = poison_detectors.RONIDefense
    kind(bench.small(shape), x, y, x[:1], y[:1], **options).detect_poison()


# Trainers and transformers


def train(bench: Bench, make: Callable[[Any, Any], Any], labels: bool = True, **fit: Any) -> None:
    """Every weight has moved, and is finite."""
    classifier = bench.build()
    before = copy.deepcopy(classifier.model.state_dict())
    trainer = make(classifier, ProjectedGradientDescent(classifier, **PGD))
    y = bench.y[:16] if labels else bench.one_hot[:16]
    trainer.fit(bench.x[:16], y, **({"batch_size": 8, "nb_epochs": 1} | fit))
    for name, weight in classifier.model.state_dict().items():
        assert torch.isfinite(weight).all(), name
        assert not torch.equal(weight, before[name]), name


def train_madry(bench: Bench) -> None:
    options = {"nb_epochs": 1, "batch_size": 8, "eps": 0.1, "eps_step": 0.05, "max_iter": 3}
    kind = trainers.AdversarialTrainerMadryPGD
    train(bench, lambda c, _: kind(c, **options), validation_data=(bench.x, bench.y))


def train_awp(bench: Bench, mode: str) -> None:
    options = {"mode": mode, "gamma": 0.01, "beta": 6.0, "warmup": 0}
    kind = trainers.AdversarialTrainerAWPPyTorch
    train(bench, lambda c, attack: kind(c, bench.build(), attack, **options))


OAAT: dict[str, Any] = {"list_swa_tau": [0.995], "list_swa_epoch": [0], "load_swa_model_tau": 0.995}
OAAT |= {"layer_names_activation": [RATES], "lpips_weight": 1.0, "i_lpips_weight": 0.0}
OAAT |= {"i_epsilon": 0.05, "epsilon": 0.1, "alternate_iter_eps": 1.0, "max_iter": 2, "alpha": 1.0}
OAAT |= {"mixup_epsilon": 0.1, "mixup_alpha": 0.2, "beta": 2.0, "beta_final": 3.0, "norm": "inf"}
OAAT |= {"swa_save_epoch": 0, "awp_warmup": 0, "oaat_warmup": 0, "weight_decay": 0.0}
OAAT |= {"awp_gamma": 0.005, "lr": 0.1, "lr_schedule": "cosine", "momentum": 0.9}


def train_oaat(bench: Bench) -> None:
    others = bench.build(), bench.build(), [bench.build()]
    parameters = OAAT | {"models_path": str(bench.folder)}
    kind = trainers.AdversarialTrainerOAATPyTorch
    train(bench, lambda c, attack: kind(c, *others, attack, parameters))


def train_by(bench: Bench, name: str, **options: Any) -> None:
    kind = getattr(trainers, name)
    train(bench, lambda c, attack: kind(c, attack, **options))


def train_fast(bench: Bench) -> None:
    train(bench, lambda c, _: trainers.AdversarialTrainerFBFPyTorch(c, 0.1), labels=False)


def train_on_mixtures(bench: Bench) -> None:
    kind, mixup = trainers.DPInstaHideTrainer, preprocessors.Mixup(DIGITS)
    train(bench, lambda c, _: kind(c, mixup), labels=False)


def distil(bench: Bench) -> None:
    teacher, student = bench.softmax(), bench.softmax(fresh=True)
    DefensiveDistillation(teacher, batch_size=32, nb_epochs=1)(bench.x, student)


def strip(bench: Bench) -> None:
    defended = STRIP(bench.softmax())(num_samples=5, false_acceptance_rate=0.05)
    defended.mitigate(bench.x)
    defended.predict(bench.x)


# What stands before and after the network


def preprocess(bench: Bench, name: str, form: str, options: dict[str, Any]) -> None:
    """The classifier predicts on what the defence returns, and goes back through it."""
    x, y = FORMS[form].present(bench.x[:4]), bench.y[:4]
    defence, plain = getattr(preprocessors, name)(**options), bench.build(form)
    classifier = bench.build(form, preprocessing_defences=defence)
    defended = _seeded(defence, x)[0].astype(x.dtype)
    found = _seeded(classifier.predict, x)
    np.testing.assert_allclose(found, plain.predict(defended), rtol=0, atol=1e-4)
    gradient = _seeded(classifier.loss_gradient, x, y)
    expected = _seeded(defence.estimate_gradient, x, plain.loss_gradient(defended, y))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)
    assert np.abs(gradient).max() > 0


CUT = {"length": 4} | FIRST | PREDICTING
SQUEEZED: list[tuple[str, str, dict[str, Any]]] = [
    ("FeatureSqueezing", "grey", {"clip_values": UNIT, "bit_depth": 2}),
    ("GaussianAugmentation", "grey", {"sigma": 0.1, "augmentation": False} | PREDICTING),
    ("TotalVarMin", "channels last", {}),
    *((name, "grey", CUT) for name in ("Cutout", "CutoutPyTorch")),
]
for form in ("grey", "frames"):
    SQUEEZED += [("JpegCompression", form, {"clip_values": UNIT} | FIRST)]
    SQUEEZED += [(name, form, FIRST) for name in ("SpatialSmoothing", "SpatialSmoothingPyTorch")]


def augment(bench: Bench, defence: Any) -> None:
    classifier = bench.build(fresh=True, preprocessing_defences=defence)
    classifier.fit(bench.x[:16], bench.one_hot[:16], batch_size=8, nb_epochs=1)
    assert np.isfinite(classifier.predict(bench.x[:4])).all()


AUGMENTED = (
    preprocessors.Mixup(DIGITS),
    preprocessors.MixupPyTorch(DIGITS),
    preprocessors.CutMix(DIGITS, **FIRST),
    preprocessors.CutMixPyTorch(DIGITS, **FIRST),
    preprocessors.LabelSmoothing(),
)


RESIZED = {
    "ImageResizePyTorch": ({"height": 4, "width": 4}, (3, 8, 8), (3, 4, 4)),
    "ImageSquarePadPyTorch": ({}, (3, 8, 6), (3, 8, 8)),
}


def resize(bench: Bench, name: str) -> None:
    sizes, shape, inner = RESIZED[name]
    change = getattr(image, name)(**sizes, **PREDICTING)
    x = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
    options = {"input_shape": shape, "preprocessing": None, "preprocessing_defences": change}
    assert bench.small(inner, **options).loss_gradient(x, np.arange(4)).shape == x.shape


def average_draws(bench: Bench, name: str, form: str, **options: Any) -> None:
    """Predictions have a row per draw, and the gradient is their mean, of the samples' shape."""
    x, y = FORMS[form].present(bench.x[:4]), bench.y[:4]
    classifier = bench.build(form, preprocessing_defences=getattr(eot, name)(3, UNIT, **options))
    assert len(classifier.predict(x)) == 3 * len(x)
    gradient = classifier.loss_gradient(x, y)
    assert gradient.shape == x.shape
    assert np.abs(gradient).max() > 0


DRAWN = [
    ("EoTBrightnessPyTorch", "grey", {"delta": 0.3}),
    ("EoTContrastPyTorch", "channels last", {"contrast_factor": 0.5}),
    ("EoTGaussianNoisePyTorch", "frames", {"std": 0.2}),
    ("EoTShotNoisePyTorch", "grey", {"lam": (1.0, 5.0)}),
    ("EoTZoomBlurPyTorch", "channels last", {"zoom": 1.8}),
    ("EoTImageCenterCropPyTorch", "grey", {"size": 3}),
    ("EoTImageRotationPyTorch", "grey", {"angles": 90.0}),
]


def postprocess(bench: Bench, name: str) -> None:
    """Predictions change or stay, the gradient stays."""
    x, y = bench.x[:4], bench.y[:4]
    defences = [Probabilities(), getattr(postprocessors, name)()]
    classifier = bench.build(postprocessing_defences=defences)
    np.testing.assert_array_equal(classifier.loss_gradient(x, y), bench.build().loss_gradient(x, y))
    assert np.isfinite(classifier.predict(x)).all()


# Estimators, metrics, evaluations


def ensemble(bench: Bench) -> None:
    x, y = bench.x[:4], bench.y[:4]
    members = [bench.build(), bench.build(rule=STBP())]
    both = estimators.EnsembleClassifier(members, [0.25, 0.75], clip_values=UNIT, **FIRST)
    both.predict(x)
    both.class_gradient(x)
    both.loss_gradient(x, y)


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
    classifier, kind = bench.build(), estimators.BlackBoxClassifierNeuralNetwork
    box = kind(classifier.predict, classifier.input_shape, DIGITS, clip_values=UNIT)
    SquareAttack(box, max_iter=5, eps=0.2, **QUIET).generate(bench.x[:4], bench.y[:4])


def estimate_gradient(bench: Bench) -> None:
    kind = estimators.QueryEfficientGradientEstimationClassifier
    attack = FastGradientMethod(kind(bench.softmax(), 40, 0.1), eps=0.1)
    attack.generate(bench.x[:4], bench.one_hot[:4])


def smooth(bench: Bench, kind: Any) -> None:
    base, smoothing = bench.build(), {"sample_size": 20, "scale": 0.1, "alpha": 0.05}
    if kind is NumpyRandomizedSmoothing:
        smoothed = kind(base, **smoothing)
    else:
        given = (base.model, base.loss, base.input_shape, base.nb_classes, base.optimizer)
        smoothed = kind(*given, clip_values=UNIT, device_type="cpu", **smoothing)
    x, y = bench.x[:3], bench.one_hot[:3]
    assert (smoothed.certify(x, n=20)[1] > 0).any()
    expected = base.loss_gradient(x, y)
    np.testing.assert_allclose(smoothed.loss_gradient(x, y), expected, rtol=1e-4, atol=1e-7)
    smoothed.fit(bench.x[:16], bench.y[:16], batch_size=8, nb_epochs=1)


def measure_robustness(bench: Bench) -> None:
    metrics.empirical_robustness(bench.build(), bench.x[:8], "fgsm", {"eps": 1.0, "eps_step": 0.05})


def measure_sensitivity(bench: Bench) -> None:
    classifier, x, y = bench.build(), bench.x[:8], bench.one_hot[:8]
    metrics.loss_sensitivity(classifier, x, y)
    metrics.loss_gradient_check(classifier, x, y, verbose=False)


def measure_clever(bench: Bench) -> None:
    options = {"nb_batches": 3, "batch_size": 2, "radius": 0.3, "norm": 2, "pool_factor": 5}
    metrics.clever_u(bench.build(), bench.x[0], **options, **QUIET)


def measure_accuracy(bench: Bench) -> None:
    attack = FastGradientMethod(classifier := bench.build(), eps=0.3)
    metrics.adversarial_accuracy(classifier, bench.x, bench.y, attack_crafter=attack)


def measure_privacy(bench: Bench) -> None:
    given = bench.build(), bench.build(fresh=True), bench.x[:20], bench.y[:20]
    metrics.PDTP(*given, indexes=np.array([3]), num_iter=1)


def security_curve(bench: Bench) -> None:
    few = bench.x[:16], bench.one_hot[:16]
    curve = SecurityCurve([0.05, 0.3])
    curve.evaluate(bench.build(), *few, eps_step=0.05, max_iter=3, **QUIET)


CRAFTS = "crafts with the attack gradient, updates with the training gradient"
SOFTMAX = "with a softmax as postprocessing defence"
TWICE = "with STBP gradients"
THIEF, BEFORE = f"{PREDICT}, `fit` of the thief", f"{PREDICT}, {LOSS_GRADIENT}"
UNLIKE = "with a function as `perf_func`, and samples that share no values"
VECTORS = "on vectors, with a function as `perf_func`"
CLONED = "clones keep the settings and have fresh weights"
SAVED, CHANGES = "what `save` writes loads again", "trains on changed samples"
SAME = "leaves the gradient as it is"
CHANGED = ("ClassLabels", "GaussianNoise", "HighConfidence", "ReverseSigmoid", "Rounded")
DRAWS, OF_ATTACK = "one row of predictions per draw", f"{PREDICT}, and what the attack uses"
NOTED = {"grey": "", "frames": "frames", "channels last": "channels last"}
HIDDEN = ("HiddenTriggerBackdoor", "HiddenTriggerBackdoorPyTorch")
TRADES, AWP = "AdversarialTrainerTRADESPyTorch", "AdversarialTrainerAWPPyTorch"
ESTIMATING = "QueryEfficientGradientEstimationClassifier"


def _each(names, *told, run, remark=""):
    """A row for each of the names, by which it is run."""
    return [Row(name, *told, partial(run, name=name), remark) for name in names]


KINDS: dict[str, list[Row]] = {
    "Poisoning": [
        Row("PoisoningAttackBackdoor", FIT, TRAINING, backdoor),
        Row("PoisoningAttackCleanLabelBackdoor", LOSS_GRADIENT, ATTACK, clean_label),
        Row("FeatureCollisionAttack", ACTIVATIONS, ATTACK, feature_collision),
        Row("BullseyePolytopeAttackPyTorch", ACTIVATIONS, ATTACK, bullseye),
        *_each(HIDDEN, ACTIVATIONS, ATTACK, run=hidden_trigger),
        Row("GradientMatchingAttack", WEIGHTS, BOTH, lambda b: match_gradients(b, STBP()), TWICE),
        Row("SleeperAgentAttack", WEIGHTS, BOTH, sleeper_agent, TWICE),
    ],
    "Extraction": _each(("CopycatCNN", "KnockoffNets"), THIEF, TRAINING, run=steal),
    "Inference": [
        Row("MIFace", CLASS_GRADIENT, ATTACK, invert, "with `threshold=float('inf')`"),
        *_each(MEMBERS, PREDICT, NO_GRADIENT, run=tell_members),
        Row("LabelOnlyDecisionBoundary", PREDICT, NO_GRADIENT, label_only_boundary),
        Row("ShadowModels", FIT, TRAINING, shadow_models),
        Row("AttributeInferenceBlackBox", PREDICT, NO_GRADIENT, infer_attribute),
    ],
    "Detectors": [
        Row("BinaryInputDetector", FIT, TRAINING, detect_inputs),
        Row("BinaryActivationDetector", f"{ACTIVATIONS}, {FIT}", TRAINING, detect_activations),
        Row("SubsetScanningDetector", ACTIVATIONS, NO_GRADIENT, scan_subsets),
        Row("ActivationDefence", ACTIVATIONS, NO_GRADIENT, cluster_activations),
        Row("SpectralSignatureDefense", ACTIVATIONS, NO_GRADIENT, spectral_signatures),
        Row("ProvenanceDefense", FIT, TRAINING, provenance, UNLIKE),
        Row("RONIDefense", FIT, TRAINING, negative_impact, VECTORS),
    ],
    "Trainers": [
        *_each(["AdversarialTrainer"], FIT, BOTH, run=partial(train_by, ratio=1.0), remark=CRAFTS),
        Row("AdversarialTrainerMadryPGD", FIT, BOTH, train_madry, CRAFTS),
        Row("AdversarialTrainerFBFPyTorch", WEIGHTS, BOTH, train_fast, CRAFTS),
        *_each([TRADES], WEIGHTS, BOTH, run=partial(train_by, beta=6.0), remark=CRAFTS),
        *(Row(AWP, WEIGHTS, BOTH, partial(train_awp, mode=m), CRAFTS) for m in ("PGD", "TRADES")),
        Row("AdversarialTrainerOAATPyTorch", WEIGHTS, BOTH, train_oaat, CRAFTS),
        Row("DPInstaHideTrainer", FIT, TRAINING, train_on_mixtures),
    ],
    "Transformers": [
        Row("DefensiveDistillation", f"{PREDICT}, {FIT}", TRAINING, distil, SOFTMAX),
        Row("STRIP", PREDICT, NO_GRADIENT, strip, SOFTMAX),
    ],
    "Preprocessors": [
        *(
            Row(name, BEFORE, ATTACK, partial(preprocess, name=name, form=f, options=o), NOTED[f])
            for name, f, o in SQUEEZED
        ),
        *(
            Row(type(one).__name__, FIT, TRAINING, partial(augment, defence=one), CHANGES)
            for one in AUGMENTED
        ),
        *_each(RESIZED, LOSS_GRADIENT, ATTACK, run=resize),
    ],
    "Expectation over transformation": [
        Row(name, BEFORE, ATTACK, partial(average_draws, name=name, form=form, **options), DRAWS)
        for name, form, options in DRAWN
    ],
    "Postprocessors": _each(CHANGED, LOSS_GRADIENT, ATTACK, run=postprocess, remark=SAME),
    "Estimators": [
        Row("PyTorchClassifier", FIT, TRAINING, clone, CLONED),
        Row("PyTorchClassifier, NumpyDataGenerator", FIT, TRAINING, save, SAVED),
        Row("EnsembleClassifier", CLASS_GRADIENT, ATTACK, ensemble, "each member has its own rule"),
        Row("DeepPartitionEnsemble", FIT, TRAINING, partition),
        Row("BlackBoxClassifierNeuralNetwork", PREDICT, NO_GRADIENT, black_box),
        Row(ESTIMATING, PREDICT, NO_GRADIENT, estimate_gradient, SOFTMAX),
        *(
            Row(kind.__name__, f"{BEFORE}, {FIT}", BOTH, partial(smooth, kind=kind))
            for kind in (PyTorchRandomizedSmoothing, NumpyRandomizedSmoothing)
        ),
    ],
    "Metrics": [
        Row("empirical_robustness", LOSS_GRADIENT, ATTACK, measure_robustness),
        Row("loss_sensitivity, loss_gradient_check", LOSS_GRADIENT, ATTACK, measure_sensitivity),
        Row("clever, clever_t, clever_u", CLASS_GRADIENT, ATTACK, measure_clever),
        Row("adversarial_accuracy", OF_ATTACK, ATTACK, measure_accuracy),
        Row("PDTP", FIT, TRAINING, measure_privacy),
        Row("SecurityCurve", LOSS_GRADIENT, ATTACK, security_curve),
    ],
}
"""What runs, by kind."""

REFUSALS = [
    Refusal(
        "GradientMatchingAttack, SleeperAgentAttack",
        "a rule without a second derivative: take STBP",
        r"got RGA.*, which has none\. .*STBP",
        match_gradients,
    ),
    Refusal(
        "DatabaseReconstruction",
        "models of scikit-learn alone",
        "ScikitlearnEstimator",
        lambda b: DatabaseReconstruction(b.build()),
    ),
    Refusal(
        "AttributeInferenceWhiteBoxDecisionTree, AttributeInferenceWhiteBoxLifestyleDecisionTree",
        "decision trees alone",
        "ScikitlearnDecisionTree",
        lambda b: attributes.AttributeInferenceWhiteBoxDecisionTree(b.build()),
    ),
    Refusal(
        "DefensiveDistillation",
        "logits: give both classifiers a softmax as postprocessing defence",
        "do not produce probability",
        lambda b: DefensiveDistillation(b.build())(b.x, b.softmax()),
    ),
    Refusal(
        "STRIP",
        "logits: give the classifier a softmax as postprocessing defence",
        "non-finite values",
        lambda b: STRIP(b.build())(num_samples=5).mitigate(b.x),
    ),
    Refusal(
        "ProvenanceDefense, RONIDefense",
        "'accuracy', which takes no logits: give `perf_func` a function",
        "Classification metrics can't handle a mix",
        lambda b: provenance(b, "accuracy"),
    ),
    Refusal(
        "RONIDefense",
        "images: give it vectors, and let the encoder restore them",
        "number of dimensions",
        lambda b: negative_impact(b, (1, 8, 8)),
    ),
    Refusal(
        "AdversarialTrainerCertifiedPytorch, AdversarialTrainerCertifiedIBPPyTorch",
        "all but ART's own bounds of ReLU networks: use `art-snn train --defence ibp`",
        "should be of type PyTorchIBPClassifier",
        lambda b: trainers.AdversarialTrainerCertifiedIBPPyTorch(b.build()),
    ),
]
"""What does not run, with its reason and remedy."""
