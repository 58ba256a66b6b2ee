"""Adapted networks where there is a CUDA device."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from art_snn.interop import adapt
from tests.interop.promises import inputs
from tests.interop.stacks import STEPS, Loop, Stack
from tests.standins import spikingjelly

pytestmark = pytest.mark.gpu
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("rule", ["stbp", "rga", "hart", "native"])
@pytest.mark.parametrize("layout", ["all steps", "loop"])
def test_gradients_are_those_of_the_cpu(layout, rule, device):
    whole = layout == "all steps"
    neuron = partial(spikingjelly.LIFNode, step_mode="m" if whole else "s")
    options = {"steps": STEPS} if whole else {"encoder": None, "readout": "mean"}
    gradients = []
    for place in ("cpu", device):
        network = adapt((Stack if whole else Loop)(neuron, 2.0), **options).to(place)
        x = inputs().to(place).requires_grad_()
        with network.using(rule):
            (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
        gradients.append(gradient.cpu())
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
