"""The official QKFormer, one layer of which mixes samples, runs under every rule alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier
from art_snn.interop import adapt
from tests.interop.neurons import Steps
from tests.interop.promises import close, gradient
from tests.interop.stacks import CLASSES


class Patches(nn.Module):
    """As it is published: the shortcut is reshaped after its neurons.

    :param reshaped: True for the shortcut reshaped before them, as the other layers are."""

    def __init__(self, neuron: Callable[[], nn.Module], width: int, *, reshaped: bool) -> None:
        super().__init__()
        self.reshaped = reshaped
        self.proj_conv = nn.Conv2d(1, width // 2, 3, padding=1, bias=False)
        self.proj_bn = nn.BatchNorm2d(width // 2)
        self.proj_lif = neuron()
        self.proj1_conv = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.proj1_bn = nn.BatchNorm2d(width)
        self.proj1_lif = neuron()
        self.proj_res_conv = nn.Conv2d(width // 2, width, 1, bias=False)
        self.proj_res_bn = nn.BatchNorm2d(width)
        self.proj_res_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        steps, batch, _, height, width = x.shape
        shape = (steps, batch, -1, height, width)
        x = self.proj_bn(self.proj_conv(x.flatten(0, 1)))
        x = self.proj_lif(x.reshape(shape)).flatten(0, 1)

        shortcut = self.proj_res_bn(self.proj_res_conv(x))
        shortcut = shortcut.reshape(shape) if self.reshaped else shortcut
        shortcut = self.proj_res_lif(shortcut).reshape(shape)

        x = self.proj1_bn(self.proj1_conv(x))
        return self.proj1_lif(x.reshape(shape)) + shortcut


class QKFormer(nn.Module):
    """[N, C, H, W] -> [N, K]; it repeats its input T times itself."""

    def __init__(
        self, neuron: Callable[[], nn.Module], *, steps: int = 4, reshaped: bool = False
    ) -> None:
        super().__init__()
        self.steps = steps
        self.patches = Patches(neuron, 8, reshaped=reshaped)
        self.head = nn.Linear(8, CLASSES)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.4, 0.6, generator=generator)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1))
        return self.head(x.flatten(3).mean(3).mean(0))


def images(samples: int) -> Tensor:
    return torch.rand(samples, 1, 6, 6, generator=torch.Generator().manual_seed(2))


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
