"""Samples, labels and network on different devices, and a network on a second card."""

import copy
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.attacks import AutoPGD
from art_snn.findings import examine
from art_snn.training import AdversarialTraining, Recipe, train
from tests.classifiers import DIGITS, build, layers
from tests.elsewhere import TENSORS

X = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
Y = np.array([0, 1, 2, 9])
FORMS = {"indices": Y, "a column": Y[:, None], "one-hot": np.eye(DIGITS, dtype=np.float32)[Y]}
CALLS = {
    "loss_gradient": lambda c, x, y: c.loss_gradient(x, y),
    "compute_loss": lambda c, x, y: c.compute_loss(x, y),
    "class_gradient": lambda c, x, y: c.class_gradient(x, label=y),
}


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", CALLS)
def test_labels_that_numpy_refuses_are_taken(classifier, method, form, kind):
    labels = FORMS["indices" if method == "class_gradient" else form]
    expected, y = CALLS[method](classifier, X, Y), TENSORS[kind](labels)
    for x in (X, torch.tensor(X)):
        result = CALLS[method](classifier, x, y)
        assert isinstance(result, type(x))
        np.testing.assert_array_equal(torch.as_tensor(result).detach().cpu(), expected)


class Cards:
    """Two cards, of which the first is current, as torch.cuda shows them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current, self.moved_to = 0, []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: self.current)
        monkeypatch.setattr(torch.cuda, "device", self.device)
        monkeypatch.setattr(nn.Module, "to", lambda module, place: self.moved_to.append(place))

    @contextmanager
    def device(self, device: torch.device) -> Any:
        before, self.current = self.current, device.index
        yield
        self.current = before


@pytest.mark.parametrize(("home", "current"), [("cuda:0", 0), ("cuda:1", 0), ("cpu", 1)])
def test_a_network_stays_on_its_card_or_goes_to_the_current_one(home, current, monkeypatch):
    network = build(layers()).model
    network.parameters = lambda: iter([SimpleNamespace(device=torch.device(home))])
    cards, card = Cards(monkeypatch), torch.device(home if home != "cpu" else f"cuda:{current}")
    cards.current = current
    classifier = PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), (1, 8, 8), DIGITS)
    if home != "cpu":
        AdversarialTraining().against(network, (1, 8, 8), DIGITS)
    assert classifier.device == card
    assert set(cards.moved_to) == {card}
    assert cards.current == current


gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none"),
]
second = [
    *gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device"),
]


@pytest.mark.parametrize("labels", ["cpu", pytest.param("cuda", marks=gpu)])
@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=gpu)])
@pytest.mark.parametrize("device_type", ["cpu", pytest.param("gpu", marks=gpu)])
def test_results_are_on_the_device_of_the_samples(trained_layers, device_type, place, labels):
    classifier = build(copy.deepcopy(trained_layers), device_type=device_type)
    x, y = torch.tensor(X, device=place), torch.tensor(Y, device=labels)
    results = [
        (classifier.loss_gradient(x, y), classifier.loss_gradient(X, Y)),
        (classifier.loss_gradient(x, y[:, None]), classifier.loss_gradient(X, Y)),
        (classifier.class_gradient(x, label=y), classifier.class_gradient(X, label=Y)),
        (classifier.compute_loss(x, y), classifier.compute_loss(X, Y)),
        (classifier.get_activations(x, 1, framework=True), classifier.get_activations(X, 1)),
    ]
    for found, expected in results:
        assert found.device.type == place
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
    leaf = x.clone().requires_grad_()
    classifier.compute_loss(leaf, y, reduction="mean").backward()
    np.testing.assert_allclose(leaf.grad.cpu(), classifier.loss_gradient(X, Y), atol=1e-6)
    assert examine(classifier, x, y, eps=0.1) == examine(classifier, X, Y, eps=0.1)


@pytest.mark.parametrize("work", ["classifier", "training"])
@pytest.mark.parametrize("card", [pytest.param("cuda:1", marks=second)])
def test_a_network_on_the_second_card_is_attacked_and_trained_there(card, work):
    network = build(layers()).model.to(card)
    if work == "training":
        adversary = AdversarialTraining(attack="pgd(max_iter=1)", eps=0.1)
        train(network, X, Y, Recipe.short(epochs=1, batch_size=2), adversary=adversary)
    else:
        loss, shape = nn.CrossEntropyLoss(), (1, 8, 8)
        classifier = PyTorchSpikingClassifier(network, loss, shape, DIGITS, clip_values=(0, 1))
        AutoPGD(classifier, eps=0.1, max_iter=2, verbose=False).generate(X, Y)
        assert classifier.device == torch.device(card)
    assert {weight.device for weight in network.parameters()} == {torch.device(card)}
