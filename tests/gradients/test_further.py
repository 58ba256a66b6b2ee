"""Neurons of further state equations, under every rule, against naive loops."""

import pytest
import torch

from art_snn import GRADIENTS, RGA, STBP
from art_snn.dynamics import Dynamics
from art_snn.gradients import Conversion, NeuronRef, RateGradient
from tests.architectures import batch, chain, max_pooled, network, residual
from tests.gradients.test_naive import RULES as NAIVE
from tests.gradients.test_steps_and_heights import changed, gradient
from tests.gradients.ways import by_collapse, by_steps
from tests.oracles import assert_close, naive, result
from tests.test_dynamics import FURTHER

NEURONS = {
    "two": {"max_spikes": 2},
    "any": {"max_spikes": None, "threshold": 0.5},
    "floor": {"floor": -0.25},
    "both": {"max_spikes": None, "threshold": 0.5, "floor": -0.25, "gain": 0.75, "constant": 0.05},
}
RULES = {name: neuron for name, (_, neuron) in NAIVE.items() if "pdsg" not in name}
UNIFORM = {k: further for k, further in FURTHER.items() if Dynamics(0.5, **further).uniform}
RESETS = ({"reset": "hard"}, {"reset": "soft"})
ROWS = {f"{name} {r['reset']}": NEURONS[name] | r for name in NEURONS for r in RESETS} | UNIFORM


@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_equals_a_naive_loop(rule, name, layers):
    decay = 1.0 if rule == "cba" or (rule == "static" and name not in UNIFORM) else 0.75
    further = {"reset": "hard"} | ROWS[name]
    net = changed(network(layers, decay=decay, reset=further["reset"]), **further)
    net.gradient, x = rule, batch(16)
    averaged = isinstance(net.gradient, Conversion)
    expected = naive(net, x, RULES[rule], averaged=averaged)
    assert_close(result(net, x), expected, 1e-12)
    if isinstance(net.gradient, RateGradient) and layers is not max_pooled:
        for way in (by_collapse, by_steps):
            assert_close(result(net, x, way(net, net.gradient)), expected, 1e-12)
    if not averaged and layers is residual:
        counts = torch.cat([s.flatten() for s in expected.spikes]).unique().tolist()
        assert (max(counts) > 1) == ("max_spikes" in further)


@pytest.mark.parametrize("name", UNIFORM)
@pytest.mark.parametrize("rule", [name for name in GRADIENTS if GRADIENTS[name]().exact_logits])
def test_logits_are_those_of_inference(rule, name):
    net, x = changed(network(chain, decay=0.5), **UNIFORM[name]), batch().requires_grad_()
    net.gradient = rule
    logits = net(x)
    kind = "collapsed" if rule in ("rga", "static", "bptr", "hart") else "through time"
    assert net.execution.kind == kind
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert grad.isfinite().all()
    with torch.no_grad():
        assert torch.equal(net(x), logits)


@pytest.mark.parametrize(("reset", "first"), [("soft", 0.9375), ("hard", 1.078125)])
def test_stbp_gives_the_values_computed_by_hand(reset, first):
    current = torch.tensor([[[x]] for x in (0.75, 1.5, -3.0, 2.75, 0.5)]).double().requires_grad_()
    site = NeuronRef("", Dynamics(0.75, 1.0, reset, max_spikes=None, floor=-1.0))
    spikes = STBP().firing()(site, current)
    assert spikes.flatten().tolist() == [0, 2, 0, 2, 0]
    (d,) = torch.autograd.grad(spikes.sum(), current)
    assert d.flatten().tolist() == [first, 1, 0, 1, 0.5]


@pytest.mark.parametrize("most", [3, 17, None])
def test_a_wide_slope_counts_all_thresholds_that_it_reaches(most):
    # In the middle of many thresholds the sum of slopes is their integral over the spacing.
    dynamics = Dynamics(0.5, 0.25, max_spikes=most)
    current = torch.full((1, 1, 1), 2.0, dtype=torch.float64, requires_grad=True)
    (d,) = torch.autograd.grad(STBP().firing()(NeuronRef("", dynamics), current).sum(), current)
    assert d.item() == pytest.approx(0 if most == 3 else 4)


def test_the_rate_curve_of_several_spikes_ends_at_all_of_them():
    rule = RGA()
    assert rule.corners(1.0, 0.5, 3) == [(0, 0), (1.5, 3)]
    assert rule.corners(0.5, 1.0) == [(0, 0), (0.5, 0.1), (2, 1)]
    # Saturation is at 3 thresholds, wherever beta is.
    assert RGA(beta=0.4).objection(Dynamics(0.5, max_spikes=3)) is None
    assert RGA(beta=0.4).objection(Dynamics(0.5)) is not None


def test_a_floor_adds_the_charge_that_explains_the_rate():
    torch.manual_seed(0)
    current, u = torch.randn(50, 40, 5, dtype=torch.float64), torch.empty(50, 40, 5).double()
    dynamics = Dynamics(1.0, 0.5, "soft", max_spikes=None, floor=-0.5)
    spikes = dynamics.simulate(current, u)
    added = dynamics.above_floor(u).neg().clamp(min=0).sum(0)
    v = (u[-1] - 0.5 * spikes[-1]).clamp(min=-0.5)
    torch.testing.assert_close(0.5 * spikes.sum(0), current.sum(0) + added - v)
    # At their mean current alone RGA has no slope at most neurons that fire.
    mean, rate = current.mean(0), spikes.mean(0)
    assert ((mean <= 0) & (rate > 0)).double().mean() > 0.3
    pair = torch.stack([(mean + added / 50).flatten(), rate.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.99


ONE = {"pdsg": "one threshold", "assg": "one threshold"}
REFUSED = [
    (Dynamics(1.0, max_spikes=2), ONE),
    (Dynamics(0.5, max_spikes=None), ONE | {"static": "IF neurons", "cba": "IF neurons"}),
    (Dynamics(0.5, floor=-1.0), {"cba": "IF neurons"}),
    (Dynamics(torch.tensor([0.0, 0.5])), {"static": "a jump", "cba": "IF neurons"}),
]


@pytest.mark.parametrize(("dynamics", "words"), REFUSED)
def test_rules_that_know_one_threshold_or_no_jump_refuse_the_others(dynamics, words):
    for name, rule in GRADIENTS.items():
        objection = rule().objection(dynamics)
        assert (objection is None) == (name not in words)
        assert words.get(name, "") in (objection or "")


@pytest.mark.parametrize("rule", ["stbp", "pdsg", "assg", "rga", "bptr", "hart", "relu"])
def test_neurons_may_forget_at_every_step(rule):
    net = changed(network(chain), decay=0.0)
    assert all(grad.isfinite().all() and grad.any() for grad in gradient(net, rule, batch())[1:])
