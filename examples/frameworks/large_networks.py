r"""Two networks of SpikingJelly's model zoo for images of 224 x 224, with drawn weights.

art-snn cost --model examples/frameworks/large_networks.py:sew_resnet18 --image-size 224 \
    --batch-size 4 --rules native,stbp,rga
"""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet, spikformer
from torch import nn

from art_snn.interop import adapt
from art_snn.network import SpikingNetwork

STEPS, SIDE = 4, 224


def sew_resnet18() -> SpikingNetwork:
    """SEW-ResNet-18 (Fang et al., NeurIPS 2021) as its authors train it on ImageNet."""
    options = {"spiking_neuron": neuron.IFNode, "surrogate_function": surrogate.ATan()}
    model = sew_resnet.sew_resnet18(cnf="ADD", detach_reset=True, **options)
    functional.set_step_mode(model, "m")
    return adapted(model)


def spikformer_ti() -> SpikingNetwork:
    """The smallest Spikformer (Zhou et al., ICLR 2023) that the model zoo has for such images."""
    return adapted(spikformer.spikformer_ti(T=STEPS, img_size_h=SIDE, img_size_w=SIDE))


def adapted(model: nn.Module) -> SpikingNetwork:
    """Adapted, with batch norms from random images that let its neurons fire without training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1.5)
            nn.init.constant_(module.bias, 0.3)
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.rand(1, 2, 3, SIDE, SIDE).expand(STEPS, -1, -1, -1, -1))
    functional.reset_net(model)
    return adapt(model.eval(), steps=STEPS, input_shape=(3, SIDE, SIDE))
