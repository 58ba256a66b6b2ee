"""ART's expectation over transformation averages gradients over sampled transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.preprocessing.expectation_over_transformation import (
    EoTBrightnessPyTorch,
    EoTContrastPyTorch,
    EoTGaussianNoisePyTorch,
    EoTImageCenterCropPyTorch,
    EoTImageRotationPyTorch,
    EoTShotNoisePyTorch,
    EoTZoomBlurPyTorch,
)

from tests.networks import FORMS, STEPS, Form, build
from tests.toolbox.counting import assert_differentiated_by, counting, fitted_on, seeded
from tests.toolbox.promises import (
    ATTACK_GRADIENT,
    FIT,
    LOSS_GRADIENT,
    PREDICT,
    TRAINING_GRADIENT,
    promises,
)

UNIT = (0.0, 1.0)
DRAWS = 3
KINDS: dict[Any, tuple[dict[str, Any], str]] = {
    EoTBrightnessPyTorch: ({"delta": 0.3}, "grey"),
    EoTContrastPyTorch: ({"contrast_factor": 0.5}, "channels last"),
    EoTGaussianNoisePyTorch: ({"std": 0.2}, "grey"),
    EoTShotNoisePyTorch: ({"lam": (1.0, 5.0)}, "grey"),
    EoTZoomBlurPyTorch: ({"zoom": 1.8}, "channels last"),
    EoTImageCenterCropPyTorch: ({"size": 3}, "grey"),
    EoTImageRotationPyTorch: ({"angles": 90.0}, "grey"),
}
NAMES = [kind.__name__ for kind in KINDS]
ON_FRAMES = {
    EoTBrightnessPyTorch: None,
    EoTGaussianNoisePyTorch: None,
    EoTShotNoisePyTorch: None,
    EoTContrastPyTorch: "Number of color channels is not 1 or 3",
    EoTImageCenterCropPyTorch: "must have the same number of spatial dimensions",
    EoTImageRotationPyTorch: "expected grid to have size 3",
}


def sampled(kind: Any, draws: int = DRAWS, **options: Any) -> Any:
    """The transformation with the options of KINDS, so many draws per sample."""
    return kind(draws, UNIT, **(KINDS[kind][0] | options))


@promises(
    "draws transformations per sample, and averages the gradient over them; predictions and "
    "losses have one row per draw",
    *NAMES,
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_mean_over_draws(kind: Any, trained_layers: Any, known: Any) -> None:
    form = KINDS[kind][1]
    x, y = FORMS[form].present(known[0][:4]), known[1][:4]
    defence, plain = sampled(kind), build(trained_layers, form)
    classifier = counting(trained_layers, form, preprocessing_defences=defence)
    leaf = torch.tensor(x, requires_grad=True)
    inputs, labels = seeded(defence.forward, leaf, torch.tensor(y))
    rows = inputs.detach().numpy()
    assert len(rows) == DRAWS * len(x)
    assert np.ptp(rows.reshape(len(x), DRAWS, -1), axis=1).max() > 0
    logits = seeded(classifier.predict, x)
    np.testing.assert_allclose(logits, plain.predict(rows), rtol=0, atol=1e-4)
    # The loss is a mean over rows, so that the sum over them is the mean over draws.
    inner = torch.from_numpy(plain.loss_gradient(rows, labels.numpy()))
    (expected,) = torch.autograd.grad(inputs, leaf, inner)
    gradient = seeded(classifier.loss_gradient, x, y)
    np.testing.assert_allclose(gradient, expected.numpy(), rtol=0, atol=1e-5)
    assert np.abs(gradient).max() > 0
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


def test_every_draw_of_a_sample_with_nan_is_nan(trained_layers: Any, known: Any) -> None:
    x, y = known[0][:2].copy(), known[1][:2]
    x[1, 0, 0, 0] = np.nan
    classifier = build(
        trained_layers, preprocessing_defences=sampled(EoTBrightnessPyTorch, apply_predict=True)
    )
    with pytest.warns(RuntimeWarning, match="NaN"):
        logits = classifier.predict(x)
    assert np.isnan(logits).all(1).tolist() == [False] * DRAWS + [True] * DRAWS
    assert not classifier.loss_gradient(x, y)[1].any()


@promises("trains on all draws with `apply_fit`", *NAMES, uses=FIT, rule=TRAINING_GRADIENT)
@pytest.mark.parametrize("kind", KINDS)
def test_training_takes_all_draws(kind: Any, known: Any) -> None:
    form = KINDS[kind][1]
    x, y = FORMS[form].present(known[0][:4]), known[1][:4]
    defence = sampled(kind, apply_fit=True)
    classifier = counting(None, form, preprocessing_defences=defence)
    samples, labels = fitted_on(classifier, x, y)
    np.testing.assert_array_equal(np.sort(labels), np.sort(np.repeat(y, DRAWS)))
    assert len(np.unique(samples.reshape(len(samples), -1), axis=0)) > len(x)
    assert_differentiated_by(TRAINING_GRADIENT, classifier)


@promises(
    "PGD with labels and one start raises the mean loss within eps",
    *NAMES,
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize("kind", KINDS)
def test_pgd_attacks_through_the_transformations(
    kind: Any, trained_layers: Any, known: Any
) -> None:
    form = KINDS[kind][1]
    x, y = FORMS[form].present(known[0][:8]), known[1][:8]
    classifier = counting(trained_layers, form, preprocessing_defences=sampled(kind))
    options = {"eps": 0.3, "eps_step": 0.1, "max_iter": 4, "verbose": False}
    adversarials = ProjectedGradientDescent(classifier, **options).generate(x, y)
    assert np.abs(adversarials - x).max() <= 0.3 + 1e-6
    clean, raised = (seeded(classifier.compute_loss, samples, y) for samples in (x, adversarials))
    assert raised.mean() > clean.mean()
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises(
    "several draws give more predictions than samples, which random restarts cannot compare "
    "(`projected_gradient_descent_pytorch.py`, line 240): start once, or set `nb_samples=1`",
    *NAMES,
    uses=PREDICT,
    error=True,
)
def test_several_draws_and_restarts_exclude_each_other(trained_layers: Any, known: Any) -> None:
    options = {"eps": 0.1, "eps_step": 0.05, "max_iter": 1, "verbose": False, "num_random_init": 2}
    for draws in (1, DRAWS):
        defence = sampled(EoTBrightnessPyTorch, draws)
        classifier = build(trained_layers, preprocessing_defences=defence)
        attack = ProjectedGradientDescent(classifier, **options)
        if draws == 1:
            assert attack.generate(known[0][:4], known[1][:4]).shape == (4, 1, 8, 8)
            continue
        with pytest.raises(IndexError, match="boolean index did not match"):
            attack.generate(known[0][:4], known[1][:4])


@promises(
    "takes event frames, too",
    "EoTBrightnessPyTorch",
    "EoTGaussianNoisePyTorch",
    "EoTShotNoisePyTorch",
    uses=PREDICT,
)
@promises(
    "takes images of four axes, and no event frames: let the data fold time into the channels, "
    "and the encoder unfold it",
    "EoTContrastPyTorch",
    "EoTImageCenterCropPyTorch",
    "EoTImageRotationPyTorch",
    uses=PREDICT,
    error=True,
)
@pytest.mark.parametrize(("kind", "message"), ON_FRAMES.items())
def test_event_frames_go_through_pointwise_transformations(
    kind: Any, message: str | None, trained_layers: Any, known: Any
) -> None:
    frames = FORMS["frames"].present(known[0][:2])
    classifier = build(trained_layers, "frames", preprocessing_defences=sampled(kind))
    if message is None:
        assert classifier.predict(frames).shape == (2 * DRAWS, 10)
        return
    with pytest.raises((ValueError, RuntimeError), match=message):
        classifier.predict(frames)


FOLDED = Form(
    (STEPS, 8, 8), lambda x: np.repeat(x, STEPS, axis=1), lambda x: x.transpose(0, 1)[:, :, None]
)


@promises(
    "transforms event frames whose time is folded into the channels",
    "EoTImageCenterCropPyTorch",
    "EoTImageRotationPyTorch",
    uses=PREDICT,
)
@pytest.mark.parametrize("kind", [EoTImageCenterCropPyTorch, EoTImageRotationPyTorch])
def test_folded_event_frames_are_transformed(
    kind: Any, trained_layers: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMS, "folded", FOLDED)
    x = FOLDED.present(known[0][:2])
    classifier = build(trained_layers, "folded", preprocessing_defences=sampled(kind))
    frames = seeded(sampled(kind), x)[0][:, :, None]
    expected = build(trained_layers, "frames").predict(frames)
    np.testing.assert_allclose(seeded(classifier.predict, x), expected, rtol=0, atol=1e-4)


def once(kind: Any, x: np.ndarray, **options: Any) -> np.ndarray:
    """One draw of every image."""
    transformed, _ = kind(1, UNIT, **options)(x.astype(np.float32))
    return transformed


@promises("agrees with values by hand", *NAMES, uses=PREDICT)
def test_transformations_agree_with_values_by_hand(known: Any) -> None:
    x = known[0][:3]
    last = x.transpose(0, 2, 3, 1)
    bright = once(EoTBrightnessPyTorch, x, delta=(0.2, 0.2))
    np.testing.assert_allclose(bright, np.clip(x + 0.2, 0, 1), atol=1e-6)
    dull = once(EoTContrastPyTorch, last, contrast_factor=(0.5, 0.5))
    expected = last / 2 + last.mean((1, 2, 3), keepdims=True) / 2
    np.testing.assert_allclose(dull, expected, atol=1e-6)
    noisy = once(EoTGaussianNoisePyTorch, np.full((4, 1, 16, 16), 0.5), std=(0.1, 0.1))
    assert abs(noisy.std() - 0.1) < 0.02
    # Photons at a rate of 4 come in quarters.
    shots = once(EoTShotNoisePyTorch, np.zeros((4, 1, 8, 8)), lam=(4.0, 4.0))
    np.testing.assert_allclose(shots * 4, np.rint(shots * 4), atol=1e-5)
    assert len(np.unique(shots)) > 2
    np.testing.assert_allclose(
        once(EoTZoomBlurPyTorch, np.full((1, 8, 8, 1), 0.6), zoom=(1.5, 1.5)), 0.6, atol=1e-5
    )
    turned = once(EoTImageRotationPyTorch, x, angles=[90.0])
    np.testing.assert_allclose(turned, np.rot90(x, axes=(2, 3)), atol=1e-6)
    # A crop of 0 or 2 pixels on every side, scaled up to twice its size.
    cropped = [once(EoTImageCenterCropPyTorch, x[:1], size=3) for _ in range(20)]
    doubled = x[:1, :, 2:6, 2:6].repeat(2, axis=2).repeat(2, axis=3)
    assert any(np.array_equal(image, doubled) for image in cropped)
    assert any(np.array_equal(image, x[:1]) for image in cropped)
