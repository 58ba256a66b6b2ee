"""ART's intervals and zonotopes: equal to our bounds where there are no neurons, and none with."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from art.estimators.certification import (
    PytorchDeepZ,
    PyTorchIBPClassifier,
    PyTorchIntervalBounds,
    PyTorchIntervalConv2D,
    PyTorchIntervalDense,
    PyTorchIntervalFlatten,
    PyTorchIntervalReLU,
    ZonoBounds,
    ZonoConv,
    ZonoDenseLayer,
    ZonoReLU,
)
from torch import Tensor, nn

from art_snn.bounds.bounding import enclose_samples
from art_snn.bounds.operations import Propagation
from tests.networks import CLASSES
from tests.toolbox.promises import MODEL, NOTHING, promises

EPS = 0.05
# Our intervals are wider, by the rounding that they add at every layer.
CLOSE = {"rtol": 2e-3, "atol": 2e-3}


@pytest.fixture
def modules(trained_layers: Any) -> nn.Sequential:
    """The trained convolution, and a dense layer behind a ReLU in the place of neurons."""
    convolution = copy.deepcopy(trained_layers[0].module[0])
    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(12 * 64, CLASSES))


@pytest.fixture
def x(known: Any) -> np.ndarray:
    return known[0][:3].copy()


@torch.no_grad()
def our_bounds(modules: nn.Module, x: np.ndarray) -> tuple[Tensor, Tensor]:
    """Both ends, without the rounding of the last layer."""
    with Propagation():
        box = modules(enclose_samples(torch.tensor(x), EPS, np.inf, (0.0, 1.0)))
    return box.centre - box.enclosure.radius, box.centre + box.enclosure.radius


def interval_convolution(given: nn.Conv2d) -> PyTorchIntervalConv2D:
    shape = {"in_channels": 1, "out_channels": 12, "kernel_size": 3, "padding": 1, "dilation": 1}
    weights = {"supplied_input_weights": given.weight.data, "supplied_input_bias": given.bias.data}
    return PyTorchIntervalConv2D(**shape, **weights, input_shape=(1, 1, 8, 8), device="cpu")


def with_weights(layer: Any, given: nn.Linear) -> Any:
    layer.weight.data, layer.bias.data = given.weight.data, given.bias.data
    return layer


def box_as_zonotope(sample: np.ndarray) -> Tensor:
    """The sample's box within [0, 1], with one error term per pixel: [1 + pixels, *shape]."""
    low, high = (torch.tensor(sample + sign * EPS).clamp(0, 1) for sign in (-1, 1))
    errors = torch.diag((high - low).flatten() / 2).view(-1, *sample.shape)
    return torch.cat([(low + high)[None] / 2, errors])


NO_NEURONS = "; it knows no neurons: `certify_bounds` is for spikes"


@promises(
    "bounds the currents of a spiking network's convolution, and what ReLU, flattening and a dense "
    "layer make of them, as our bounds do, up to rounding" + NO_NEURONS,
    "PyTorchIntervalConv2D",
    "PyTorchIntervalReLU",
    "PyTorchIntervalFlatten",
    "PyTorchIntervalDense",
    uses=MODEL,
)
@torch.no_grad()
def test_intervals_of_every_layer_are_those_of_our_bounds(modules, x):
    interval = torch.tensor(PyTorchIntervalBounds.concrete_to_interval(x, EPS, [0.0, 1.0]))
    layers = [interval_convolution(modules[0]), PyTorchIntervalReLU(), PyTorchIntervalFlatten()]
    layers.append(with_weights(PyTorchIntervalDense(12 * 64, CLASSES), modules[3]))
    for depth, layer in enumerate(layers):
        interval = layer.forward(interval)
        low, high = our_bounds(modules[: depth + 1], x)
        torch.testing.assert_close(interval[:, 0], low, **CLOSE)
        torch.testing.assert_close(interval[:, 1], high, **CLOSE)


