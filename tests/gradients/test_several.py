"""Several spikes in a step and floors of the potential, under every rule, against naive loops."""

import math
from functools import partial

import pytest
import torch

from art_snn import GRADIENTS, RGA, STBP
from art_snn.dynamics import Dynamics
from art_snn.gradients import Conversion, RateGradient, Site
from tests.architectures import batch, chain, max_pooled, network, residual
from tests.gradients.test_steps_and_heights import changed, gradient
from tests.gradients.test_twice import SURROGATES, assert_second_of_a_naive_loop, spike
from tests.gradients.ways import by_collapse, by_steps
from tests.oracles import _Averaged, _Scaled, assert_close, naive, result, triangle

NEURONS = {
    "two": {"several": 2},
    "any": {"several": None, "threshold": 0.5},
    "floor": {"floor": -0.25},
    "both": {"several": None, "threshold": 0.5, "floor": -0.25, "gain": 0.75, "constant": 0.05},
}


def loop(dynamics, xs, fire=triangle, detach_reset=False):
    """Spikes by the state equations in plain autograd, and the charge that the floor added."""
    v, spikes, added = dynamics.start * torch.ones_like(xs[0]), [], []
    for x in xs:
        u = dynamics.decay * v + dynamics.gain * x + dynamics.constant
        # Where there may be any number, more than there are.
        several = range(1, 1 + (dynamics.several or 60))
        first, *more = (fire(u - j * dynamics.threshold) for j in several)
        spikes.append(sum(more, first))
        s = first if dynamics.reset == "hard" else spikes[-1]
        s = s.detach() if detach_reset else s
        w = u * (1 - s) if dynamics.reset == "hard" else u - dynamics.threshold * s
        v = w if dynamics.floor is None else torch.where(w > dynamics.floor, w, dynamics.floor)
        added.append((v - w).detach())
    return spikes, sum(added) / len(xs)


def by_slope(dynamics, xs, slope):
    with torch.no_grad():
        spikes, added = loop(dynamics, xs)
        mean = dynamics.gain * sum(xs) / len(xs) + dynamics.constant + added
        factor = dynamics.gain * slope(dynamics, mean, spikes)
    return [_Scaled.apply(x, s, factor) for x, s in zip(xs, spikes, strict=True)]


def rga_slope(dynamics, mean, _=None):
    decay, threshold, most = dynamics.decay, dynamics.threshold, dynamics.several or math.inf
    knee, end = (1 - decay) * threshold, (2 if most == 1 else most) * threshold
    slope = 1 / threshold if most == math.inf else (most - 0.2 * knee) / (end - knee)
    rising = slope * ((mean > knee) & (mean <= end)).to(mean.dtype)
    return rising + 0.2 * ((mean >= 0) & (mean <= knee)).to(mean.dtype)


def static_slope(dynamics, mean, _):
    end = (dynamics.several or math.inf) * dynamics.threshold
    return ((mean >= 0) & (mean <= end)).to(mean.dtype) / dynamics.threshold


def hart(dynamics, xs):
    slopes = []

    def fire(z):
        slopes.append(dynamics.gain * torch.clamp(1 - z.abs(), min=0))
        return (z >= 0).to(z.dtype)

    with torch.no_grad():
        spikes, _ = loop(dynamics, xs, fire)
    of_steps = torch.stack(slopes).unflatten(0, (len(xs), -1)).sum(1)
    return list(_Averaged.apply(of_steps, *spikes, *xs))


def ann(dynamics, xs, levels=None):
    lines = [(dynamics.gain * x + dynamics.constant) / dynamics.threshold for x in xs]
    if levels is None:
        return [line.relu() for line in lines]
    lines = [line.clamp(0, dynamics.several) for line in lines]
    return [line + ((levels * line + 0.5).floor() / levels - line).detach() for line in lines]


RULES = {
    "stbp": lambda dynamics, xs: loop(dynamics, xs)[0],
    "rga": partial(by_slope, slope=rga_slope),
    "static": partial(by_slope, slope=static_slope),
    "bptr": partial(by_slope, slope=lambda d, mean, s: (sum(s) > 0).to(mean.dtype)),
    "hart": hart,
    "cba": partial(ann, levels=8),
    "relu": ann,
}


