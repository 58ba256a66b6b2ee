"""Every rule against a naive loop: logits, spikes, and gradients at the input and the weights."""

import math
from functools import partial

import pytest

from art_snn import BPTR, CBA, HART, PDSG, RGA, STBP, Direct, Frames, RectifiedANN, StaticCurve
from art_snn.gradients import Conversion, Exponential, RateGradient, StraightThrough, Triangle
from tests import oracles
from tests.architectures import AFFINE, ENCODERS, batch, max_pooled, network, repeated
from tests.gradients.ways import assert_both_ways_equal, assert_equals_naive

RULES = {
    "stbp": (STBP(), oracles.stbp_neuron),
    "pdsg": (PDSG(), oracles.pdsg_neuron),
    "pdsg-per-sample": (PDSG(per_sample=True), partial(oracles.pdsg_neuron, per_sample=True)),
    "rga": (RGA(), oracles.rga_neuron),
    "static": (StaticCurve(), oracles.static_neuron),
    "bptr": (BPTR(), oracles.bptr_neuron),
    "hart": (HART(), oracles.hart_neuron),
    "cba": (CBA(), oracles.ann_neuron),
    "relu": (RectifiedANN(), oracles.relu_neuron),
}
SURROGATES = {
    StraightThrough(): oracles.straight_through,
    Exponential(): oracles.exponential,
    Exponential(gamma=2.0, height=0.3): partial(oracles.exponential, gamma=2.0, height=0.3),
}
FORMS = [
    (STBP(detach_reset=True), partial(oracles.stbp_neuron, detach_reset=True)),
    (PDSG(detach_reset=True), partial(oracles.pdsg_neuron, detach_reset=True)),
    (StaticCurve(limit=math.inf), partial(oracles.static_neuron, limit=math.inf)),
    *((HART(surrogate=Triangle(w)), partial(oracles.hart_neuron, width=w)) for w in (0.5, 2.45)),
    (CBA(levels=3), partial(oracles.ann_neuron, levels=3)),
    *(
        (STBP(surrogate=s, detach_reset=d), partial(oracles.stbp_neuron, fire=fire, detach_reset=d))
        for s, fire in SURROGATES.items()
        for d in (False, True)
    ),
]
# Any two values meet, in one row or another.
DYNAMICS = [
    *((1.0, 1.0, "hard", 4), (0.9, 1.0, "soft", 4), (0.5, 1.0, "hard", 8)),
    *((1.0, 0.5, "soft", 8), (0.9, 0.5, "hard", 1), (0.5, 0.5, "soft", 1)),
]
every_dynamics = pytest.mark.parametrize(("decay", "threshold", "reset", "steps"), DYNAMICS)


def compare(rule, neuron, architecture, coder, **dynamics):
    """The rule on such a network, in all ways in which it runs there, with the naive loop."""
    if isinstance(rule, CBA):
        dynamics["decay"] = 1.0
    net = network(architecture, encoder=coder, gradient=rule, **dynamics)
    x = batch(4 if isinstance(rule, PDSG) else 16, coder)
    if isinstance(rule, Conversion):
        expected = oracles.naive(net, x, neuron, averaged=True)
        oracles.assert_close(oracles.result(net, x), expected, 1e-12)
        assert net.execution.kind == "converted"
    elif isinstance(rule, RateGradient) and architecture in AFFINE.values():
        # Without a limit a current near its knee magnifies the rounding of its mean.
        uncut = rule == StaticCurve(limit=math.inf)
        assert_both_ways_equal(net, x, neuron, 1e-10 if uncut else 1e-12)
    else:
        kind = "time-resolved" if architecture is max_pooled else "collapsed"
        kind = kind if isinstance(rule, RateGradient) else "through time"
        assert_equals_naive(net, x, neuron, kind)


@pytest.mark.parametrize("encoder", ENCODERS)
@every_dynamics
@pytest.mark.parametrize("architecture", AFFINE)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_equals_a_naive_loop(name, architecture, decay, threshold, reset, steps, encoder):
    dynamics = {"decay": decay, "threshold": threshold, "reset": reset}
    compare(*RULES[name], AFFINE[architecture], ENCODERS[encoder](steps), **dynamics)


@every_dynamics
@pytest.mark.parametrize("form", range(len(FORMS)))
def test_so_does_one_with_other_settings(form, decay, threshold, reset, steps):
    dynamics = {"decay": decay, "threshold": threshold, "reset": reset}
    compare(*FORMS[form], AFFINE["residual"], Direct(steps), **dynamics)


@pytest.mark.parametrize("coder", [Direct(4), Frames(8)], ids=str)
@pytest.mark.parametrize("architecture", [max_pooled, repeated])
@pytest.mark.parametrize("name", RULES)
def test_it_does_behind_a_max_pool_and_where_a_neuron_is_called_twice(name, architecture, coder):
    compare(*RULES[name], architecture, coder, decay=0.9, threshold=0.75)
