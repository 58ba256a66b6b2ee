"""The official QKFormer, one layer of which mixes samples, runs under every rule alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt
from tests.attacks.classifiers import around
from tests.interop.neurons import Steps
from tests.interop.promises import close, gradient
from tests.interop.stacks import CLASSES, images


class QKFormer(nn.Module):
    """[N, C, H, W] -> [N, K] as it is published: the shortcut is reshaped after its neurons.

    :param reshaped: True for the shortcut reshaped before them, as the other layers are."""

    steps = 4

    def __init__(self, neuron: Callable[[], nn.Module], *, reshaped: bool = False) -> None:
        super().__init__()
        self.reshaped = reshaped
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.conv1 = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.res_conv = nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.lif, self.lif1, self.res_lif = neuron(), neuron(), neuron()
        self.head = nn.Linear(8, CLASSES)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.4, 0.6, generator=generator)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        shape = (self.steps, len(x), -1, *x.shape[2:])
        x = self.conv(x.repeat(self.steps, 1, 1, 1))
        x = self.lif(x.reshape(shape)).flatten(0, 1)

        shortcut = self.res_conv(x)
        shortcut = shortcut.reshape(shape) if self.reshaped else shortcut
        shortcut = self.res_lif(shortcut).reshape(shape)

        x = self.lif1(self.conv1(x).reshape(shape)) + shortcut
        return self.head(x.flatten(3).mean(3).mean(0))


SHAPE = (1, 6, 6)


@pytest.mark.parametrize("rule", ["native", "rga", "stbp", "hart", "assg", "bptr"])
def test_samples_run_alone_and_a_batch_that_the_model_mixes_is_refused(rule):
    model = QKFormer(Steps)
    network = adapt(model, encoder=None)
    wanted = adapt(QKFormer(Steps, reshaped=True), encoder=None)
    for sample in images(3, SHAPE).split(1):
        logits, grad = gradient(network, rule, sample)
        assert torch.equal(logits, model(sample))
        close((logits, grad), gradient(wanted, rule, sample), 1e-5)
    assert network.body.steps == model.steps
    with pytest.raises(ValueError, match="batch_size=1"):
        gradient(adapt(QKFormer(Steps), encoder=None), rule, images(5, SHAPE))


def test_predictions_of_a_classifier_take_samples_one_at_a_time():
    network = adapt(QKFormer(Steps), encoder=None)
    classifier = around(network, SHAPE, CLASSES)
    x = images(4, SHAPE)
    logits = classifier.predict(x.numpy(), batch_size=1)
    alone = torch.cat([network.layers(sample) for sample in x.split(1)])
    assert torch.equal(torch.as_tensor(logits), alone.detach())
