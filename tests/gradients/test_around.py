"""EOT, means over what a network draws, and Extended, the Jacobian of a longer run."""

import pytest
import torch
from torch import nn

from art_snn import RGA, STBP, Direct, Poisson, TimeDistributed as Timed
from art_snn.gradients import ASSG, BPTR, EOT, HART, PDSG, Extended
from tests.architectures import ARCHITECTURES, CLASSES, batch, chain, network, residual
from tests.gradients.adaptive import Naive, ascend, loss_of
from tests.oracles import relative


def jacobian(logits, x, seed=5):
    """Logits [N, K] and their Jacobian [N, K, ...]."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    y = logits(x)
    rows = [torch.autograd.grad(y[:, k].sum(), x, retain_graph=True)[0] for k in range(CLASSES)]
    return y.detach(), torch.stack(rows, 1)


def with_dropout(neuron):
    return nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(72, 10)),
        neuron(),
        Timed(nn.Dropout(0.4), nn.Linear(10, CLASSES)),
    )


@pytest.mark.parametrize("architecture", [chain, residual, with_dropout])
@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("rule", [STBP(), RGA()], ids=repr)
def test_logits_and_their_jacobian_are_means_over_draws(rule, samples, architecture):
    dropout = architecture is with_dropout
    options = {} if dropout else {"encoder": Poisson(4)}
    net = network(architecture, gradient=EOT(rule, samples=samples), **options).train(dropout)
    x = batch()

    def looped(x):
        with net.using(rule):
            return sum(net(x) for _ in range(samples)) / samples

    logits, rows = jacobian(net, x)
    expected_logits, expected_rows = jacobian(looped, x)
    assert relative(logits, expected_logits) < 1e-12
    assert relative(rows, expected_rows) < 1e-12
    assert relative(rows, jacobian(net, x, seed=6)[1]) > 1e-3
    if dropout:
        assert relative(rows, jacobian(net.eval(), x)[1]) > 1e-3


def test_moments_advance_at_every_draw_as_in_a_naive_loop():
    net, x = network(gradient=EOT(ASSG(), samples=3)), batch()
    naive = Naive(net, net.body.neurons()[0].dynamics)
    for _ in range(2):
        got = ascend(net, x)
        draws = [ascend(lambda y: naive.logits(y, 4), x) for _ in range(3)]
        assert relative(got, sum(draws) / 3) < 1e-10
        assert relative(got, draws[0]) > 1e-3


RULES = [STBP(), RGA(), HART(), BPTR(), PDSG(per_sample=True)]


def twofold(net, x):
    """Logits, the gradient of a loss at the logits, and that at the input."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(5)
    logits = net(x)
    return logits.detach(), *torch.autograd.grad(loss_of(logits), (logits, x))


def pulled_back(net, encoder, rule, x, at_logits):
    """Gradient at the input of the same layers over another encoder."""
    longer = net.with_gradient(rule)
    longer.encoder = encoder
    return ascend(longer, x, lambda logits: (logits * at_logits).sum())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_gradient_is_the_longer_run_s_at_the_logits_of_the_network(rule, architecture):
    net = network(ARCHITECTURES[architecture], gradient=Extended(rule))
    x = batch()
    logits, at_logits, grad = twofold(net, x)
    with torch.no_grad():
        assert torch.equal(logits, net(x))
        longer = net.with_gradient(rule)
        longer.encoder = Direct(32)
        assert not torch.equal(longer(x), logits)
    assert relative(grad, pulled_back(net, Direct(32), rule, x, at_logits)) < 1e-12


def test_a_longer_poisson_run_is_drawn_after_the_logits():
    net = network(encoder=Poisson(4), gradient=Extended(STBP(), steps=9))
    x = batch()
    _, at_logits, grad = twofold(net, x)
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
        _, at_logits, grad = twofold(net, x)
        expected = ascend(twin, x, lambda logits, g=at_logits: (logits * g).sum())
        assert relative(grad, expected) < 1e-12
    assert relative(grad, twofold(fresh, x)[2]) > 1e-3
    net.forget()
    assert relative(twofold(net, x)[2], twofold(fresh.with_gradient(net.gradient), x)[2]) < 1e-12
