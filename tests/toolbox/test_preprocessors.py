"""ART's preprocessors in front of a spiking classifier: it predicts on what they return."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from art.defences.preprocessor import (
    Cutout,
    CutoutPyTorch,
    FeatureSqueezing,
    GaussianAugmentation,
    JpegCompression,
    PixelDefend,
    SpatialSmoothing,
    SpatialSmoothingPyTorch,
    ThermometerEncoding,
    TotalVarMin,
    VideoCompression,
    VideoCompressionPyTorch,
)

from art_snn import Frames
from tests.networks import FORMS, STEPS, Form, build
from tests.toolbox.counting import assert_differentiated_by, counting, seeded, small
from tests.toolbox.promises import ATTACK_GRADIENT, LOSS_GRADIENT, PREDICT, promises

UNIT = (0.0, 1.0)
FIRST = {"channels_first": True}
PREDICTING = {"apply_fit": False, "apply_predict": True}

DEFENCES: dict[str, tuple[Callable[[], Any], str]] = {
    "FeatureSqueezing": (lambda: FeatureSqueezing(UNIT, bit_depth=2), "grey"),
    "GaussianAugmentation": (
        lambda: GaussianAugmentation(0.1, augmentation=False, **PREDICTING),
        "grey",
    ),
    "JpegCompression": (lambda: JpegCompression(UNIT, **FIRST), "grey"),
    "JpegCompression, frames": (lambda: JpegCompression(UNIT, **FIRST), "frames"),
    "JpegCompression, video": (lambda: JpegCompression(UNIT), "video"),
    "SpatialSmoothing": (lambda: SpatialSmoothing(**FIRST), "grey"),
    "SpatialSmoothing, frames": (lambda: SpatialSmoothing(**FIRST), "frames"),
    "SpatialSmoothing, video": (lambda: SpatialSmoothing(), "video"),
    "SpatialSmoothingPyTorch": (lambda: SpatialSmoothingPyTorch(**FIRST), "grey"),
    "SpatialSmoothingPyTorch, frames": (lambda: SpatialSmoothingPyTorch(**FIRST), "frames"),
    "SpatialSmoothingPyTorch, video": (lambda: SpatialSmoothingPyTorch(), "video"),
    "TotalVarMin": (lambda: TotalVarMin(), "channels last"),
    "Cutout": (lambda: Cutout(4, **FIRST, **PREDICTING), "grey"),
    "CutoutPyTorch": (lambda: CutoutPyTorch(4, **FIRST, **PREDICTING), "grey"),
    "CutoutPyTorch, frames": (lambda: CutoutPyTorch(4, **FIRST, **PREDICTING), "frames"),
}
"""Defences that change no shape, each with the form of samples that it takes."""


@promises(
    "the classifier predicts on what the defence returns, and the gradient goes back through its "
    "`estimate_gradient`",
    *sorted({name.partition(",")[0] for name in DEFENCES}),
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize("name", DEFENCES)
def test_the_classifier_predicts_on_what_the_defence_returns(
    name: str, trained_layers: Any, known: Any
) -> None:
    make, form = DEFENCES[name]
    x, y = FORMS[form].present(known[0][:4]), known[1][:4]
    defence, plain = make(), build(trained_layers, form)
    classifier = counting(trained_layers, form, preprocessing_defences=defence)
    clean, defended = x.copy(), seeded(defence, x)[0].astype(x.dtype)
    assert np.abs(defended - x).max() > 1e-3
    logits = seeded(classifier.predict, x)
    np.testing.assert_allclose(logits, plain.predict(defended), rtol=0, atol=1e-4)
    gradient = seeded(classifier.loss_gradient, x, y)
    expected = seeded(defence.estimate_gradient, x, plain.loss_gradient(defended, y))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)
    assert np.abs(gradient).max() > 0
    np.testing.assert_array_equal(x, clean)
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises("leaves the levels that its bits can tell apart", "FeatureSqueezing", uses=PREDICT)
def test_two_bits_leave_four_levels() -> None:
    squeezed, _ = FeatureSqueezing(UNIT, bit_depth=2)(np.array([0, 0.1, 0.2, 0.5, 0.8, 1]))
    np.testing.assert_allclose(squeezed, [0, 0, 1 / 3, 2 / 3, 2 / 3, 1])


def per_frame(defence: Any, frames: np.ndarray) -> np.ndarray:
    """What the defence makes of every time step by itself, as an image."""
    steps = [defence(frames[:, step])[0] for step in range(frames.shape[1])]
    return np.stack(steps, axis=1)


@promises(
    "keeps mid-grey, changes images less at a higher quality, and compresses event frames step by "
    "step, unless there are three steps, which it takes for colours",
    "JpegCompression",
    uses=PREDICT,
)
def test_jpeg_compresses_event_frames_step_by_step(known: Any) -> None:
    grey = np.full((1, 1, 8, 8), 128 / 255, dtype=np.float32)
    np.testing.assert_allclose(JpegCompression(UNIT, **FIRST)(grey)[0], grey)
    high, low = JpegCompression(UNIT, 95, **FIRST), JpegCompression(UNIT, 5, **FIRST)
    x = known[0][:4]
    assert np.abs(high(x)[0] - x).mean() < np.abs(low(x)[0] - x).mean()
    frames = np.stack([x, x[::-1], 1 - x, x.transpose(0, 1, 3, 2)], axis=1)
    np.testing.assert_array_equal(low(frames)[0], per_frame(low, frames))
    assert np.abs(low(frames[:, :3])[0] - per_frame(low, frames[:, :3])).max() > 0.01


@promises(
    "takes medians over 3x3 pixels, step by step on event frames",
    "SpatialSmoothing",
    "SpatialSmoothingPyTorch",
    uses=PREDICT,
)
@pytest.mark.parametrize("kind", [SpatialSmoothing, SpatialSmoothingPyTorch])
def test_smoothing_takes_medians_of_every_time_step(kind: Any, known: Any) -> None:
    defence, x = kind(window_size=3, **FIRST), known[0][:4]
    smooth = defence(x)[0]
    np.testing.assert_allclose(smooth[:, 0, 3, 4], np.median(x[:, 0, 2:5, 3:6], axis=(1, 2)))
    frames = np.stack([x, 1 - x, x[::-1]], axis=1)
    np.testing.assert_array_equal(defence(frames)[0], per_frame(defence, frames))


@promises("lowers the total variation of images with channels last", "TotalVarMin", uses=PREDICT)
def test_total_variation_falls(known: Any) -> None:
    def variation(x: np.ndarray) -> np.ndarray:
        steps = (np.diff(x, axis=1), np.diff(x, axis=2))
        return sum(np.abs(step).sum((1, 2, 3)) for step in steps)

    x = FORMS["channels last"].present(known[0][:4])
    assert (variation(TotalVarMin(prob=0.3)(x)[0]) < 0.9 * variation(x)).all()


def encoded(**options: Any) -> Any:
    """A classifier whose network gets one-channel images as four levels."""
    defence = ThermometerEncoding(UNIT, num_space=4, **FIRST)
    options = {"input_shape": (1, 8, 8), "preprocessing_defences": defence} | options
    return small((4, 8, 8), 10, **options)


@promises(
    "a network of as many channels gets one per level below the value, and the gradient of a "
    "pixel is the sum over these; with `preprocessing=None`",
    "ThermometerEncoding",
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
def test_a_network_of_several_channels_gets_a_thermometer(known: Any) -> None:
    classifier = encoded(preprocessing=None)
    defence = classifier.preprocessing_defences[0]
    pixel, _ = defence(np.full((1, 1, 1, 1), 0.6, dtype=np.float32))
    np.testing.assert_array_equal(pixel.ravel(), [1, 1, 1, 0])
    x, y = known[0][:4].copy(), known[1][:4]
    levels = defence(x)[0]
    inner = small((4, 8, 8), 10)
    inner.model.load_state_dict(classifier.model.state_dict())
    np.testing.assert_allclose(classifier.predict(x), inner.predict(levels), atol=1e-5)
    above = np.concatenate([x > level / 4 for level in range(4)], axis=1)
    expected = (inner.loss_gradient(levels, y) * above).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.loss_gradient(x, y), expected, atol=1e-6)
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises(
    "ART's normalisation of no effect refuses the gradient of another shape "
    "(`preprocessor.py`, line 241): give the classifier `preprocessing=None`",
    "ThermometerEncoding",
    uses=LOSS_GRADIENT,
    error=True,
)
def test_a_thermometer_has_no_gradient_behind_a_normalisation(known: Any) -> None:
    with pytest.raises(RuntimeError, match="Mismatch in shape: grad_output"):
        encoded().loss_gradient(known[0][:4].copy(), known[1][:4])


def pixel_cnn() -> Any:
    """A stand-in that finds any value the more probable, the nearer it is to 100."""
    classifier = small((1, 8, 8), 64 * 256, hidden=2)
    readout = [p for p in classifier.model.parameters() if len(p) == 64 * 256]
    readout[0].data.zero_()
    nearness = 255 - np.abs(np.arange(256) - 100.0)
    readout[1].data.copy_(readout[1].data.new_tensor(np.tile(nearness, 64)))
    return classifier


@promises(
    "moves all pixels to the most probable value within eps, by the activations of a spiking "
    "network; after `defence.eps = np.int64(eps)`",
    "PixelDefend",
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
def test_pixels_move_to_the_most_probable_value(trained_layers: Any, known: Any) -> None:
    defence = PixelDefend(eps=16, pixel_cnn=pixel_cnn())
    defence.eps = np.int64(16)
    x, y = known[0][:2], known[1][:2]
    levels = (x * 255).astype("uint8").astype(int)
    expected = np.clip(100, levels - 16, levels + 16) / 255
    np.testing.assert_allclose(defence(x)[0], expected, atol=1e-6)
    classifier, plain = (
        counting(trained_layers, preprocessing_defences=defence),
        build(trained_layers),
    )
    moved = defence(x)[0]
    np.testing.assert_allclose(classifier.predict(x), plain.predict(moved), atol=1e-5)
    np.testing.assert_allclose(
        classifier.loss_gradient(x, y), plain.loss_gradient(moved, y), atol=1e-6
    )
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises(
    "subtracts eps from unsigned bytes, which overflow in numpy 2 (`pixel_defend.py`, line 116): "
    "set `defence.eps = np.int64(eps)`",
    "PixelDefend",
    uses=PREDICT,
    error=True,
)
@pytest.mark.skipif(int(np.__version__.partition(".")[0]) < 2, reason="numpy 1 has no overflow")
def test_the_radius_of_dark_pixels_overflows(known: Any) -> None:
    defence = PixelDefend(eps=16, pixel_cnn=pixel_cnn())
    with pytest.raises(RuntimeWarning, match="overflow encountered"):
        defence(known[0][:1])


COLOURS = Form(
    (STEPS, 8, 8, 3),
    lambda x: np.ascontiguousarray(FORMS["video"].present(x).repeat(3, axis=-1)),
    lambda x: Frames(STEPS)(x.mean(4)[:, :, None]),
    channels_first=False,
)
NO_FFMPEG = not (importlib.util.find_spec("ffmpeg") and shutil.which("ffmpeg"))
NEEDS = "needs the package `ffmpeg-python` and the program `ffmpeg`, without which its error is "


@promises(
    "frames of three channels come back nearly as they were, and the classifier predicts on "
    f"them; {NEEDS}asserted; `VideoCompression` scales the array itself: give it a copy",
    "VideoCompression",
    "VideoCompressionPyTorch",
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [VideoCompression, VideoCompressionPyTorch])
def test_video_compression_returns_nearly_the_same_frames(
    kind: Any, trained_layers: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMS, "colours", COLOURS)
    x, y = COLOURS.present(known[0][:2]), known[1][:2]
    defence = kind(video_format="avi", constant_rate_factor=10)
    classifier = counting(trained_layers, "colours", preprocessing_defences=defence)
    if NO_FFMPEG:
        with pytest.raises((ImportError, FileNotFoundError), match="ffmpeg"):
            classifier.predict(x.copy())
        return
    compressed, _ = defence(x.copy())
    assert 0 < np.abs(compressed - x).max() < 0.1
    plain = build(trained_layers, "colours")
    np.testing.assert_allclose(classifier.predict(x.copy()), plain.predict(compressed), atol=1e-4)
    gradient = classifier.loss_gradient(x.copy(), y)
    np.testing.assert_allclose(gradient, plain.loss_gradient(compressed, y), atol=1e-5)
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises(
    f"{NEEDS}asserted; reads three channels, and no event frames of one or two "
    "(`video_compression.py`, line 117): repeat a channel",
    "VideoCompression",
    "VideoCompressionPyTorch",
    uses=PREDICT,
    error=True,
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [VideoCompression, VideoCompressionPyTorch])
def test_video_compression_refuses_one_channel(kind: Any, trained_layers: Any, known: Any) -> None:
    defence = kind(video_format="avi")
    classifier = build(trained_layers, "video", preprocessing_defences=defence)
    errors = (ImportError, FileNotFoundError) if NO_FFMPEG else ValueError
    with pytest.raises(errors, match="ffmpeg" if NO_FFMPEG else "cannot reshape array"):
        classifier.predict(FORMS["video"].present(known[0][:1]).copy())
