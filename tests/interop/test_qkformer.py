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
def test_samples_run_alone_and_a_batch_that_the_model_mixes_is_refused(rule):
    model = QKFormer(Steps)
    network = adapt(model, encoder=None)
    wanted = adapt(QKFormer(Steps, reshaped=True), encoder=None)
    for sample in images(3).split(1):
        logits, grad = gradient(network, rule, sample)
        assert torch.equal(logits, model(sample))
        close((logits, grad), gradient(wanted, rule, sample), 1e-5)
    assert network.body.steps == model.steps
    with pytest.raises(ValueError, match="batch_size=1"):
        gradient(adapt(QKFormer(Steps), encoder=None), rule, images(5))


def test_predictions_of_a_classifier_take_samples_one_at_a_time():
    network = adapt(QKFormer(Steps), encoder=None)
    loss, shape = torch.nn.CrossEntropyLoss(), (1, 6, 6)
    classifier = PyTorchSpikingClassifier(network, loss, shape, 3, clip_values=(0, 1))
    logits = classifier.predict(images(4).numpy(), batch_size=1)
    alone = torch.cat([network.layers(sample[None]) for sample in images(4)])
    assert torch.equal(torch.as_tensor(logits), alone.detach())
