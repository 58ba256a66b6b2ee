"""ART's changes of an image's form, in front of a spiking classifier of that form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from art.preprocessing.image import (
    ImageResize,
    ImageResizePyTorch,
    ImageSquarePad,
    ImageSquarePadPyTorch,
)
from art.preprocessing.standardisation_mean_std.numpy import StandardisationMeanStd
from art.preprocessing.standardisation_mean_std.pytorch import StandardisationMeanStdPyTorch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from tests.toolbox.counting import assert_differentiated_by, small
from tests.toolbox.promises import ATTACK_GRADIENT, LOSS_GRADIENT, PREDICT, promises

PREDICTING = {"apply_fit": False, "apply_predict": True}
HALF = PREDICTING | {"height": 4, "width": 4}
MEAN, DEVIATION = np.float32([0.1, 0.2, 0.3]), np.float32([0.5, 0.4, 0.3])


def halved(x: Tensor) -> Tensor:
    return interpolate(x, size=(4, 4), mode="bilinear")


def squared(x: Tensor) -> Tensor:
    return pad(x, [1, 1, 0, 0])


def standardised(x: Tensor) -> Tensor:
    mean, deviation = (torch.as_tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
    return (x - mean) / deviation


CHANGES: dict[str, tuple[Callable[[], Any], tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "ImageResizePyTorch": (lambda: ImageResizePyTorch(**HALF), (3, 8, 8), halved),
    "ImageSquarePadPyTorch": (lambda: ImageSquarePadPyTorch(**PREDICTING), (3, 8, 6), squared),
    "StandardisationMeanStdPyTorch": (
        lambda: StandardisationMeanStdPyTorch(MEAN, DEVIATION, **PREDICTING, device_type="cpu"),
        (3, 8, 8),
        standardised,
    ),
}
"""Changes by torch with the form of the samples, and the same by hand."""


def behind(change: Any, shape: tuple[int, ...], by_hand: Callable[[Tensor], Tensor]) -> Any:
    """A classifier of samples of that shape, whose network gets the changed ones."""
    inner = tuple(by_hand(torch.zeros(1, *shape)).shape[1:])
    options = {"input_shape": shape, "preprocessing": None, "preprocessing_defences": change}
    return small(inner, 10, **options)


def images(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    return draws.random((4, *shape), dtype=np.float32), draws.integers(0, 10, 4)


@promises(
    "the network gets what the formula gives, and the gradient is that of both together",
    *CHANGES,
    uses=f"{PREDICT}, {LOSS_GRADIENT}",
    rule=ATTACK_GRADIENT,
)
@pytest.mark.parametrize("name", CHANGES)
def test_the_network_gets_the_changed_image(name: str) -> None:
    make, shape, by_hand = CHANGES[name]
    classifier, (x, y) = behind(make(), shape, by_hand), images(shape)
    leaf = torch.as_tensor(x).requires_grad_()
    changed = by_hand(leaf)
    with torch.no_grad():
        logits = classifier.model(changed.detach())
    np.testing.assert_allclose(classifier.predict(x), logits, atol=1e-5)
    loss = torch.nn.functional.cross_entropy(classifier.model(changed), torch.as_tensor(y))
    expected = torch.autograd.grad(loss, leaf)[0] * len(x)
    gradient = classifier.loss_gradient(x, y)
    ratio = np.linalg.norm(expected) / np.linalg.norm(gradient)
    np.testing.assert_allclose(gradient * ratio, expected, atol=1e-5)
    assert_differentiated_by(ATTACK_GRADIENT, classifier)


@promises("is what the formula gives, on numpy arrays", "StandardisationMeanStd", uses=PREDICT)
def test_an_array_is_standardised() -> None:
    change = StandardisationMeanStd(MEAN[:, None, None], DEVIATION[:, None, None], **PREDICTING)
    x, _ = images((3, 8, 8))
    expected = standardised(torch.as_tensor(x))
    np.testing.assert_allclose(change(x)[0], expected, atol=1e-6)


@promises(
    "has the asked size; padding leaves the image in the middle; their gradient is that of no "
    "change, of another shape: take the version for PyTorch for attacks",
    "ImageResize",
    "ImageSquarePad",
    uses=PREDICT,
)
def test_an_array_has_the_asked_size() -> None:
    x, _ = images((3, 8, 6))
    assert ImageResize(channels_first=True, **HALF)(x)[0].shape == (4, 3, 4, 4)
    padded = ImageSquarePad(channels_first=True, **PREDICTING)(x)[0]
    assert padded.shape == (4, 3, 8, 8)
    np.testing.assert_array_equal(padded[..., 1:7], x)
    np.testing.assert_array_equal(padded[..., [0, 7]], 0)
    ones = np.ones_like(padded)
    assert (
        ImageSquarePad(channels_first=True, **PREDICTING).estimate_gradient(x, ones).shape
        == ones.shape
    )
