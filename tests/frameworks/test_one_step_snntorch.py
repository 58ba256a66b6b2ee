"""snnTorch's quickstart network as its users have it: one step in a call, ten learned betas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from art_snn.interop import adapt
from tests.frameworks.loading import load

(snn, surrogate, utils) = load("snntorch", "1.", "snntorch", "snntorch.surrogate", "snntorch.utils")
STEPS = 5


def quickstart() -> nn.Sequential:
    slope = surrogate.fast_sigmoid(slope=25)
    hidden = {"beta": 0.5, "spike_grad": slope, "init_hidden": True}
    torch.manual_seed(0)
    betas = torch.linspace(0.3, 0.9, 10)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5),
        nn.MaxPool2d(2),
        snn.Leaky(**hidden),
        nn.Flatten(),
        nn.Linear(64, 10),
        snn.Leaky(**{**hidden, "beta": betas}, learn_beta=True, output=True),
    ).eval()


def script(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loop that stands in the tutorials."""
    utils.reset(net)
    recorded = [net(x) for _ in range(STEPS)]
    spikes, potentials = zip(*recorded, strict=True)
    return torch.stack(spikes), torch.stack(potentials)


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "native"])
def test_logits_are_those_of_the_script_and_every_rule_has_a_gradient(rule):
    x = 3 * torch.rand(4, 1, 12, 12)
    for place, readout in enumerate(("spikes", "potential")):
        network = adapt(quickstart(), steps=STEPS, readout=readout)
        with torch.no_grad():
            wanted = script(quickstart(), x)[place].mean(0)
        leaf = x.clone().requires_grad_()
        with network.using(rule):
            logits = network(leaf)
        assert torch.equal(logits, wanted)
        assert torch.autograd.grad(logits.sum(), leaf)[0].any()


def test_native_is_plain_autograd_through_the_script():
    x = 3 * torch.rand(4, 1, 12, 12)
    network = adapt(quickstart(), steps=STEPS, readout="potential")
    grads = []
    for logits in (lambda x: network(x), lambda x: script(quickstart(), x)[1].mean(0)):
        leaf = x.clone().requires_grad_()
        with network.using("native"):
            grads += torch.autograd.grad(logits(leaf).sum(), leaf)
    torch.testing.assert_close(*grads)


def test_one_step_alone_is_refused():
    with pytest.raises(ValueError, match=r"^steps: .*one of them in a call.*steps=25"):
        adapt(quickstart(), encoder=None, readout="spikes")(torch.rand(2, 1, 12, 12))
