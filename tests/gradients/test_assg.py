"""ASSG: its equations over several passes, what restarts its moments, and ART's attacks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import ASSG, STBP, SpikingNetwork
from art_snn.dynamics import Dynamics
from art_snn.gradients import ATan, Gaussian, NeuronRef, Rectangle, Sigmoid, Triangle, sharpness_of
from tests.architectures import CLASSES, SHAPE, Switch, batch, chain, network, of, repeated
from tests.attacks.classifiers import around
from tests.gradients.adaptive import Naive, ascend
from tests.oracles import relative
from tests.seeds import varied

SITE = NeuronRef("", Dynamics())


def build(architecture=chain, rule=None, **options):
    """A network that is the same at every call."""
    torch.manual_seed(varied(7))
    return network(architecture, gradient=ASSG() if rule is None else rule, **options)


def warm(x, passes=3, **options):
    """A network that has gone through some passes with the input x."""
    net = build(**options)
    for _ in range(passes):
        ascend(net, x)
    return net


def assert_equal(got, expected):
    assert relative(got, expected) < 1e-12


def assert_different(got, expected):
    assert relative(got, expected) > 1e-3


def test_slopes_of_three_passes_have_the_values_of_the_equations():
    net = build(lambda neuron: nn.Sequential(neuron()), encoder=lambda x: x[None])
    net.body.input_span = 10.0
    # M is 0.93, 0.857 and 0.8413, D is 0.063, 0.1224 and 0.12429.
    for z, h in ((0.3, 0.520232), (-0.2, 0.776468), (0.7, 0.142581)):
        x = torch.full((1, 1), 1 + z, requires_grad=True)
        (grad,) = torch.autograd.grad(net(x).sum(), x)
        assert grad.item() == pytest.approx(h, abs=1e-6)


def test_a_neuron_outside_a_network_has_the_slope_of_a_first_pass():
    z = torch.tensor([[0.3]], dtype=torch.float64)
    assert ASSG().slope(z, SITE).item() == pytest.approx(0.520232, abs=1e-6)
    current = (1 + z)[None].requires_grad_()
    spikes = ASSG().firing()(SITE, current)
    (grad,) = torch.autograd.grad(spikes, current, torch.full_like(spikes, 2.0))
    assert grad.item() == pytest.approx(2 * 0.520232, abs=2e-6)


@pytest.mark.parametrize(
    ("vanishing", "omega"), [(0.85, 2.65171), (0.87, 3.07412), (0.90, 4.01946)]
)
def test_the_sharpness_of_a_vanishing_degree_is_that_of_the_paper(vanishing, omega):
    assert sharpness_of(vanishing) == pytest.approx(omega, abs=5e-6)


@pytest.mark.parametrize("wrong", [0, -0.5, math.nan, "0.85", True, 1, 1.5])
def test_a_vanishing_degree_outside_of_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^vanishing: .*(above 0|below 1)"):
        sharpness_of(wrong)
    assert ASSG() == ASSG(omega=sharpness_of(0.85), surrogate=ATan(alpha=1.0))


SHARPENED = {
    **{kind: kind for kind in (Sigmoid, Gaussian, ATan)},
    **{kind: (lambda alpha, kind=kind: kind(1 / alpha)) for kind in (Triangle, Rectangle)},
}


@pytest.mark.parametrize("alpha", [0.3, 0.8, 1.0, 2.65, 9.0])
@pytest.mark.parametrize("kind", SHARPENED)
def test_a_sharpness_turns_h_into_alpha_h_of_alpha_z(kind, alpha):
    z = torch.linspace(-1.3, 1.3, 41, dtype=torch.float64)
    distance = z.clone()
    rule = ASSG(surrogate=kind(1.0))
    got = rule.sharpen(distance, torch.full_like(z, rule.omega / alpha))
    torch.testing.assert_close(got, SHARPENED[kind](alpha)(z), rtol=1e-12, atol=1e-14)
    assert (got > 0).any()
    assert torch.equal(distance, z)


def moving(samples=3, passes=5):
    """A slowly moving input, as an attack makes it."""
    x = batch(samples)
    direction = torch.rand_like(x) - 0.5
    return [x + 0.04 * k * direction for k in range(passes)]


DYNAMICS = [Dynamics(decay, 0.9, reset) for decay in (1.0, 0.5) for reset in ("hard", "soft")]


@pytest.mark.parametrize("architecture", [chain, repeated])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=str)
def test_a_network_has_the_gradients_of_naive_loops(architecture, detach_reset, dynamics):
    options = {k: getattr(dynamics, k) for k in ("decay", "threshold", "reset")}
    rule = ASSG(detach_reset=detach_reset)
    net = build(architecture, rule, **options)
    naive = Naive(net, dynamics, detach_reset)
    inputs = moving()
    for x in inputs:
        got = ascend(net, x)
        assert relative(got, ascend(lambda y: naive.logits(y, 4), x)) < 1e-10
    assert_different(got, ascend(build(architecture, rule, **options), inputs[-1]))


def test_earlier_passes_keep_their_slopes_when_later_ones_go_on():
    x = batch().requires_grad_()
    net = build()
    first, second = net(x), net(x)
    late = torch.autograd.grad(second.sum(), x)[0]
    early = torch.autograd.grad(first.sum(), x)[0]
    fresh = torch.autograd.grad(build()(x).sum(), x)[0]
    assert_equal(early, fresh)
    assert_different(late, fresh)


@pytest.mark.parametrize("move", [0.5, -0.5])
def test_a_sample_that_moved_by_exactly_a_half_goes_on(move):
    x = batch()
    x[:, 1, 0, 0] = 0.5
    there = x.clone()
    there[:, 1, 0, 0] += move
    got = ascend(warm(x), there)
    assert_equal(got, ascend(warm(x, rule=ASSG(restart=1e6)), there))
    assert_different(got, ascend(build(), there))
    there[:, 1, 0, 0] += 1e-5 * np.sign(move)
    assert_equal(ascend(warm(x), there), ascend(build(), there))


def walk(moves, rule=None):
    """The last gradient of a new network on a way that leads to x + move, move by move."""
    torch.manual_seed(varied(8))
    net, x = build(rule=rule), batch()
    return [ascend(net, x + move) for move in moves][-1]


@pytest.mark.parametrize(
    ("moves", "same", "other"),
    [
        # From the first pass, and not from the last.
        ([0, 0.45, -0.45, 0.45], ([0, 0.45, -0.45, 0.45], ASSG(restart=1e6)), ([0.45], None)),
        ([0, 0.2, 0.4, 0.6], ([0.6], None), ([0, 0.2, 0.4, 0.6], ASSG(restart=1e6))),
        # Where a sample starts afresh, its first input is another one, and it goes on from there.
        ([0, 0.6, 1.0], ([0.6, 1.0], None), ([1.0], None)),
        ([0, 0.1], ([0, 0.1], ASSG(restart=0.2)), ([0, 0.1], ASSG(restart=0))),
        ([0.1], ([0, 0.1], ASSG(restart=0)), ([0, 0.1], None)),
    ],
)
def test_the_distance_is_measured_from_the_first_pass(moves, same, other):
    assert_equal(walk(moves), walk(*same))
    assert_different(walk(moves), walk(*other))


def test_a_sample_that_is_no_number_starts_afresh_and_its_neighbours_go_on():
    x = batch()
    spoilt = x.clone()
    spoilt[1, 0, 0, 0] = math.nan
    net, undisturbed = warm(x), warm(x)
    ascend(net, spoilt)
    ascend(undisturbed, x)
    got, expected = ascend(net, x), ascend(undisturbed, x)
    assert_equal(got[[0, 2]], expected[[0, 2]])
    assert_equal(got[1], ascend(build(), x)[1])


def test_the_span_of_the_input_scales_the_distance():
    x = (255 * batch()).round()
    x[:, 0, 0, 0] = 100
    there = x.clone()

    def wide(passes):
        net = build()
        net.body.input_span = 255.0
        net.layers[0].module[1].weight.data.div_(255)
        for _ in range(passes):
            ascend(net, x)
        return net

    there[:, 0, 0, 0] = 227
    assert_different(ascend(wide(3), there), ascend(wide(0), there))
    there[:, 0, 0, 0] = 228
    assert_equal(ascend(wide(3), there), ascend(wide(0), there))


def test_a_classifier_tells_its_network_the_span_of_its_clip_values():
    net = build()
    assert net.body.input_span == 1
    wrapped = around(net, SHAPE, CLASSES, clip_values=(0, 255))
    assert net.body.input_span == 255
    wrapped.set_params(clip_values=(-1.0, 1.0))
    assert net.body.input_span == 2
    wrapped.set_params(clip_values=(np.array([0.0, -1.0]), np.array([1.0, 3.0])))
    assert net.body.input_span == 4
    around(net, SHAPE, CLASSES, clip_values=None)
    assert net.body.input_span == 4


def test_another_batch_size_starts_afresh():
    x = batch(4)
    net = warm(x)
    assert_equal(ascend(net, x[:3]), ascend(build(), x[:3]))
    assert_equal(ascend(net, x), ascend(build(), x))
    assert_different(ascend(net, x), ascend(build(), x))


def set_other_rule_between(net):
    net.gradient = STBP()
    net.gradient = ASSG()


def interrupt(net):
    def fail(x):
        raise ArithmeticError("broken layer")

    (switch,) = of(net, Switch)
    switch.action = fail
    with pytest.raises(ArithmeticError, match="broken layer"):
        ascend(net, batch())
    switch.action = None


def switched(neuron):
    layers = chain(neuron)
    return nn.Sequential(*layers[:2], Switch(), *layers[2:])


ACTIONS = {
    "forget": SpikingNetwork.forget,
    "equal rule": lambda net: setattr(net, "gradient", ASSG()),
    "other rule between": set_other_rule_between,
    "interrupt": interrupt,
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_a_rule_that_is_set_and_an_interrupted_pass_start_afresh(action):
    x = batch()
    net = warm(x, architecture=switched)
    assert len(net.body.memory) == 1
    action(net)
    assert net.body.memory == {}
    got = ascend(net, x)
    assert_equal(got, ascend(build(switched), x))
    assert_different(ascend(net, x), got)
