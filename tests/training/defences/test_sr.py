"""SR: the difference quotient along the sign of the gradient, and which gradient that is."""

import copy
from math import exp, log

import pytest
import torch
from torch import nn

from art_snn import STBP
from art_snn.gradients import Triangle
from art_snn.training import SR, Learner
from tests.classifiers import Counted, Tally, classifier, samples
from tests.training.defences.affine import Affine, rows

WEIGHT = rows((1, 0), (0, 1), (0, 0))
# The logits of the first sample are (log 3, 0.005, 0), of the second one (-0.5, -1, 0).
X = rows((log(3), 0.005), (-0.5, -1))
Y = torch.tensor([0, 1])


def sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


def by_hand(sparsity: float, h: float) -> float:
    # The gradient of the first probability is along (1, -1), that of the second one along (0, 1);
    # the step takes the best other class of the first sample below the third, and it stays the one.
    start = log(3) - 0.005, -1.0
    end = log(3) + h - (0.005 - h), -1 + h
    quotients = [(sigmoid(b) - sigmoid(a)) / h for a, b in zip(start, end, strict=True)]
    entropies = (log(3 + exp(0.005) + 1) - log(3), log(exp(-0.5) + exp(-1) + 1) + 1)
    return sum(entropies) / 2 + sparsity * sum(q**2 for q in quotients) / 2


@pytest.mark.parametrize(("sparsity", "h"), [(2e-3, 0.01), (3.0, 0.05)])
def test_it_is_cross_entropy_and_the_squared_quotient_along_the_sign(sparsity, h):
    loss = SR(sparsity=sparsity, step=h).loss(Affine(WEIGHT.requires_grad_()), 9 * X, X, Y)
    assert loss.item() == pytest.approx(by_hand(sparsity, h), rel=1e-12)


def test_the_weights_are_differentiated_through_both_ends_and_not_through_the_direction():
    def loss(weight: torch.Tensor) -> torch.Tensor:
        return SR(sparsity=1).loss(Affine(weight), X, X, Y)

    assert torch.autograd.gradcheck(loss, WEIGHT.detach().requires_grad_())


def test_the_direction_is_by_the_training_gradient_whatever_the_attack_s_is():
    given = classifier()
    x, y = (torch.as_tensor(a) for a in samples(given, 6))
    network, tally, attack = given.model.train(), Tally(), Tally()
    network.gradient = Counted(STBP(), attack)
    network.training_gradient = Counted(STBP(surrogate=Triangle(width=0.5)), tally)
    SR().loss(Learner(network=network), x, x, y).backward()
    assert attack.forwards == 0
    assert tally.forwards == 2
    assert all(weight.grad is not None for weight in network.parameters())


def test_one_graph_for_direction_and_loss_gives_what_passes_of_their_own_give():
    given = classifier()
    x, y = (torch.as_tensor(a) for a in samples(given, 6))
    network, twin = given.model.train(), copy.deepcopy(given.model).train()
    found = SR(sparsity=0.3).loss(Learner(network=network), x, x, y)
    found.backward()

    with torch.no_grad():
        logits = twin(x)
    others = [{*range(4)} - {label} for label in y.tolist()]
    best = [max(k, key=row.__getitem__) for row, k in zip(logits, others, strict=True)]

    def probability(logits: torch.Tensor) -> torch.Tensor:
        return (logits[range(len(y)), y] - logits[range(len(y)), best]).sigmoid()

    leaf = x.clone().requires_grad_()
    with twin.using(twin.training_gradient):
        (gradient,) = torch.autograd.grad(probability(twin(leaf)).sum(), leaf)
    logits, moved = twin(x), twin(x + 0.01 * gradient.sign())
    penalty = ((probability(moved) - probability(logits)) / 0.01).square().mean()
    expected = nn.functional.cross_entropy(logits, y) + 0.3 * penalty
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert penalty > 0
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)
