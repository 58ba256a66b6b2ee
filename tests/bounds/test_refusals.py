"""What certify_bounds refuses, and how it says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import (
    LIF,
    Direct,
    Frames,
    Poisson,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
)
from art_snn.bounds import certify_bounds
from art_snn.interop import adapt
from tests import adapted
from tests.bounds.drawn import CLASSES, around
from tests.networks import Probabilities

X = np.linspace(0, 1, 18, dtype=np.float32).reshape(3, 6)
Y = np.array([0, 1, 2])


def layers(*between: nn.Module) -> list[nn.Module]:
    return [Timed(nn.Linear(6, 12), *between), LIF(), Timed(nn.Linear(12, CLASSES))]


def classifier(*between: nn.Module, encoder=None, **options) -> PyTorchSpikingClassifier:
    network = SpikingNetwork(layers(*between), encoder or Direct(3))
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        (6,),
        CLASSES,
        device_type="cpu",
        **{"clip_values": (0, 1)} | options,
    )


class Own(nn.Module):
    """A layer of a user's, with a function that has no bounds."""

    def forward(self, x):
        return x * torch.sigmoid(x)


LAYERS = {
    r"layers.0.module.1 \(Own\), with sigmoid": Own,
    r"layers.0.module.1 \(Softmax\), with softmax": lambda: nn.Softmax(-1),
    r"layers.0.module.1 \(LayerNorm\), with layer_norm": lambda: nn.LayerNorm(12),
    r"layers.0.module.1 \(GELU\), with gelu": nn.GELU,
    r"layers.0.module.1 \(LeakyReLU\), with leaky_relu": nn.LeakyReLU,
    r"layers.0.module.1 \(ReLU\), with relu in place": lambda: nn.ReLU(inplace=True),
}


@pytest.mark.parametrize("message", LAYERS)
def test_layers_without_bounds_are_named(message):
    expected = r"^classifier: expected a network of layers whose outputs can be bounded, got "
    remedy = r".*docs/bounds.md lists the layers that have bounds; attacks need none\.$"
    with pytest.raises(ValueError, match=expected + message + remedy):
        certify_bounds(classifier(LAYERS[message]()), X, Y, 0.1)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(12), nn.Dropout(0.9)], ids=str)
def test_layers_in_training_mode_are_bounded_as_they_predict(layer):
    wrapped = classifier(layer)
    wrapped.model.eval()
    expected = certify_bounds(wrapped, X, Y, 0.01).margin
    wrapped.model.train()
    assert np.array_equal(certify_bounds(wrapped, X, Y, 0.01).margin, expected)


MODELS = {"loop": lambda: adapted.Loop(6, CLASSES), "inline": lambda: adapted.Inline(6, CLASSES)}


def own_time(name: str) -> PyTorchSpikingClassifier:
    return around(adapt(MODELS[name](), encoder=None, gradient="native"), (6,))


NETWORKS = {
    r"an encoder that draws nothing, got Poisson.*metrics.certify is": lambda: classifier(
        encoder=Poisson(3)
    ),
    "a classifier without preprocessing, got one with it.*Put it into the network": lambda: (
        classifier(preprocessing=(0.5, 2.0))
    ),
    "a classifier without postprocessing, got one with it": lambda: classifier(
        postprocessing_defences=Probabilities()
    ),
    "a classifier of a spiking network, got str": lambda: "no classifier",
    "a network whose neurons take all time steps in one call, got": lambda: own_time("loop"),
    "a network whose neurons take all .* the model makes its": lambda: own_time("inline"),
}


@pytest.mark.parametrize("message", NETWORKS)
def test_networks_without_bounds_are_refused(message):
    with pytest.raises(ValueError, match=f"^classifier: expected {message}"):
        certify_bounds(NETWORKS[message](), X, Y, 0.1)


def test_half_precision_and_autocast_are_refused():
    wrapped = classifier()
    message = "classifier: expected a call outside of torch.autocast, got one within it"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=message):
        certify_bounds(wrapped, X, Y, 0.1)
    wrapped.model.bfloat16()
    message = "expected a network in single or double precision, got torch.bfloat16. Use network"
    with pytest.raises(ValueError, match=message):
        certify_bounds(wrapped, X, Y, 0.1)


SETTINGS = {
    "norm: expected numpy.inf, 2 or 0, got 'shift'. Shifts of spikes have no bounds": {
        "norm": "shift"
    },
    "norm: expected numpy.inf, 2, 0 or 'shift', got 1": {"norm": 1},
    "eps: expected a number above 0, got 0": {"eps": 0},
    "eps: expected a finite number|eps: expected a number": {"eps": np.nan},
    "eps: expected a whole number": {"eps": 0.5, "norm": 0},
    "method: expected .*counts.*s-ibp.*, got 'crown'. counts is never looser": {"method": "crown"},
    "batch_size: expected a whole number": {"batch_size": 0},
    "x: expected values within clip_values": {"x": X + 0.1},
    r"x: expected shape \(N, 6\)": {"x": X[:, :5]},
    "x: expected values 0 and 1 alone in norm 0, got others": {"norm": 0, "eps": 1},
    "y: expected 3 labels": {"y": Y[:2]},
    "y: expected class indices from 0 to 3": {"y": Y + 2},
}


@pytest.mark.parametrize("message", SETTINGS)
def test_bad_settings_and_samples_are_refused(message):
    with pytest.raises(ValueError, match=f"^({message})"):
        certify_bounds(classifier(), **{"x": X, "y": Y, "eps": 0.1} | SETTINGS[message])


def test_flips_need_clip_values():
    message = "^classifier: expected a classifier with clip_values, got one without"
    with pytest.raises(ValueError, match=message):
        certify_bounds(classifier(clip_values=None), X.round(), Y, 1, 0)


def test_flips_before_other_layers_than_plain_ones_are_refused():
    network = SpikingNetwork(
        [Timed(nn.Conv1d(2, 3, 3)), LIF(), Timed(nn.Flatten(), nn.Linear(3, 4))]
    )
    network.encoder = Frames(2)
    message = "flips in front of a layer that is no plain linear layer or convolution"
    with pytest.raises(ValueError, match=message):
        certify_bounds(around(network, (2, 2, 3)), np.zeros((1, 2, 2, 3)), Y[:1], 1, 0)


def test_samples_of_other_types_are_refused():
    with pytest.raises(TypeError, match="x: expected a numpy array or torch tensor"):
        certify_bounds(classifier(), X.tolist(), Y, 0.1)


def test_no_samples_have_no_certificates():
    for norm, eps in ((np.inf, 0.1), (2, 0.1), (0, 1)):
        result = certify_bounds(classifier(), X[:0], Y[:0], eps, norm)
        assert result.margin.shape == (0,)
        assert not len(result.certified)
