"""Adapted networks where there is a CUDA device."""

from __future__ import annotations

import pytest
import torch

from art_snn.interop import adapt
from tests.interop.neurons import Step, Steps
from tests.interop.promises import OWN_TIME, inputs
from tests.interop.stacks import STEPS, Loop, Stack

pytestmark = pytest.mark.gpu
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("rule", ["stbp", "rga", "hart", "native"])
@pytest.mark.parametrize("layout", ["all steps", "loop"])
def test_gradients_are_those_of_the_cpu(layout, rule, device):
    whole = layout == "all steps"
    gradients = []
    for place in ("cpu", device):
        model = Stack(Steps) if whole else Loop(Step)
        network = adapt(model, **({"steps": STEPS} if whole else OWN_TIME)).to(place)
        x = inputs().to(place).requires_grad_()
        with network.using(rule):
            (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
        gradients.append(gradient.cpu())
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
