"""The official QKFormer, one layer of which mixes samples, runs under every rule alone."""

from __future__ import annotations

import pytest
import torch

from art_snn import PyTorchSpikingClassifier
from art_snn.interop import adapt
from tests.interop.neurons import Steps
from tests.interop.promises import close, gradient
from tests.interop.qkformer import QKFormer, images

RULES = ("native", "rga", "stbp", "hart", "assg", "bptr")


@pytest.mark.parametrize("rule", RULES)
def test_one_sample_has_the_logits_of_the_model_itself(rule):
    model = QKFormer(Steps)
    network = adapt(model, encoder=None)
    logits, grad = gradient(network, rule, images(1))
    assert torch.equal(logits, model(images(1)))
    assert grad.any()
    assert network.body.steps == model.steps


@pytest.mark.parametrize("rule", RULES)
def test_samples_that_run_alone_have_the_gradients_of_a_model_without_that_layers_mistake(rule):
    network = adapt(QKFormer(Steps), encoder=None)
    wanted = adapt(QKFormer(Steps, reshaped=True), encoder=None)
    for sample in images(3):
        close(gradient(network, rule, sample[None]), gradient(wanted, rule, sample[None]), 1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_that_the_model_mixes_is_refused_with_what_helps(rule):
    network = adapt(QKFormer(Steps), encoder=None)
    with pytest.raises(ValueError, match="batch_size=1"):
        gradient(network, rule, images(5))


def test_predictions_of_a_classifier_take_samples_one_at_a_time():
    network = adapt(QKFormer(Steps), encoder=None)
    loss, shape = torch.nn.CrossEntropyLoss(), (1, 6, 6)
    classifier = PyTorchSpikingClassifier(network, loss, shape, 3, clip_values=(0, 1))
    logits = classifier.predict(images(4).numpy(), batch_size=1)
    alone = torch.cat([network.layers(sample[None]) for sample in images(4)])
    assert torch.equal(torch.as_tensor(logits), alone.detach())
