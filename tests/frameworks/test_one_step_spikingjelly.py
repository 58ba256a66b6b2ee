"""SpikingJelly in its default step mode, and Norse's SequentialState with an unknown neuron."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from art_snn.interop import adapt
from tests.frameworks.loading import load

(neuron, layer, functional) = load(
    "spikingjelly",
    "2.",
    "spikingjelly.activation_based.neuron",
    "spikingjelly.activation_based.layer",
    "spikingjelly.activation_based.functional",
)
(norse,) = load("norse", "1.", "norse.torch")
STEPS = 4


def lif_fc() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(layer.Flatten(), layer.Linear(36, 10), neuron.LIFNode(tau=2.0)).eval()


def states() -> nn.Module:
    torch.manual_seed(0)
    box = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0)))
    parts = (nn.Flatten(), nn.Linear(36, 20), box, nn.Linear(20, 20), norse.LIFCell())
    return norse.SequentialState(*parts, nn.Linear(20, 10)).eval()


def images() -> torch.Tensor:
    return 8 * torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rule", ["rga", "stbp", "native"])
def test_step_mode_s_is_looped_over(rule):
    network, x = adapt(lif_fc(), steps=STEPS), images().requires_grad_()
    with network.using(rule):
        logits = network(x)
    model = lif_fc()
    functional.reset_net(model)
    with torch.no_grad():
        assert torch.equal(logits, torch.stack([model(x) for _ in range(STEPS)]).mean(0))
    assert torch.autograd.grad(logits.sum(), x)[0].any()


@pytest.mark.parametrize("rule", ["rga", "stbp", "native"])
def test_states_of_norse_are_handed_on_and_its_lif_cell_keeps_its_gradient(rule):
    network, x = adapt(states(), steps=STEPS, elsewhere="native"), images().requires_grad_()
    assert list(network.natives()) == ["4"]
    with network.using(rule):
        logits = network(x)
    model, state, outputs = states(), None, []
    with torch.no_grad():
        for _ in range(STEPS):
            output, state = model(x, state)
            outputs.append(output)
    assert torch.equal(logits, torch.stack(outputs).mean(0))
    assert torch.autograd.grad(logits.sum(), x)[0].any()
