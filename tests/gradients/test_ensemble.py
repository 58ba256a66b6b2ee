"""The published ensemble: nineteen rules, no two the same, for every neuron of the papers."""

import itertools

import pytest
import torch

from art_snn import BPTR, STBP, RectifiedANN
from art_snn.dynamics import Dynamics
from art_snn.gradients import ENSEMBLE_19, Exponential, Rectangle, StraightThrough, Triangle
from tests.architectures import batch, network
from tests.gradients.adaptive import ascend

SURROGATES = [rule.surrogate for rule in ENSEMBLE_19 if isinstance(rule, STBP)]


def test_there_are_nineteen_rules_and_no_two_are_equal():
    assert len(ENSEMBLE_19) == len(set(ENSEMBLE_19)) == 19
    assert [type(rule) for rule in ENSEMBLE_19] == [STBP] * 17 + [BPTR, RectifiedANN]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        (Triangle, [(0.25,), (0.5,), (1,), (2,), (3,)]),
        (Exponential, [(0.5, 1), (1, 1), (2, 1), (0.5, 0.3), (1, 0.3), (2, 0.3)]),
        (Rectangle, [(0.25,), (0.5,), (1,), (2,), (4,)]),
        (StraightThrough, [()]),
    ],
)
def test_the_surrogates_have_the_published_shapes(kind, shapes):
    assert [s for s in SURROGATES if isinstance(s, kind)] == [kind(*shape) for shape in shapes]


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
def test_all_apply_to_leaky_and_perfect_integrators_and_no_two_give_the_same_gradient(decay, reset):
    assert [rule.objection(Dynamics(decay, 1.0, reset)) for rule in ENSEMBLE_19] == [None] * 19
    net, x = network(decay=decay, reset=reset), batch(16)
    grads = [ascend(net.with_gradient(rule), x) for rule in ENSEMBLE_19]
    assert all(grad.isfinite().all() and grad.any() for grad in grads)
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(grads, 2))
