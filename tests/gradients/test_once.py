"""Second derivatives that a rule has not: refused by its name, never missing a part in silence."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from art_snn import EOT, GRADIENTS, Extended, Mean
from art_snn.gradients import RGA, STBP
from tests import adapted
from tests.architectures import batch, chain, max_pooled, network

RULES = {
    **{name: rule() for name, rule in GRADIENTS.items() if not rule().second_derivative},
    "mean": Mean(RGA(), STBP()),
    "mean of one kind": Mean(STBP(), STBP(detach_reset=True)),
    "eot": EOT(RGA(), samples=2),
    "extended": Extended(RGA(), steps=6),
}
MESSAGE = (
    r"^gradient: expected a rule with a second derivative, got {}.*, which has none\. "
    r"Take a rule whose second_derivative is True, such as STBP\(\), "
)


def linear(logits, x):
    return logits[:, 0].sum() + (x**3).sum()


def cross_entropy(logits, x):
    return nn.functional.cross_entropy(logits, torch.zeros(len(x)).long()) + (x**3).sum()


def first(net, x, loss, *, create_graph):
    return torch.autograd.grad(loss(net(x), x), x, create_graph=create_graph)[0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("loss", [linear, cross_entropy])
@pytest.mark.parametrize("layers", [chain, max_pooled])
@pytest.mark.parametrize("name", RULES)
def test_a_second_derivative_is_refused_whichever_way_it_is_asked_for(name, layers, loss, training):
    rule = RULES[name]
    net, x = network(layers, gradient=rule).train(training), batch().requires_grad_()
    grad = first(net, x, loss, create_graph=True)
    net.forget()
    assert torch.equal(grad, first(net, x, loss, create_graph=False))
    message = MESSAGE.format(f"({'|'.join(named(rule))})")
    with pytest.raises(ValueError, match=message):
        torch.autograd.grad(grad.sum(), x, retain_graph=True)
    with pytest.raises(ValueError, match=message):
        grad.sum().backward()


def named(rule):
    parts = (rule, *getattr(rule, "parts", ()))
    return [re.escape(type(part).__name__) for part in parts]


def test_one_by_the_weights_is_refused_too():
    net, x = network(training_gradient="rga").train(), batch()
    weights = list(net.parameters())
    loss = net(x).square().sum()
    grads = torch.autograd.grad(loss, weights, create_graph=True)
    with pytest.raises(ValueError, match=MESSAGE.format("RGA")):
        torch.autograd.grad(sum(grad.sum() for grad in grads) + weights[0].sum(), weights)


def test_so_is_one_by_the_input_of_gradients_at_the_weights():
    net, x = network(gradient="rga"), batch().requires_grad_()
    weights = list(net.parameters())
    grads = torch.autograd.grad(net(x).square().sum(), weights, create_graph=True)
    with pytest.raises(ValueError, match=MESSAGE.format("RGA")):
        sum(grad.square().sum() for grad in grads).backward()


def test_models_that_call_their_neurons_step_by_step_refuse_it():
    net = adapted.network("step")
    x = torch.rand(3, *adapted.SHAPE, requires_grad=True)
    with net.using("stbp"):
        grad = first(net, x, linear, create_graph=True)
    with pytest.raises(ValueError, match=MESSAGE.format("the rule of neurons called step by step")):
        torch.autograd.grad(grad.sum(), x)
