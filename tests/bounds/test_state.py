"""Bounds leave everything as it was, wherever and by whomever they are asked for."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from tests.architectures import Switch
from tests.bounds.drawn import CLASSES, around
from tests.conftest import varied
from tests.small import untouched


@pytest.fixture
def switch():
    return Switch()


@pytest.fixture
def classifier(switch):
    torch.manual_seed(varied(5))
    norm = nn.BatchNorm1d(12)
    layers = [Timed(nn.Linear(6, 12), norm), LIF(), switch, Timed(nn.Linear(12, CLASSES))]
    network = SpikingNetwork(layers, Direct(3))
    network(torch.rand(20, 6))  # Statistics of the batch norm.
    network.eval()
    return around(network, (6,))


@pytest.fixture
def samples(classifier):
    x = np.random.default_rng(varied()).random((7, 6), dtype=np.float32)
    return x, classifier.predict(x).argmax(1)


def certified(classifier, samples, **options):
    return certify_bounds(classifier, *samples, 0.02, **options).margin


def whole_state(network):
    modules = [
        (m.training, list(m._forward_hooks), list(m._backward_hooks)) for m in network.modules()
    ]
    values = {name: value.clone() for name, value in network.state_dict().items()}
    graphs = [(p.requires_grad, p.grad) for p in network.parameters()]
    return modules, values, graphs


def same(one, other):
    assert one[0] == other[0]
    assert one[2] == other[2]
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_network_random_state_and_gradients_are_left_as_they_were(
    classifier, samples, switch, error
):
    network = classifier.model
    for module in list(network.modules())[::2]:
        module.training = True
    next(network.parameters()).requires_grad_(False)
    network.layers[3].register_forward_hook(lambda *call: None)
    before = whole_state(network)

    def fail(x):
        raise error("injected by the test")

    switch.action = None if error is None else fail
    state, numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    if error is None:
        certified(classifier, samples)
    else:
        with pytest.raises(error, match="injected by the test"):
            certified(classifier, samples)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(np.array_equal, numpy, np.random.get_state()))  # noqa: NPY002
    same(before, whole_state(network))
    assert torch.is_grad_enabled()
    # No pass of boxes is left behind.
    assert torch.sigmoid(torch.zeros(1)).item() == 0.5


def test_certificates_leave_a_network_in_evaluation_mode_untouched(classifier, samples):
    with untouched(classifier):
        certified(classifier, samples)


@pytest.mark.parametrize("around_it", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_certificates_are_the_same_in_every_gradient_mode(classifier, samples, around_it):
    expected = certified(classifier, samples)
    with around_it():
        assert np.array_equal(certified(classifier, samples), expected)


def test_default_dtype_and_default_device_change_nothing(classifier, samples):
    expected = certified(classifier, samples)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        changed = certified(classifier, samples)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(changed, expected)


def test_certificates_are_the_same_alone_and_in_a_batch(classifier, samples):
    x, y = samples
    together = certify_bounds(classifier, x, y, 0.02, batch_size=32)
    for size in (1, 3):
        parts = certify_bounds(classifier, x, y, 0.02, batch_size=size)
        assert np.allclose(parts.margin, together.margin, atol=1e-4)
        assert np.array_equal(parts.certified, together.certified)
    assert together.certified.any()


def test_labels_may_be_scores_and_samples_tensors(classifier, samples):
    x, y = samples
    expected = certified(classifier, samples)
    assert np.array_equal(certified(classifier, (torch.tensor(x), np.eye(CLASSES)[y])), expected)


def test_threads_certify_at_once(classifier, samples):
    expected, results = certified(classifier, samples), []

    def work(method):
        results.append((method, certified(classifier, samples, method=method)))

    steps = certified(classifier, samples, method="s-ibp")
    threads = [threading.Thread(target=work, args=(m,)) for m in ["counts", "s-ibp"] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for method, margin in results:
        assert np.array_equal(margin, expected if method == "counts" else steps)
    assert not classifier.model.training


def test_a_certificate_says_how_many_samples_it_holds_for(classifier, samples):
    x, y = samples
    result = certify_bounds(classifier, x, np.append(y[:-1], (y[-1] + 1) % CLASSES), 1e-4)
    assert not result.certified[-1]
    share = result.certified_accuracy
    assert (share.count, share.total) == (int(result.certified.sum()), 7)
    assert str(result) == f"certified accuracy {share} by counts"