@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_equals_a_naive_loop(rule, name, reset, layers):
    decay = 1.0 if rule in ("static", "cba") else 0.75
    net = changed(network(layers, decay=decay, reset=reset), **NEURONS[name])
    net.gradient, x = rule, batch(8)
    averaged = isinstance(net.gradient, Conversion)
    expected = naive(net, x, RULES[rule], averaged=averaged)
    assert_close(result(net, x), expected, 1e-12)
    if isinstance(net.gradient, RateGradient) and layers is not max_pooled:
        for way in (by_collapse, by_steps):
            assert_close(result(net, x, way(net, net.gradient)), expected, 1e-12)
    if not averaged and layers is residual:
        counts = torch.cat([s.flatten() for s in expected.spikes]).unique().tolist()
        assert (max(counts) > 1) == ("several" in NEURONS[name])


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("name", NEURONS)
def test_so_does_the_second_derivative_of_stbp(name, detach_reset, reset):
    surrogate, slope = next(iter(SURROGATES.items()))
    net = changed(network(chain, decay=0.75, reset=reset), **NEURONS[name])
    net.gradient = STBP(surrogate=surrogate, detach_reset=detach_reset)
    fire = lambda z: spike(z, slope(z))  # noqa: E731
    neuron = lambda d, xs: loop(d, xs, fire, detach_reset)[0]  # noqa: E731
    x = batch()
    assert_close(result(net, x), naive(net, x, neuron), 1e-12)
    assert_second_of_a_naive_loop(net, x.clone().requires_grad_(), neuron)


@pytest.mark.parametrize(("reset", "first"), [("soft", 0.9375), ("hard", 1.078125)])
def test_stbp_gives_the_values_computed_by_hand(reset, first):
    current = torch.tensor([[[x]] for x in (0.75, 1.5, -3.0, 2.75, 0.5)]).double().requires_grad_()
    site = Site("", Dynamics(0.75, 1.0, reset, several=None, floor=-1.0))
    spikes = STBP().firing()(site, current)
    assert spikes.flatten().tolist() == [0, 2, 0, 2, 0]
    (d,) = torch.autograd.grad(spikes.sum(), current)
    assert d.flatten().tolist() == [first, 1, 0, 1, 0.5]


@pytest.mark.parametrize("most", [3, 17, None])
def test_a_wide_slope_counts_all_thresholds_that_it_reaches(most):
    # In the middle of many thresholds the sum of slopes is their integral over the spacing.
    dynamics = Dynamics(0.5, 0.25, several=most)
    current = torch.full((1, 1, 1), 2.0, dtype=torch.float64, requires_grad=True)
    (d,) = torch.autograd.grad(STBP().firing()(Site("", dynamics), current).sum(), current)
    assert d.item() == pytest.approx(0 if most == 3 else 4)


def test_the_rate_curve_of_several_spikes_ends_at_all_of_them():
    rule = RGA()
    assert rule.corners(1.0, 0.5, 3) == [(0, 0), (1.5, 3)]
    assert rule.corners(0.5, 1.0) == [(0, 0), (0.5, 0.1), (2, 1)]
    # Saturation is at 3 thresholds, wherever beta is.
    assert RGA(beta=0.4).objection(Dynamics(0.5, several=3)) is None
    assert RGA(beta=0.4).objection(Dynamics(0.5)) is not None


def test_a_floor_adds_the_charge_that_explains_the_rate():
    torch.manual_seed(0)
    current, u = torch.randn(50, 40, 5, dtype=torch.float64), torch.empty(50, 40, 5).double()
    dynamics = Dynamics(1.0, 0.5, "soft", several=None, floor=-0.5)
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
    (Dynamics(1.0, several=2), ONE),
    (Dynamics(0.5, several=None), ONE | {"static": "IF neurons", "cba": "IF neurons"}),
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
