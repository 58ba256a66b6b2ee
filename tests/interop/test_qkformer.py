"""The official QKFormer, one layer of which mixes samples, runs under every rule and batch size."""

from __future__ import annotations

import pytest
import torch

from art_snn import PyTorchSpikingClassifier
from art_snn.interop import adapt
from tests.interop.neurons import Steps
from tests.interop.promises import close, gradient
from tests.interop.qkformer import QKFormer, images

RULES = ("native", "rga", "stbp", "hart", "assg", "bptr")
mixing = pytest.warns(UserWarning, match=r"^patches\.proj_res_lif .* one sample at a time")


@pytest.mark.parametrize("rule", RULES)
def test_one_sample_has_the_logits_of_the_model_itself(rule):
    model = QKFormer(Steps)
    network = adapt(model, encoder=None)
    logits, grad = gradient(network, rule, images(1))
    assert torch.equal(logits, model(images(1)))
    assert grad.any()
    assert network.time_steps() == model.steps


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("samples", [2, 5])
def test_a_batch_is_computed_as_by_the_model_without_that_layers_mistake(rule, samples):
    network = adapt(QKFormer(Steps), encoder=None)
    wanted = adapt(QKFormer(Steps, reshaped=True), encoder=None)
    by_hand = gradient(wanted, rule, images(samples))
    with mixing as warned:
        found = [gradient(network, rule, images(samples)) for _ in range(2)]
    assert len(warned) == 1
    for results in found:
        close(results, by_hand, 1e-5)
    with torch.no_grad():
        assert torch.equal(network(images(samples)), found[0][0])


@pytest.mark.filterwarnings("ignore:patches")
def test_rules_remember_nothing_from_one_sample_to_another():
    network = adapt(QKFormer(Steps), encoder=None)
    alone = torch.cat([gradient(network, "assg", x[None])[1] for x in images(3)])
    with network.attacking(0.1):
        for _ in range(2):
            torch.testing.assert_close(gradient(network, "assg", images(3))[1], alone)
    assert network.memory == {}


def test_training_and_predictions_of_a_classifier_take_batches():
    network = adapt(QKFormer(Steps), encoder=None)
    loss, shape = torch.nn.CrossEntropyLoss(), (1, 6, 6)
    classifier = PyTorchSpikingClassifier(network, loss, shape, 3, clip_values=(0, 1))
    alone = classifier.predict(images(4).numpy(), batch_size=1)
    with mixing:
        assert (classifier.predict(images(4).numpy()) == alone).all()
    network.train()
    network(images(4)).sum().backward()  # As the model trains by itself.
    assert network.model.head.weight.grad.any()
