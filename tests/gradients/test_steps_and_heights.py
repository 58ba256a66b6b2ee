"""Neurons with a decay for every step, and spikes of another height than 1, under every rule."""

import copy

import pytest
import torch
from torch import nn

from art_snn import GRADIENTS, HART, STBP, Extended
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron
from tests.architectures import batch, chain, max_pooled, network, residual
from tests.gradients.test_naive import RULES
from tests.oracles import assert_close, naive, result

DECAYS = (0.9, 0.4, 1.2, -0.3)
CURVES = ("rga", "static", "cba", "relu")
NAMES = (*GRADIENTS, "pdsg-per-sample", "assg-through-reset", "mean(stbp, hart)", "eot(stbp)")
LONGER = ("extended(stbp)", "extended(hart, steps=7)")


def changed(net, **settings):
    """A network of the same weights whose neurons have other dynamics."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, Neuron):
            before = {"reset": module.dynamics.reset, "decay": module.dynamics.decay}
            module.dynamics = Dynamics(**before | settings)
    return twin


def gradient(net, rule, x):
    """Logits and the gradient at the input, in the second of two passes."""
    with net.using(rule):
        for _ in range(2):
            x = x.clone().requires_grad_()
            logits = net(x)
            grad = torch.autograd.grad(logits.square().sum(), x)[0]
    return logits.detach(), grad


@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
@pytest.mark.parametrize("rule", [*NAMES, *LONGER])
def test_a_height_is_a_factor_of_the_weights_behind_it(rule, layers):
    plain, x = network(layers, decay=1.0, reset="soft"), batch()
    high = changed(plain, amplitude=0.5)
    for layer in [m for m in high.modules() if isinstance(m, nn.Linear | nn.Conv2d)][1:]:
        layer.weight.data.mul_(2)
    for ours, wanted in zip(gradient(high, rule, x), gradient(plain, rule, x), strict=True):
        assert wanted.any()
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("further", [{}, {"gain": 2.0, "v_reset": -0.25, "constant": 0.1}])
@pytest.mark.parametrize("rule", NAMES)
def test_the_same_decay_at_every_step_is_that_decay(rule, further):
    plain, x = changed(network(chain, decay=0.5), **further), batch()
    several = changed(plain, decay=[0.5] * 4, **further)
    if rule in CURVES:
        with pytest.raises(ValueError, match=r"'layers\.1'.*every step"):
            several.gradient = rule
        return
    several.gradient = "stbp"
    for ours, wanted in zip(gradient(several, rule, x), gradient(plain, rule, x), strict=True):
        assert wanted.any()
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("layers", [chain, residual])
@pytest.mark.parametrize("name", [name for name in RULES if name not in CURVES])
def test_a_rule_equals_a_naive_loop(name, layers, reset):
    rule, neuron = RULES[name]
    net = changed(network(layers, reset=reset), decay=DECAYS, amplitude=1.5)
    net.gradient = rule
    high = lambda d, xs: [d.amplitude * s for s in neuron(d, xs)]  # noqa: E731
    x = batch(4)
    assert_close(result(net, x), naive(net, x, high), 1e-12)


def test_longer_runs_have_no_decay():
    net = changed(network(chain, gradient="stbp"), decay=DECAYS)
    with pytest.raises(ValueError, match=r"decays for 4 steps, not 32\."):
        net.gradient = Extended(STBP())
    assert gradient(net, Extended(HART(), steps=4), batch())[1].any()
