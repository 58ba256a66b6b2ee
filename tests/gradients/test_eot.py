"""EOT: means over what a network draws at random."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, DeepFool, ProjectedGradientDescent
from torch import nn

from art_snn import (
    LIF,
    RGA,
    STBP,
    Poisson,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
)
from art_snn.gradients import ASSG, EOT
from tests.architectures import CLASSES, SHAPE, batch, chain, network, residual
from tests.conftest import varied
from tests.gradients.adaptive import Naive, ascend, moments_of
from tests.networks import Counted, Tally
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


def test_the_gradient_of_a_loss_is_the_mean_jacobian_at_the_mean_logits():
    net = network(encoder=Poisson(4), gradient=EOT(STBP(), samples=3))
    x, y = batch(), torch.tensor([0, 1, 2])
    logits, rows = jacobian(net, x)
    odds = logits.softmax(1) - nn.functional.one_hot(y, CLASSES)
    expected = (odds.view(3, CLASSES, 1, 1, 1) * rows).sum(1)
    torch.manual_seed(5)
    leaf = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(net(leaf), y, reduction="sum")
    (grad,) = torch.autograd.grad(loss, leaf)
    assert relative(grad, expected) < 1e-12


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_variance_of_the_gradient_shrinks_as_one_over_the_number_of_draws(rule):
    net = network(encoder=Poisson(3))
    x = batch(1).expand(1500, *SHAPE)
    spread = {}
    for samples in (1, 8):
        net.gradient = EOT(rule, samples=samples)
        _, rows = jacobian(net, x)
        spread[samples] = rows.var(0).sum().item()
    assert spread[1] > 0
    assert 6.5 < spread[1] / spread[8] < 9.5


def test_without_anything_random_the_result_is_that_of_the_inner_rule():
    net = network(gradient=EOT(RGA(), samples=3))
    x = batch()
    got, expected = jacobian(net, x), jacobian(net.with_gradient(RGA()), x)
    for ours, theirs in zip(got, expected, strict=True):
        assert relative(ours, theirs) < 1e-12


def test_predictions_are_single_draws():
    net = network(encoder=Poisson(1), gradient=EOT(STBP()))
    with torch.no_grad():
        torch.manual_seed(5)
        got = net(batch())
    torch.manual_seed(varied())
    net = network(encoder=Poisson(1), gradient=STBP())
    with torch.no_grad():
        torch.manual_seed(5)
        assert torch.equal(got, net(batch()))


def test_weights_train_by_the_mean_over_draws():
    net = network(encoder=Poisson(3), training_gradient=EOT(STBP(), samples=3)).train()
    weights = list(net.parameters())
    x = batch()
    torch.manual_seed(5)
    got = torch.autograd.grad(net(x).sum(), weights)
    torch.manual_seed(5)
    expected = torch.autograd.grad(looped(net, STBP(), 3)(x).sum(), weights)
    for ours, theirs in zip(got, expected, strict=True):
        assert relative(ours, theirs) < 1e-12


def test_moments_advance_at_every_draw_as_in_a_naive_loop():
    net, x = network(gradient=EOT(ASSG(), samples=3)), batch()
    naive = Naive(net, net.sites()[0].dynamics)
    for _ in range(2):
        got = ascend(net, x)
        draws = [ascend(lambda y: naive.logits(y, 4), x) for _ in range(3)]
        assert relative(got, sum(draws) / 3) < 1e-10
        assert relative(got, draws[0]) > 1e-3
        for ours, expected in zip(moments_of(net), naive.remembered(4), strict=True):
            assert relative(ours, expected) < 1e-12


def normed(neuron):
    """With a batch norm whose running statistics every pass in training mode changes."""
    return nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(72, 10, bias=False), nn.BatchNorm1d(10)),
        neuron(),
        Timed(nn.Linear(10, CLASSES)),
    )


def untracked(net):
    """A copy whose batch norm keeps no statistics; in training mode it computes the same."""
    twin = copy.deepcopy(net)
    norm = twin.layers[0].module[2]
    kept = nn.BatchNorm1d(10, track_running_stats=False).double()
    kept.load_state_dict({"weight": norm.weight, "bias": norm.bias})
    twin.layers[0].module[2] = kept
    return twin


def test_running_statistics_that_the_draws_write_are_no_other_network():
    net, x = network(normed, gradient=EOT(ASSG(), samples=3)).train(), batch(8)
    twin = untracked(net).train()
    statistics = net.layers[0].module[2].running_mean.clone()
    for _ in range(2):
        with twin.using(ASSG()):
            draws = [ascend(twin, x) for _ in range(3)]
        assert relative(ascend(net, x), sum(draws) / 3) < 1e-10
        for ours, expected in zip(moments_of(net), moments_of(twin), strict=True):
            assert relative(ours, expected) < 1e-12
    assert relative(draws[2], draws[0]) > 1e-3
    assert not torch.equal(net.layers[0].module[2].running_mean, statistics)


def test_running_statistics_that_are_set_between_two_passes_are_another_network():
    net, x = network(normed, gradient=ASSG()), batch(8)
    for mode in (False, True):
        net.train(mode).forget()
        first = ascend(net, x)
        net.layers[0].module[2].running_mean.mul_(1.0)
        assert (relative(ascend(net, x), first) < 1e-12) == (not mode)


def poisson_classifier(samples, tally):
    layers = nn.Sequential(
        Timed(nn.Flatten(), nn.Linear(72, 10)), LIF(), Timed(nn.Linear(10, CLASSES))
    )
    nn.init.normal_(layers[0].module[1].weight, std=0.3)
    nn.init.normal_(layers[2].module[0].weight, std=1.0)
    rule = EOT(Counted(RGA(), tally), samples=samples)
    net = SpikingNetwork(layers, Poisson(16), rule, input_shape=SHAPE)
    return PyTorchSpikingClassifier(
        net, nn.CrossEntropyLoss(), SHAPE, CLASSES, clip_values=(0.0, 1.0), device_type="cpu"
    )


def mean_loss(classifier, x, y):
    """Mean over many draws."""
    return np.mean([classifier.compute_loss(x, y, reduction="mean") for _ in range(30)])


EPS = 0.15
ATTACKS = {
    "PGD": lambda c: ProjectedGradientDescent(
        c, eps=EPS, eps_step=0.05, max_iter=5, batch_size=4, verbose=False
    ),
    "APGD": lambda c: AutoProjectedGradientDescent(
        c, eps=EPS, eps_step=0.1, max_iter=5, loss_type="cross_entropy", verbose=False
    ),
    "DeepFool": lambda c: DeepFool(c, max_iter=4, nb_grads=CLASSES, batch_size=4, verbose=False),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_of_a_poisson_network_go_by_it_and_keep_their_budget(name):
    tally = Tally()
    classifier = poisson_classifier(3, tally)
    x = 0.2 + 0.6 * batch(8, dtype=torch.float32).numpy()
    y = np.mean([classifier.predict(x) for _ in range(30)], axis=0).argmax(1)
    adversarial = ATTACKS[name](classifier).generate(x, y)
    moved = np.abs(adversarial - x).max((1, 2, 3))
    assert tally.forwards > 0
    assert tally.forwards % 3 == 0
    assert moved.max() > 0
    assert ((adversarial >= 0) & (adversarial <= 1)).all()
    if name == "DeepFool":
        return
    assert tally.backwards == tally.forwards
    assert name != "PGD" or tally.forwards == 3 * 5 * 2
    assert (moved <= EPS + 1e-6).all()
    assert moved.max() > 0.5 * EPS
    assert mean_loss(classifier, adversarial, y) > mean_loss(classifier, x, y) + 0.1
