"""ART's augmentations change what `fit` trains on, and no prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from art.defences.preprocessor import (
    CutMix,
    CutMixPyTorch,
    Cutout,
    CutoutPyTorch,
    GaussianAugmentation,
    LabelSmoothing,
    Mixup,
    MixupPyTorch,
)

from tests.networks import CLASSES, FORMS, build
from tests.toolbox.counting import assert_differentiated_by, counting, fitted_on
from tests.toolbox.promises import FIT, TRAINING_GRADIENT, promises

FIRST = {"channels_first": True}
LEVELS = np.arange(CLASSES, dtype=np.float32) / CLASSES
TRAINS = {"uses": FIT, "rule": TRAINING_GRADIENT}


def flat(form: str = "grey") -> tuple[np.ndarray, np.ndarray]:
    """One sample of every class, all of whose pixels are a tenth of the class."""
    images = np.ones((CLASSES, 1, 8, 8), dtype=np.float32) * LEVELS[:, None, None, None]
    return FORMS[form].present(images), np.arange(CLASSES)


def trained_on(layers: Any, defence: Any, form: str = "grey") -> tuple[np.ndarray, np.ndarray]:
    """What `fit` trains on, of the flat samples; and that predictions know no augmentation."""
    classifier = counting(None, form, preprocessing_defences=defence)
    samples, labels = fitted_on(classifier, *flat(form))
    assert_differentiated_by(TRAINING_GRADIENT, classifier)
    defended = build(layers, form, preprocessing_defences=defence)
    x = flat(form)[0]
    np.testing.assert_array_equal(defended.predict(x), build(layers, form).predict(x))
    return samples, labels


@promises(
    "trains on mixtures of images and labels by the same shares", "Mixup", "MixupPyTorch", **TRAINS
)
@pytest.mark.parametrize("form", ["grey", "frames"])
@pytest.mark.parametrize("kind", [Mixup, MixupPyTorch])
def test_mixup_mixes_images_and_labels_alike(kind: Any, form: str, trained_layers: Any) -> None:
    samples, labels = trained_on(trained_layers, kind(CLASSES), form)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert ((labels > 1e-4).sum(1) == 2).any()
    values = samples.reshape(CLASSES, -1)
    np.testing.assert_allclose(
        values, np.repeat(labels @ LEVELS, values.shape[1]).reshape(values.shape), atol=1e-5
    )


@promises(
    "trains on images with a rectangle of another one, and on a mixture of their labels",
    "CutMix",
    "CutMixPyTorch",
    **TRAINS,
)
@pytest.mark.parametrize("form", ["grey", "frames"])
@pytest.mark.parametrize("kind", [CutMix, CutMixPyTorch])
def test_cutmix_pastes_a_rectangle_and_mixes_labels(
    kind: Any, form: str, trained_layers: Any
) -> None:
    samples, labels = trained_on(trained_layers, kind(CLASSES, probability=1.0, **FIRST), form)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    pasted = 0
    for sample, label in zip(samples, labels, strict=True):
        classes = set(np.rint(sample * CLASSES).astype(int).ravel())
        assert classes <= set(np.flatnonzero(label))
        assert len(np.flatnonzero(label)) <= 2
        pasted += len(classes) == 2
    assert pasted > 0


@promises(
    "trains on images without a square, the same one at all time steps of event frames",
    "Cutout",
    "CutoutPyTorch",
    **TRAINS,
)
@pytest.mark.parametrize("form", ["grey", "frames"])
@pytest.mark.parametrize("kind", [Cutout, CutoutPyTorch])
def test_cutout_blackens_a_square_of_the_right_size(
    kind: Any, form: str, trained_layers: Any
) -> None:
    samples, labels = trained_on(trained_layers, kind(length=4, **FIRST), form)
    bright = samples.max((1, *range(2, samples.ndim))) > 0
    assert bright.sum() == CLASSES - 1
    for sample in samples[bright]:
        black = sample.reshape(-1, 8, 8) == 0
        assert (black == black[0]).all()
        rows, columns = black[0].any(1), black[0].any(0)
        assert (black[0] == np.outer(rows, columns)).all()
        # A square at the border is cut there, to half its side at most.
        for side in (rows, columns):
            assert 2 <= side.sum() <= 4
            assert np.ptp(np.flatnonzero(side)) == side.sum() - 1
    assert set(labels) == set(range(CLASSES))


@promises("trains on smooth labels, the largest of the given value", "LabelSmoothing", **TRAINS)
def test_labels_are_smoothed(trained_layers: Any) -> None:
    samples, labels = trained_on(trained_layers, LabelSmoothing(max_value=0.91))
    np.testing.assert_array_equal(samples, flat()[0])
    expected = np.where(np.eye(CLASSES, dtype=bool), 0.91, 0.01)
    np.testing.assert_allclose(labels, expected, atol=1e-6)


@promises(
    "trains on the samples and on as many with noise of the given deviation",
    "GaussianAugmentation",
    **TRAINS,
)
def test_gaussian_augmentation_adds_noisy_copies(trained_layers: Any) -> None:
    samples, labels = trained_on(trained_layers, GaussianAugmentation(sigma=0.1, ratio=1.0))
    assert len(samples) == 2 * CLASSES
    noise = samples - LEVELS[labels][:, None, None, None]
    clean = np.abs(noise).max((1, 2, 3)) == 0
    assert clean.sum() == CLASSES
    assert abs(noise[~clean].std() - 0.1) < 0.02
