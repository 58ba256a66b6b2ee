"""Models of SpikingJelly's own zoo, unmodified, and operations as its own counter counts them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt
from art_snn.metrics.energy import count_operations
from art_snn.network import SpikingNetwork
from tests.bounds.random_networks import around
from tests.frameworks.loading import load
from tests.interop.stacks import images

NAMES = ("neuron", "layer", "functional", "surrogate", "op_counter")
NAMES += ("model.spiking_vgg", "model.sew_resnet")
PLACES = (f"spikingjelly.activation_based.{name}" for name in NAMES)
neuron, layer, functional, surrogate, op_counter, vgg, sew = load("spikingjelly", "2.", *PLACES)
STEPS, CLASSES, IMAGE = 2, 4, (3, 32, 32)


class Attention(nn.Module):
    """A stem and one block of spiking self-attention, as Spikformer has it."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        first = layer.Conv2d(3, width, 3, 4, 1, bias=False)
        self.stem = nn.Sequential(first, layer.BatchNorm2d(width), neuron.LIFNode())
        self.project = nn.ModuleList(
            nn.ModuleList([layer.Linear(width, width), layer.BatchNorm1d(width), neuron.LIFNode()])
            for _ in range(4)
        )
        self.attend = neuron.LIFNode(v_threshold=0.5)
        self.head = layer.Linear(width, CLASSES)

    def spikes(self, index: int, x: Tensor) -> Tensor:
        linear, norm, fire = self.project[index]
        return fire(norm(linear(x).transpose(2, 3)).transpose(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(3).transpose(2, 3)
        steps, batch, places, width = x.shape
        shape = (steps, batch, places, self.heads, width // self.heads)
        q, k, v = (self.spikes(i, x).view(shape).transpose(2, 3) for i in range(3))
        attended = (q @ k.transpose(-1, -2)) @ v * 0.25
        x = x + self.spikes(3, self.attend(attended.transpose(2, 3).reshape(x.shape)))
        return self.head(x.mean(2))


OPTIONS = {"surrogate_function": surrogate.ATan(), "detach_reset": True, "num_classes": CLASSES}
MODELS = {
    "spiking_vgg11_bn": partial(
        vgg.spiking_vgg11_bn, spiking_neuron=neuron.LIFNode, tau=2.0, decay_input=False, **OPTIONS
    ),
    "sew_resnet18": partial(sew.sew_resnet18, spiking_neuron=neuron.IFNode, cnf="ADD", **OPTIONS),
    "spikformer": Attention,
}
every_model = pytest.mark.parametrize("name", MODELS)


def lively(name: str) -> nn.Module:
    """The model with statistics of random images, so that its neurons fire without training."""
    torch.manual_seed(0)
    model = MODELS[name]()
    functional.set_step_mode(model, "m")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1.5)
            nn.init.constant_(module.bias, 0.3)
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.rand(STEPS, 8, *IMAGE))
    functional.reset_net(model)
    return model.eval()


@pytest.fixture(scope="module")
def networks() -> dict[str, SpikingNetwork]:
    return {name: adapt(lively(name), steps=STEPS) for name in MODELS}


@every_model
@pytest.mark.parametrize(
    "rule", ["stbp", "pdsg", "assg", "rga", "static", "bptr", "hart", "native"]
)
def test_logits_are_the_models_own_under_every_rule(name, rule, networks):
    network, x = networks[name], images(3, IMAGE)
    with torch.no_grad():
        functional.reset_net(network.layers)
        wanted = network.layers(x.expand(STEPS, *x.shape)).mean(0)
        functional.reset_net(network.layers)
        assert torch.equal(network(x), wanted)
    x.requires_grad_()
    with network.using(rule):
        logits = network(x)
    assert torch.equal(logits, wanted)
    (grad,) = torch.autograd.grad(logits[:, 0].sum(), x)
    assert grad.any()


@every_model
def test_the_native_gradient_is_that_of_plain_autograd(name, networks):
    network, x = networks[name], images(2, IMAGE).requires_grad_()
    with network.using("native"):
        (grad,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
    logits = network.layers(x.expand(STEPS, *x.shape)).mean(0)
    (wanted,) = torch.autograd.grad(logits[:, 0].sum(), x)
    functional.reset_net(network.layers)
    torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-7)


def test_operations_are_those_of_spikingjellys_counter():
    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1),
        neuron.LIFNode(v_threshold=0.2),
        layer.Conv2d(4, 6, 3, stride=2),
        neuron.IFNode(v_threshold=0.3),
        layer.Flatten(),
        layer.Linear(54, 5),
    ).eval()
    functional.set_step_mode(model, "m")
    x = torch.rand(1, 2, 8, 8)
    counted = count_operations(around(adapt(model, 4), (2, 8, 8), 5), x.numpy())
    counter = op_counter.SynOpCounter()
    functional.reset_net(model)
    with torch.no_grad(), op_counter.DispatchCounterMode([counter]):
        model(x.expand(4, *x.shape))
    assert counted[0, 1:, 1].sum() == counter.get_total()
    np.testing.assert_array_less(0, counted[:, :, 1])
