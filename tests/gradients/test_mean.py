"""Mean: the average direction, or the plain average, of several rules."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from art_snn import RGA, STBP
from art_snn.gradients import CBA, EOT, HART, Extended, Gradient, Mean, Triangle
from tests.architectures import AFFINE, batch, network
from tests.gradients.adaptive import ascend, loss_of
from tests.oracles import relative

RULES = (STBP(), RGA(), STBP(surrogate=Triangle(0.5)))


@dataclass(frozen=True)
class Cut(Gradient):
    """The right logits, and no gradient at the input, by a zero or by no graph at all."""

    graph: bool = True

    def logits(self, body: Any, x: Tensor) -> Tensor:
        logits = STBP().logits(body, x.detach())
        return logits + 0 * x.sum() if self.graph else logits.detach()


def combined(grads):
    """Mean of the directions of every sample, times the mean of the lengths: one by one."""
    rows = []
    for sample in zip(*grads, strict=True):
        lengths = [sum(v * v for v in g.flatten().tolist()) ** 0.5 for g in sample]
        directions = [g / n if n > 0 else 0 * g for g, n in zip(sample, lengths, strict=True)]
        rows.append(sum(directions) / len(sample) * (sum(lengths) / len(sample)))
    return torch.stack(rows)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("rules", [RULES[:2], RULES, (RULES[1], RULES[1])], ids=len)
@pytest.mark.parametrize("architecture", AFFINE)
def test_the_gradient_is_the_mean_direction_or_the_plain_mean(architecture, rules, normalise):
    net = network(AFFINE[architecture], gradient=Mean(*rules, normalise=normalise))
    x = batch()
    grads = [ascend(net.with_gradient(rule), x) for rule in rules]
    expected = combined(grads) if normalise else sum(grads) / len(grads)
    assert relative(ascend(net, x), expected) < 1e-12


NESTED = {
    Mean(STBP(), STBP()): [STBP()],
    Mean(Extended(STBP(), steps=9), EOT(RGA(), samples=2), HART()): [
        *(Extended(STBP(), steps=9), EOT(RGA(), samples=2), HART())
    ],
    Mean(Mean(STBP(), RGA()), HART()): [Mean(STBP(), RGA()), HART()],
    Extended(Mean(STBP(), RGA()), steps=9): [Extended(r, steps=9) for r in (STBP(), RGA())],
    EOT(Mean(STBP(), RGA()), samples=3): [Mean(STBP(), RGA())],
}


@pytest.mark.parametrize("rule", NESTED, ids=repr)
def test_rules_around_rules_compose(rule):
    net, x = network(gradient=rule), batch()
    grads = [ascend(net.with_gradient(part), x) for part in NESTED[rule]]
    assert relative(ascend(net, x), combined(grads)) < 1e-12


@pytest.mark.parametrize("graph", [True, False])
def test_a_rule_without_a_gradient_halves_the_direction_and_the_length(graph):
    net = network(gradient=Mean(STBP(), Cut(graph)))
    x = batch()
    assert relative(ascend(net, x), ascend(net.with_gradient(STBP()), x) / 4) < 1e-12


def test_a_sample_without_a_gradient_leaves_the_others_theirs():
    net = network(gradient=Mean(STBP(), STBP(detach_reset=True)))
    x = batch()
    # Without any current the potential lies a whole width of the triangle below the threshold.
    x[1] = 0
    grad = ascend(net, x)
    assert torch.equal(grad[1], torch.zeros_like(grad[1]))
    assert relative(grad[[0, 2]], ascend(net, x[[0, 2]])) < 1e-12


def test_a_very_small_gradient_keeps_its_direction_in_single_precision():
    net = network(gradient=Mean(STBP(), RGA())).float()
    x = batch(dtype=torch.float32)
    got = ascend(net, x, lambda logits: 1e-25 * loss_of(logits))
    assert relative(1e25 * got.double(), ascend(net, x)) < 1e-4


@pytest.mark.parametrize("rules", [RULES[:2], RULES], ids=len)
def test_gradients_at_the_weights_are_means_as_they_are(rules):
    net = network(training_gradient=Mean(*rules))
    weights = list(net.parameters())
    x = batch()

    def at_weights(rule):
        with net.using(rule):
            return torch.autograd.grad(loss_of(net(x)), weights)

    got = torch.autograd.grad(loss_of(net(x)), weights)
    for ours, *theirs in zip(got, *map(at_weights, rules), strict=True):
        assert relative(ours, sum(theirs) / len(theirs)) < 1e-12


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("rules", [(CBA(), STBP()), (STBP(), CBA()), (CBA(), CBA(levels=4), RGA())])
def test_logits_are_exact_where_those_of_one_rule_are(rules, normalise):
    rule = Mean(*rules, normalise=normalise)
    net = network(decay=1.0, gradient=rule)
    x = batch()
    logits = net(x.requires_grad_())
    with torch.no_grad():
        assert torch.equal(logits, net(x))
    assert rule.exact_logits
    assert not torch.equal(net.with_gradient(CBA())(x), logits)


def test_the_gradient_of_a_conversion_inside_is_taken_at_the_exact_logits():
    net = network(decay=1.0, gradient=Mean(CBA(), STBP()))
    x = batch()
    with torch.no_grad():
        logits = net(x)
    logits.requires_grad_()
    (at_logits,) = torch.autograd.grad(loss_of(logits), logits)
    grads = [
        ascend(net.with_gradient(r), x, lambda y: (y * at_logits).sum()) for r in net.gradient.parts
    ]
    assert relative(ascend(net, x), combined(grads)) < 1e-12
