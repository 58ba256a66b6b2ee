"""Extended: the Jacobian of a longer run at the network's own logits."""

import pytest
import torch

from art_snn import RGA, STBP, Direct, Poisson
from art_snn.gradients import ASSG, BPTR, HART, PDSG, Extended
from tests.architectures import AFFINE, batch, max_pooled, network
from tests.oracles import relative

RULES = [STBP(), RGA(), HART(), BPTR(), PDSG(per_sample=True)]
ARCHITECTURES = {**AFFINE, "max pool": max_pooled}


def ascend(net, x, seed=5):
    """Logits, the gradient of a loss at the logits, and that at the input."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    logits = net(x)
    ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype)
    loss = (logits * ramp).sum() + logits.pow(3).sum()
    at_logits, grad = torch.autograd.grad(loss, (logits, x))
    return logits.detach(), at_logits, grad


def pulled_back(net, encoder, rule, x, at_logits):
    """Gradient at the input of the same layers over another encoder."""
    longer = net.with_gradient(rule)
    longer.encoder = encoder
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(longer(x), x, at_logits)[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_gradient_is_the_longer_run_s_at_the_logits_of_the_network(rule, architecture):
    net = network(ARCHITECTURES[architecture], gradient=Extended(rule))
    x = batch()
    logits, at_logits, grad = ascend(net, x)
    with torch.no_grad():
        assert torch.equal(logits, net(x))
        longer = net.with_gradient(rule)
        longer.encoder = Direct(32)
        assert not torch.equal(longer(x), logits)
    assert relative(grad, pulled_back(net, Direct(32), rule, x, at_logits)) < 1e-12


def test_a_longer_poisson_run_is_drawn_after_the_logits():
    net = network(encoder=Poisson(4), gradient=Extended(STBP(), steps=9))
    x = batch()
    _, at_logits, grad = ascend(net, x)
    torch.manual_seed(5)
    Poisson(4)(x)
    assert relative(grad, pulled_back(net, Poisson(9), STBP(), x, at_logits)) < 1e-12


def test_a_rule_that_remembers_keeps_its_memory_from_pass_to_pass():
    net = network(gradient=Extended(ASSG(), steps=8))
    twin = net.with_gradient(ASSG())
    twin.encoder = Direct(8)
    fresh = net.with_gradient(Extended(ASSG(), steps=8))
    x = batch()
    for _ in range(3):
        _, at_logits, grad = ascend(net, x)
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(twin(leaf), leaf, at_logits)
        assert relative(grad, expected) < 1e-12
    assert relative(grad, ascend(fresh, x)[2]) > 1e-3
    net.forget()
    assert relative(ascend(net, x)[2], ascend(fresh.with_gradient(net.gradient), x)[2]) < 1e-12
