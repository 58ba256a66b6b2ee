"""certify_bounds: what it returns and refuses, and that it leaves everything as it was."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from art_snn.interop import adapt
from tests import adapted
from tests.architectures import Switch
from tests.bounds.random_networks import CLASSES, around
from tests.bounds.test_soundness import Called
from tests.conftest import varied
from tests.networks import Probabilities
from tests.small import untouched


def classifier(*between: nn.Module, encoder=None, dtype=torch.float32, **options):
    """Two linear layers around one of neurons, and modules after the first."""
    torch.manual_seed(varied(5))
    layers = [Timed(nn.Linear(6, 12), *between), LIF(), Timed(nn.Linear(12, CLASSES))]
    return around(SpikingNetwork(layers, encoder or Direct(3)).eval().to(dtype), (6,), **options)


X = np.random.default_rng(varied()).random((7, 6), dtype=np.float32)
Y = classifier().predict(X).argmax(1)


def certify(wrapped, x=X, y=Y, **options):
    return certify_bounds(wrapped, x, y, 0.02, **options).margin


def test_a_certificate_says_which_samples_and_how_many_it_holds_for():
    y = np.append(Y[:-1], (Y[-1] + 1) % CLASSES)
    result = certify_bounds(classifier(), X, y, 1e-4)
    assert result.certified.any()
    assert not result.certified[-1]
    share = result.certified_accuracy
    assert (share.count, share.total) == (int(result.certified.sum()), 7)
    assert str(result) == f"certified accuracy {share} by counts"


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_no_samples_have_no_certificates(norm):
    result = certify_bounds(classifier(), X[:0], Y[:0], 0.1, norm)
    assert result.margin.shape == result.certified.shape == (0,)


def test_labels_may_be_scores_and_samples_tensors():
    wrapped = classifier()
    scores = certify(wrapped, torch.tensor(X), np.eye(CLASSES)[Y])
    assert np.array_equal(scores, certify(wrapped))


@pytest.mark.parametrize("size", [1, 3])
def test_certificates_are_the_same_alone_and_in_a_batch(size):
    assert np.allclose(certify(classifier(), batch_size=size), certify(classifier()), atol=1e-4)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(12), nn.Dropout(0.9)], ids=str)
def test_layers_in_training_mode_are_bounded_as_they_predict(layer):
    wrapped = classifier(layer)
    expected = certify(wrapped)
    wrapped.model.train()
    assert np.array_equal(certify(wrapped), expected)
    assert wrapped.model.training


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_network_random_state_and_gradients_are_left_as_they_were(error):
    def fail(x):
        raise error("injected by the test")

    wrapped, switch = classifier(nn.BatchNorm1d(12)), Switch(None if error is None else fail)
    network = wrapped.model
    network.layers.insert(2, switch)
    next(network.parameters()).requires_grad_(False)
    values = {name: value.clone() for name, value in network.state_dict().items()}
    with untouched(wrapped):
        if error is None:
            certify(wrapped)
        else:
            with pytest.raises(error, match="injected by the test"):
                certify(wrapped)
    assert all(torch.equal(values[name], value) for name, value in network.state_dict().items())
    assert [p.requires_grad for p in network.parameters()].count(False) == 1
    assert all(p.grad is None for p in network.parameters())
    assert torch.is_grad_enabled()
    # No pass of boxes goes on.
    assert torch.sigmoid(torch.zeros(1)).item() == 0.5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_certificates_are_the_same_in_every_gradient_mode(mode):
    wrapped = classifier()
    expected = certify(wrapped)
    with mode():
        assert np.array_equal(certify(wrapped), expected)


def test_default_dtype_and_default_device_change_nothing():
    wrapped = classifier()
    expected = certify(wrapped)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        changed = certify(wrapped)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(changed, expected)


def test_threads_certify_at_once():
    wrapped, results = classifier(), []
    expected = {method: certify(wrapped, method=method) for method in ("counts", "s-ibp")}

    def work(method):
        results.append((method, certify(wrapped, method=method)))

    threads = [threading.Thread(target=work, args=(m,)) for m in list(expected) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(np.array_equal(margin, expected[method]) for method, margin in results)


SETTINGS = {
    "norm: expected numpy.inf or 2, got 0. Attacks also run in norm 0 and 'shift'; certificates do "
    "not": {"norm": 0},
    "norm: expected numpy.inf or 2, got 'shift'": {"norm": "shift"},
    "norm: expected numpy.inf or 2, got 1": {"norm": 1},
    "eps: expected a number above 0, got 0": {"eps": 0},
    "eps: expected a finite number|eps: expected a number": {"eps": np.nan},
    "method: expected .*counts.*s-ibp.*, got 'crown'. counts is never looser": {"method": "crown"},
    "batch_size: expected a whole number": {"batch_size": 0},
    "x: expected values within clip_values": {"x": X + 1},
    r"x: expected shape \(N, 6\)": {"x": X[:, :5]},
    "y: expected 7 labels": {"y": Y[:2]},
    "y: expected class indices from 0 to 3": {"y": Y + 4},
}


@pytest.mark.parametrize("message", SETTINGS)
def test_bad_settings_and_samples_are_refused(message):
    with pytest.raises(ValueError, match=f"^({message})"):
        certify_bounds(classifier(), **{"x": X, "y": Y, "eps": 0.1} | SETTINGS[message])


def test_samples_of_other_types_are_refused():
    with pytest.raises(TypeError, match="x: expected a numpy array or torch tensor"):
        certify(classifier(), X.tolist())


class Smaller(torch.autograd.Function):
    """The identity, with a tenth of the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 0.1 * grad