@promises(
    "certifies the label whose lower bound exceeds the upper bounds of all others",
    "PyTorchIntervalBounds",
    uses=MODEL,
)
def test_a_label_is_certified_where_its_lower_bound_exceeds_all_others(modules, x):
    low, high = our_bounds(modules, x)
    best = low.argmax(1).numpy()
    intervals = np.stack([low, high], axis=1)
    # One of them cannot be moved by anything, one has a rival, one a label that is never first.
    intervals[0] = np.eye(CLASSES)[best[0]]
    intervals[1, 1, (best[1] + 1) % CLASSES] = intervals[1].max() + 1
    labels = np.array([best[0], best[1], int(high[2].argmin())])
    assert PyTorchIntervalBounds.certify(intervals, labels).tolist() == [True, False, False]


@promises(
    "bounds the currents of a spiking network's convolution as our bounds do, and encloses the "
    "outputs of drawn samples behind a ReLU and a dense layer" + NO_NEURONS,
    "ZonoConv",
    "ZonoReLU",
    "ZonoDenseLayer",
    "ZonoBounds",
    uses=MODEL,
)
@torch.no_grad()
def test_zonotopes_enclose_the_outputs_of_drawn_samples(modules, x):
    bounds, zonotope = ZonoBounds(), box_as_zonotope(x[0])
    convolution = ZonoConv(1, 12, 3, stride=1, padding=1)
    convolution.conv.weight.data = modules[0].weight.data
    convolution.bias.data = modules[0].bias.data
    zonotope = convolution(zonotope)
    low, high = our_bounds(modules[0], x[:1])
    ends = (
        bounds.compute_lb(zonotope[0], zonotope[1:]),
        bounds.compute_ub(zonotope[0], zonotope[1:]),
    )
    torch.testing.assert_close(ends, (low[0], high[0]), **CLOSE)
    zonotope = ZonoReLU()(zonotope).flatten(1)
    zonotope = with_weights(ZonoDenseLayer(12 * 64, CLASSES), modules[3])(zonotope)
    highest, lowest = bounds.zonotope_get_bounds(zonotope[0], zonotope[1:])
    signs = np.random.default_rng(0).choice([-EPS, 0, EPS], (200, *x[0].shape))
    outputs = modules(torch.tensor((x[0] + signs).clip(0, 1), dtype=torch.float32))
    assert (outputs >= torch.stack(lowest) - 1e-4).all()
    assert (outputs <= torch.stack(highest) + 1e-4).all()


@promises(
    "since numpy 2.4 `pre_process` fails in `adjust_to_within_bounds`, which puts arrays of one "
    "value into single elements: build centre and error terms by hand",
    "ZonoBounds",
    uses=NOTHING,
    error=True,
)
@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
def test_zonotopes_are_not_cut_to_the_range_of_images_under_a_new_numpy(x):
    fails = np.lib.NumpyVersion(np.__version__) >= "2.4.0"
    with pytest.raises(ValueError, match="setting an array") if fails else nullcontext():
        ZonoBounds().pre_process(cent=x[0], eps=np.eye(64) * EPS)


@promises(
    "it converts convolutions, dense layers and ReLU, and knows neither neurons nor "
    "time steps; `certify_bounds` is for spikes",
    "PytorchDeepZ",
    "PyTorchIBPClassifier",
    uses=MODEL,
    error=True,
)
@pytest.mark.filterwarnings("ignore:(?s).*This estimator does not support:UserWarning")
@pytest.mark.parametrize("kind", [PytorchDeepZ, PyTorchIBPClassifier])
def test_certifiers_of_relu_networks_refuse_spiking_ones(classifier, kind):
    with pytest.raises(ValueError, match="Supported Operations are Conv2D, Linear, and RelU"):
        kind(classifier.model, classifier.loss, (1, 8, 8), CLASSES, device_type="cpu")
