"""What tests assert of ART's classes on a spiking classifier, kept for a page of documentation.

A test says it with a decorator::

    @promises("the stolen network agrees with its victim above chance", "CopycatCNN", uses=PREDICT)
    def test_...

`test_promises.py` holds that all that ART exports is in the table or in ELSEWHERE, and
`docs/audit_table.py` writes both out. Evasion attacks have a table of their own: `tests/audit.py`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

PREDICT = "predictions"
LOSS_GRADIENT = "`loss_gradient`"
CLASS_GRADIENT = "`class_gradient`"
ACTIVATIONS = "`get_activations`"
WEIGHTS = "gradients of the weights"
FIT = "`fit`"
MODEL = "the model itself"
NOTHING = "nothing"

ATTACK_GRADIENT = "attack gradient"
TRAINING_GRADIENT = "training gradient"
BOTH = "both"
NO_GRADIENT = "none"

KINDS: Mapping[str, tuple[str, ...]] = {
    "Poisoning": ("art.attacks.poisoning",),
    "Extraction": ("art.attacks.extraction",),
    "Inference": (
        "art.attacks.inference.attribute_inference",
        "art.attacks.inference.membership_inference",
        "art.attacks.inference.model_inversion",
        "art.attacks.inference.reconstruction",
    ),
    "Detectors": ("art.defences.detector.evasion", "art.defences.detector.poison"),
    "Trainers": ("art.defences.trainer",),
    "Transformers": ("art.defences.transformer.evasion", "art.defences.transformer.poisoning"),
    "Preprocessors": (
        "art.defences.preprocessor",
        "art.preprocessing",
        "art.preprocessing.audio",
        "art.preprocessing.image",
        "art.preprocessing.standardisation_mean_std",
    ),
    "Expectation over transformation": ("art.preprocessing.expectation_over_transformation",),
    "Postprocessors": ("art.defences.postprocessor",),
    "Estimators": ("art.estimators.classification", "art.estimators.poison_mitigation"),
    "Certification": ("art.estimators.certification",),
    "Metrics": ("art.metrics",),
    "Evaluations": ("art.evaluations.security_curve", "art.evaluations.great_score"),
    "Data and logs": ("art.data_generators", "art.summary_writer"),
}
"""The modules of ART that export what a PyTorch image classifier may meet, by kind."""


@dataclass(frozen=True)
class Promise:
    """What a test asserts of some classes or functions of ART.

    :param words: what it asserts, as the table says it.
    :param names: of the classes, as their module exports them.
    :param uses: what they use of the classifier.
    :param rule: which of its gradients they differentiate by.
    :param error: whether the words give the reason why they cannot run, and the test asserts that.
    """

    words: str
    names: tuple[str, ...]
    uses: str
    rule: str
    error: bool


PROMISES: list[Promise] = []
"""All of them, in the order in which their modules are imported."""

Test = TypeVar("Test", bound=Callable[..., Any])


def promises(
    words: str, *names: str, uses: str, rule: str = NO_GRADIENT, error: bool = False
) -> Callable[[Test], Test]:
    """Put what a test asserts into the table."""

    def kept(test: Test) -> Test:
        PROMISES.append(Promise(words, names, uses, rule, error))
        return test

    return kept


ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "TensorFlow or Keras only": (
        "AdversarialTrainerFBF",
        "AdversarialTrainerTRADES",
        "AdversarialTrainerAWP",
        "AdversarialTrainerOAAT",
        "BackdoorAttackDGMReDTensorFlowV2",
        "BackdoorAttackDGMTrailTensorFlowV2",
        "CutMixTensorFlowV2",
        "CutoutTensorFlowV2",
        "EoTBrightnessTensorFlow",
        "EoTContrastTensorFlow",
        "EoTGaussianNoiseTensorFlow",
        "EoTImageRotationTensorFlow",
        "EoTShotNoiseTensorFlow",
        "EoTZoomBlurTensorFlow",
        "HiddenTriggerBackdoorKeras",
        "ImageResizeTensorFlowV2",
        "ImageSquarePadTensorFlowV2",
        "KerasClassifier",
        "KerasDataGenerator",
        "KerasNeuralCleanse",
        "MixupTensorFlowV2",
        "NeuralCleanse",
        "PoisoningAttackAdversarialEmbedding",
        "PreprocessorTensorFlowV2",
        "SpatialSmoothingTensorFlowV2",
        "StandardisationMeanStdTensorFlow",
        "TensorFlowV2Classifier",
        "TensorFlowV2DataGenerator",
        "TensorFlowV2DeRandomizedSmoothing",
        "TensorFlowV2RandomizedSmoothing",
    ),
    "object detection": (
        "BadDetGlobalMisclassificationAttack",
        "BadDetObjectDisappearanceAttack",
        "BadDetObjectGenerationAttack",
        "BadDetRegionalMisclassificationAttack",
        "ObjectSeekerMixin",
        "PyTorchObjectSeeker",
    ),
    "sound": ("LFilter", "LFilterPyTorch", "Mp3Compression", "Mp3CompressionPyTorch", "Resample"),
    "estimators of other libraries": (
        "CatBoostARTClassifier",
        "GPyGaussianProcessClassifier",
        "HuggingFaceClassifierPyTorch",
        "LightGBMClassifier",
        "SklearnClassifier",
        "XGBoostClassifier",
    ),
    "support vector machines and trees": (
        "PoisoningAttackSVM",
        "RobustnessVerificationTreeModelsCliqueMethod",
    ),
    "base classes, and parts of what is in the table": (
        "ClassGradientsMixin",
        "ClassifierMixin",
        "ComparisonType",
        "DataGenerator",
        "EvasionDetector",
        "PoisonFilteringDefence",
        "Postprocessor",
        "Preprocessor",
        "PreprocessorPyTorch",
        "RandomizedSmoothingMixin",
        "STRIPMixin",
        "SummaryWriter",
        "Trainer",
    ),
}
"""What ART exports for others than PyTorch image classifiers, by what it is made for."""


def collected() -> list[Promise]:
    """The whole table: every test module of this folder is imported."""
    package = importlib.import_module("tests.toolbox")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        importlib.import_module(f"tests.toolbox.{module.name}")
    return PROMISES


def exported(kind: str) -> set[str]:
    """Names of the classes and functions that ART exports of that kind."""
    return {name for module in KINDS[kind] for name in _public(importlib.import_module(module))}


def _public(module: Any) -> Iterator[str]:
    """What a module of ART offers; names that it imports for itself are none of it."""
    for name, value in vars(module).items():
        defined = inspect.isclass(value) or inspect.isfunction(value)
        if defined and not name.startswith("_") and value.__module__.startswith("art."):
            yield name