class Itself(Smaller):
    @staticmethod
    def forward(ctx, x):
        return x


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x + super().forward(x)


def call(function, weights=None) -> Called:
    return Called(function, torch.ones(1) if weights is None else weights)


def trace() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Linear(12, 12), torch.rand(3, 12))


def overflow():
    wrapped = classifier()
    wrapped.model.layers[0].module[0].weight.data.fill_(1e38)
    return wrapped


def loop(model: type[nn.Module]):
    return around(adapt(model(6, CLASSES), encoder=None, gradient="native"), (6,))


BETWEEN = {
    r"\(Called\), with sigmoid": lambda: call(lambda x, w: x * torch.sigmoid(x)),
    r"\(LayerNorm\), with layer_norm": lambda: nn.LayerNorm(12),
    r"\(ReLU\), with relu in place": lambda: nn.ReLU(inplace=True),
    r"\(Called\), with clone": lambda: call(lambda x, w: Smaller.apply(x)),
    r"\(Called\), with view_as": lambda: call(lambda x, w: Itself.apply(x)),
    r"\(Detached\), with linear without a graph": lambda: Detached(12, 12),
    r"\(Called\), with randn, which draws at random": lambda: call(
        lambda x, w: x + w * torch.randn(x.shape)
    ),
    r"\(Called\), with normal_, which draws at random": lambda: call(
        lambda x, w: x + w * torch.zeros(x.shape).normal_()
    ),
}
CLASSIFIERS = {
    r"layers\.0\.module\.1 " + words: lambda make=make: classifier(make())
    for words, make in BETWEEN.items()
} | {
    r".*\.w \(Linear\), with .* in a transform of torch.func": lambda: classifier(
        call(lambda x, w: x - torch.func.vmap(w)(x), nn.Linear(12, 12))
    ),
    r"layers\.1 \(LIF\), with currents that overflow": overflow,
}
FEATURES = {
    r"layers whose operations .* got layers\.0\.module\.1\.w, compiled by torch.jit": lambda: (
        classifier(call(lambda x, w: x + w(x), trace()))
    ),
    "an encoder that draws nothing, got Poisson.*metrics.certify is": lambda: classifier(
        encoder=Poisson(3)
    ),
    "a classifier without preprocessing, got one with it.*Put it into the network": lambda: (
        classifier(preprocessing=(0.5, 2.0))
    ),
    "a classifier without postprocessing, got one with it": lambda: classifier(
        postprocessing_defences=Probabilities()
    ),
    "a classifier of a spiking network, got str": lambda: "no classifier",
    "a network whose neurons take all time steps in one call, got": lambda: loop(adapted.Loop),
    "a network whose neurons take all .* the model makes its": lambda: loop(adapted.Inline),
    "a network in single or double precision, got torch.bfloat16. Use network": lambda: classifier(
        dtype=torch.bfloat16
    ),
}
REFUSED = {
    "a network of layers whose outputs can be bounded, got " + words + ".*docs/bounds.md": make
    for words, make in CLASSIFIERS.items()
} | FEATURES


@pytest.mark.parametrize("message", REFUSED)
def test_networks_without_bounds_are_refused_and_the_layer_is_named(message):
    with pytest.raises(ValueError, match=f"^classifier: expected {message}"):
        certify_bounds(REFUSED[message](), np.ones((2, 6), np.float32), np.zeros(2), 0.1)


def test_autocast_is_refused():
    message = "classifier: expected a call outside of torch.autocast, got one within it"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=message):
        certify(classifier())
