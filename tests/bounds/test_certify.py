"""certify_bounds: what it returns and refuses, and that it leaves everything as it was."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Ablation, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import METHODS, Bounding, certify_bounds
from art_snn.interop import adapt
from tests.architectures import Switch
from tests.bounds.random_networks import CLASSES, around
from tests.bounds.test_soundness import Called
from tests.classifiers import Probabilities, untouched
from tests.conftest import varied
from tests.interop import adapted


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
    assert str(result) == f"certified accuracy {share} by trains"


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


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, torch.enable_grad, lambda: torch.device("meta")]
)
def test_certificates_are_the_same_under_every_mode_and_default_of_torch(mode):
    wrapped = classifier()
    expected = certify(wrapped)
    with mode():
        assert np.array_equal(certify(wrapped), expected)


def test_threads_certify_at_once():
    wrapped, methods = classifier(), ["counts", "s-ibp"]
    expected = [certify(wrapped, method=method) for method in methods]
    with ThreadPoolExecutor(6) as pool:
        margins = list(pool.map(lambda method: certify(wrapped, method=method), methods * 3))
    assert all(map(np.array_equal, margins, expected * 3))


SETTINGS = {
    "norm: expected numpy.inf or 2, got 0": {"norm": 0},
    "norm: expected numpy.inf or 2, got 'shift'": {"norm": "shift"},
    "norm: expected numpy.inf or 2, got 1": {"norm": 1},
    "eps: expected a number above 0 .*, got 0": {"eps": 0},
    "eps: expected a finite number|eps: expected a number": {"eps": np.nan},
    "method: expected .*counts.*s-ibp.*, got 'crown'. counts is never looser": {"method": "crown"},
    "method: expected 'counts' or 's-ibp' in norm 2, got trains": {"method": "trains", "norm": 2},
    "batch_size: expected a whole number": {"batch_size": 0},
    "x: expected values within clip_values": {"x": X + 1},
    r"x: expected shape \(N, 6\)": {"x": X[:, :5]},
    "y: expected 7 labels": {"y": Y[:2]},
    "y: expected class indices from 0 to 3": {"y": Y + 4},
    "x: expected a numpy array or torch tensor": {"x": X.tolist()},
}


@pytest.mark.parametrize("message", SETTINGS)
def test_bad_settings_and_samples_are_refused(message):
    error = TypeError if "array" in message else ValueError
    with pytest.raises(error, match=f"^({message})"):
        certify_bounds(classifier(), **{"x": X, "y": Y, "eps": 0.1} | SETTINGS[message])


class Smaller(torch.autograd.Function):
    """The identity, with a tenth of the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 0.1 * grad


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x + super().forward(x)


def call(function, weights=None) -> Called:
    return Called(function, torch.ones(1) if weights is None else weights)


LAYERS = {
    r"\(Called\), with sigmoid": lambda: call(lambda x, w: x * torch.sigmoid(x)),
    r"\(LayerNorm\), with layer_norm": lambda: nn.LayerNorm(12),
    r"\(ReLU\), with relu in place": lambda: nn.ReLU(inplace=True),
    r"\(Called\), with clone": lambda: call(lambda x, w: Smaller.apply(x)),
    r"\(Detached\), with linear without a graph": lambda: Detached(12, 12),
    r"\(Called\), with randn, which draws": lambda: call(lambda x, w: x + torch.randn(x.shape)),
    r"\(Called\), with mul where boxes are not followed": lambda: call(
        lambda x, w: x - torch.func.vmap(lambda one: 2 * one)(x)
    ),
}


@pytest.mark.parametrize("message", LAYERS)
def test_layers_without_bounds_are_refused_by_name(message):
    expected = "classifier: expected a network of layers whose outputs can be bounded, got layers"
    match = rf"^{expected}\.0\.module\.1 {message}.*docs/bounds\.md lists the layers"
    with pytest.raises(ValueError, match=match):
        certify(classifier(LAYERS[message]()))


class Repeated(nn.Module):
    """Makes its time steps itself, for neurons that are known and take all in one call."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.body = adapted.model(shape=(inputs,), classes=classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.expand(adapted.STEPS, *x.shape)).mean(0)


def loop(model: type[nn.Module], **options):
    return around(adapt(model(6, CLASSES), encoder=None, **options), (6,))


def compiled():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return classifier(call(lambda x, w: x + w(x), torch.jit.trace(nn.ReLU(), torch.rand(3))))


def overflowing():
    wrapped = classifier()
    wrapped.model.layers[0].module[0].weight.data.fill_(1e38)
    return wrapped


NETWORKS = {
    r".* layers\.1 \(LIF\), with currents that overflow": overflowing,
    r".* layers\.0\.module\.1\.w \(Top.*\), with The following .* TorchScript": compiled,
    "a classifier of a spiking network, got str": lambda: "no classifier",
    "a network whose neurons take all time steps in one call, got": lambda: loop(adapted.Loop),
    "a network whose neurons take all .* the model makes its": lambda: loop(Repeated),
    ".* nobody knows the equations of its .* register_neuron": lambda: loop(adapted.Inline),
    ".* the equations of lif are not used": lambda: loop(adapted.Loop, equations=False),
}
OPTIONS = {
    "an encoder that draws nothing, got Poisson": {"encoder": Poisson(3)},
    "a classifier without preprocessing, got one with it": {"preprocessing": (0.5, 2.0)},
    "a classifier without postprocessing": {"postprocessing_defences": Probabilities()},
    "a network in single or double precision, got torch.bfl": {"dtype": torch.bfloat16},
}
NETWORKS |= {words: partial(classifier, **options) for words, options in OPTIONS.items()}


@pytest.mark.parametrize("message", NETWORKS)
def test_networks_without_bounds_are_refused(message):
    with pytest.raises(ValueError, match=f"^classifier: expected {message}"):
        certify(NETWORKS[message](), np.ones((2, 6), np.float32), np.zeros(2))


@pytest.mark.parametrize("encoder", [Ablation(3), Poisson(3)], ids=str)
def test_passes_of_boxes_refuse_an_encoder_that_draws_too(encoder):
    network = SpikingNetwork([Timed(nn.Linear(6, CLASSES)), LIF()], encoder)
    match = rf"^classifier: expected an encoder that draws nothing, got {type(encoder).__name__}"
    with pytest.raises(ValueError, match=match):
        Bounding(network, METHODS["counts"](), 0.1)


def test_autocast_is_refused():
    message = "classifier: expected a call outside of torch.autocast, got one within it"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=message):
        certify(classifier())
