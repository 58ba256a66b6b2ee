r"""SpikingJelly's own VGG-11 as it is, and with average pooling in place of its max pooling.

art-snn cost --model examples/frameworks/spikingjelly_vgg11.py:build --image-size 32 \
    --rules native,rga,stbp
"""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import spiking_vgg
from torch import nn

from art_snn.interop import adapt
from art_snn.network import SpikingNetwork

STEPS, SIDE = 8, 32


def build() -> SpikingNetwork:
    return adapted(model())


def averaged() -> SpikingNetwork:
    changed = model()
    for index, module in enumerate(changed.features):
        if isinstance(module, nn.MaxPool2d):
            changed.features[index] = layer.AvgPool2d(2, 2)
    return adapted(changed)


def model() -> nn.Module:
    options = {"spiking_neuron": neuron.LIFNode, "surrogate_function": surrogate.ATan()}
    return spiking_vgg.spiking_vgg11_bn(num_classes=10, detach_reset=True, **options)


def adapted(model: nn.Module) -> SpikingNetwork:
    """Adapted, with batch norms from random images that let its neurons fire without training."""
    functional.set_step_mode(model, "m")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 3.0)
            nn.init.constant_(module.bias, 1.5)
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.rand(STEPS, 4, 3, SIDE, SIDE))
    functional.reset_net(model)
    return adapt(model.eval(), steps=STEPS, input_shape=(3, SIDE, SIDE))
