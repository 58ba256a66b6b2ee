"""ART's detectors of evasion flag what they were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import DeepFool
from art.defences.detector.evasion import (
    BeyondDetectorPyTorch,
    BinaryActivationDetector,
    BinaryInputDetector,
    SubsetScanningDetector,
)
from torch import Tensor, nn

from tests.networks import build
from tests.toolbox.counting import assert_differentiated_by, counting, small
from tests.toolbox.promises import (
    ACTIVATIONS,
    FIT,
    MODEL,
    NO_GRADIENT,
    PREDICT,
    TRAINING_GRADIENT,
    promises,
)


def spoilt(x: np.ndarray) -> np.ndarray:
    """Obvious adversarials: the images with a checkerboard over them."""
    board = np.indices(x.shape[-2:]).sum(0) % 2
    return (0.5 * x + 0.5 * board).astype(np.float32)


def assert_flags_what_it_was_trained_on(detector: Any, x: np.ndarray) -> None:
    train, test = x[:60], x[60:100]
    samples = np.concatenate([train, spoilt(train)])
    labels = np.eye(2, dtype=np.float32)[np.repeat([0, 1], len(train))]
    detector.fit(samples, labels, batch_size=32, nb_epochs=10)
    (report, clean), (_, flags) = detector.detect(test), detector.detect(spoilt(test))
    assert report["predictions"].shape == (len(test), 2)
    assert flags.mean() > clean.mean() + 0.6


@promises(
    "a spiking detector flags unseen adversarials of the kind that it was trained on",
    "BinaryInputDetector",
    uses=f"{FIT}, {PREDICT}",
    rule=TRAINING_GRADIENT,
)
def test_a_detector_of_inputs_flags_adversarials(known: Any) -> None:
    detector = BinaryInputDetector(small((1, 8, 8), 2))
    assert_flags_what_it_was_trained_on(detector, known[0])
    assert_differentiated_by(TRAINING_GRADIENT, detector.detector)


@promises(
    "a spiking detector of firing rates flags unseen adversarials of the kind that it was trained "
    "on",
    "BinaryActivationDetector",
    uses=f"{ACTIVATIONS}, {FIT}, {PREDICT}",
    rule=TRAINING_GRADIENT,
)
def test_a_detector_of_activations_flags_adversarials(trained_layers: Any, known: Any) -> None:
    classifier = counting(trained_layers)
    detector = BinaryActivationDetector(classifier, small((12, 8, 8), 2), layer="layers.1")
    assert_flags_what_it_was_trained_on(detector, known[0])
    assert_differentiated_by(TRAINING_GRADIENT, detector.detector)
    assert_differentiated_by(NO_GRADIENT, classifier)


@promises(
    "firing rates of adversarials score higher than those of clean samples, and it flags them "
    "rather than these",
    "SubsetScanningDetector",
    uses=ACTIVATIONS,
)
@pytest.mark.parametrize("score", ["BerkJones", "HigherCriticism", "KolmarovSmirnov"])
def test_subset_scanning_scores_adversarials_higher(
    score: Any, trained_layers: Any, known: Any
) -> None:
    classifier = counting(trained_layers)
    x, clean = known[0][:80], known[0][80:110]
    detector = SubsetScanningDetector(classifier, x, "layers.1", score, verbose=False)
    _, _, power = detector.scan(clean, spoilt(clean))
    assert power > 0.7
    assert detector.detect(spoilt(clean))[1].mean() > detector.detect(clean)[1].mean()
    assert not detector.detect(x)[1].any()
    assert_differentiated_by(NO_GRADIENT, classifier)


class SelfSupervised(nn.Module):
    """A spiking backbone with the parts that BEYOND asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier, self.projector = network, nn.Softmax(1), nn.Identity()


class Holder:
    """What BEYOND takes for a classifier: anything with a `model`."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def shaken(x: Tensor) -> Tensor:
    return x + 0.05 * torch.randn_like(x)


@promises(
    "flags adversarials at the border of classes rather than clean samples, with a spiking "
    "network as self-supervised backbone",
    "BeyondDetectorPyTorch",
    uses=MODEL,
)
def test_beyond_flags_adversarials_at_the_border(
    trained_layers: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It moves networks to the first CUDA device, and leaves the classifier's data where they are.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    classifier, x = counting(trained_layers), known[0]
    model = SelfSupervised(classifier.model)
    options = {"aug_num": 10, "var_K": 9, "percentile": 5}
    detector = BeyondDetectorPyTorch(classifier, Holder(model), shaken, **options)
    detector.fit(x[:60], known[1][:60])
    attack = DeepFool(build(trained_layers), nb_grads=10, max_iter=10, verbose=False)
    report, flags = detector.detect(attack.generate(x[60:80]))
    assert report.shape == (20,)
    assert flags.mean() > detector.detect(x[60:80])[1].mean() + 0.3
    assert_differentiated_by(NO_GRADIENT, classifier)
