"""EOT: means over what a network draws at random."""

import pytest
import torch
from torch import nn

from art_snn import RGA, STBP, Poisson, TimeDistributed as Timed
from art_snn.gradients import ASSG, EOT
from tests.architectures import CLASSES, batch, chain, network, residual
from tests.gradients.adaptive import Naive, ascend
from tests.oracles import relative

RULES = [STBP(), RGA()]


def jacobian(logits, x, seed=5):
    """Logits [N, K] and their Jacobian [N, K, ...]."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    y = logits(x)
    rows = [torch.autograd.grad(y[:, k].sum(), x, retain_graph=True)[0] for k in range(CLASSES)]
    return y.detach(), torch.stack(rows, 1)


def looped(net, rule, samples):
    """The mean of the logits of as many draws under the inner rule."""

    def logits(x):
        with net.using(rule):
            return sum(net(x) for _ in range(samples)) / samples

    return logits


def with_dropout(neuron):
    return nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(72, 10)),
        neuron(),
        Timed(nn.Dropout(0.4), nn.Linear(10, CLASSES)),
    )


@pytest.mark.parametrize("architecture", [chain, residual, with_dropout])
@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_logits_and_their_jacobian_are_means_over_draws(rule, samples, architecture):
    dropout = architecture is with_dropout
    options = {} if dropout else {"encoder": Poisson(4)}
    net = network(architecture, gradient=EOT(rule, samples=samples), **options).train(dropout)
    x = batch()
    logits, rows = jacobian(net, x)
    expected_logits, expected_rows = jacobian(looped(net, rule, samples), x)
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
