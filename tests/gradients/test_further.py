"""Neurons of further state equations, under every rule, against naive loops."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from art_snn import GRADIENTS, HART, RGA, STBP, Extended
from art_snn.dynamics import Dynamics
from art_snn.gradients import Conversion, NeuronRef, RateGradient
from art_snn.neurons import Neuron
from tests.architectures import batch, chain, max_pooled, network, residual
from tests.gradients.test_naive import RULES
from tests.gradients.ways import by_collapse, by_steps
from tests.oracles import assert_close, naive, result
from tests.test_dynamics import FURTHER

NEURONS = {
    "two": {"max_spikes": 2},
    "any": {"max_spikes": None, "threshold": 0.5},
    "floor": {"floor": -0.25},
    "both": {"max_spikes": None, "threshold": 0.5, "floor": -0.25, "gain": 0.75, "constant": 0.05},
}
DECAYS = (0.9, 0.4, 1.2, -0.3)
"""One for every step."""
UNIFORM = {k: further for k, further in FURTHER.items() if Dynamics(0.5, **further).uniform}
RESETS = ({"reset": "hard"}, {"reset": "soft"})
ROWS = {f"{name} {r['reset']}": NEURONS[name] | r for name in NEURONS for r in RESETS} | UNIFORM
DECAYED = {f"decays {r['reset']}": {"decay": DECAYS} | r for r in RESETS}
CURVES = ("rga", "static", "cba", "relu")
"""Rules that need one decay."""
PAIRS = [pair for pair in product(RULES, ROWS) if "pdsg" not in pair[0]]
PAIRS += [pair for pair in product(RULES, DECAYED) if pair[0] not in CURVES]
NAMES = (*GRADIENTS, "pdsg-per-sample", "assg-through-reset", "mean(stbp, hart)", "eot(stbp)")
LONGER = ("extended(stbp)", "extended(hart, steps=7)")


def changed(net, **settings):
    """A network of the same weights whose neurons have other dynamics."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, Neuron):
            before = {"reset": module.dynamics.reset, "decay": module.dynamics.decay}
            module.dynamics = Dynamics(**before | settings)
    return twin


def gradient(net, rule, x):
    """Logits and the gradient at the input, in the second of two passes."""
    with net.using(rule):
        for _ in range(2):
            x = x.clone().requires_grad_()
            logits = net(x)
            grad = torch.autograd.grad(logits.square().sum(), x)[0]
    return logits.detach(), grad


@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
@pytest.mark.parametrize(("rule", "name"), PAIRS)
def test_a_rule_equals_a_naive_loop(rule, name, layers):
    decay = 1.0 if rule == "cba" or (rule == "static" and name not in UNIFORM) else 0.75
    further = {"reset": "hard"} | (ROWS | DECAYED)[name]
    net = changed(network(layers, decay=decay, reset=further["reset"]), **further)
    net.gradient, neuron = RULES[rule]
    x = batch(4 if "pdsg" in rule else 16)
    averaged = isinstance(net.gradient, Conversion)
    expected = naive(net, x, neuron, averaged=averaged)
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


@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
@pytest.mark.parametrize("rule", [*NAMES, *LONGER])
def test_a_height_is_a_factor_of_the_weights_behind_it(rule, layers):
    plain, x = network(layers, decay=1.0, reset="soft"), batch()
    high = changed(plain, amplitude=0.5)
    for layer in [m for m in high.modules() if isinstance(m, nn.Linear | nn.Conv2d)][1:]:
        layer.weight.data.mul_(2)
    for ours, wanted in zip(gradient(high, rule, x), gradient(plain, rule, x), strict=True):
        assert wanted.any()
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("further", [{}, {"gain": 2.0, "v_reset": -0.25, "constant": 0.1}])
@pytest.mark.parametrize("rule", NAMES)
def test_the_same_decay_at_every_step_is_that_decay(rule, further):
    plain, x = changed(network(chain, decay=0.5), **further), batch()
    several = changed(plain, decay=[0.5] * 4, **further)
    if rule in CURVES:
        with pytest.raises(ValueError, match=r"'layers\.1'.*every step"):
            several.gradient = rule
        return
    several.gradient = "stbp"
    for ours, wanted in zip(gradient(several, rule, x), gradient(plain, rule, x), strict=True):
        assert wanted.any()
        assert torch.equal(ours, wanted)


def test_longer_runs_have_no_decay():
    net = changed(network(chain, gradient="stbp"), decay=DECAYS)
    with pytest.raises(ValueError, match=r"decays for 4 steps, not 32\."):
        net.gradient = Extended(STBP())
    assert gradient(net, Extended(HART(), steps=4), batch())[1].any()
