"""Curves of rules: the rate over the current, and activations that stand for neurons."""

import math

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st

from art_snn import CBA, IF, LIF, RGA, Direct, RectifiedANN, SpikingNetwork, StaticCurve
from art_snn.dynamics import Dynamics
from art_snn.gradients import Trace
from tests.architectures import chain, network

law = settings(deadline=None, derandomize=True, database=None, max_examples=150)
UNCUT = StaticCurve(limit=math.inf)


def slope_at(current, rule, decay, threshold):
    current = torch.as_tensor(current, dtype=torch.float64).view(1, 1, -1)
    slope = rule.slope(Trace(Dynamics(decay, threshold), current, current, None))
    assert slope.shape == current.shape
    assert slope.dtype == current.dtype
    return slope.flatten().tolist()


@pytest.mark.parametrize("threshold", [1.0, 0.5])
@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5, 0.25])
def test_the_slope_is_gamma_up_to_the_current_that_can_fire_and_zero_outside(decay, threshold):
    knee, rule = (1 - decay) * threshold, RGA(beta=1.5, gamma=0.1)
    assert slope_at([0.0, knee / 2, knee], rule, decay, threshold) == [0.1] * 3
    outside = [-1e-6, -3.0, 1.5 * threshold + 1e-6, 9.0]
    assert slope_at(outside, rule, decay, threshold) == [0] * 4


@law
@given(
    beta=st.floats(0.1, 5),
    gamma=st.one_of(st.just(0.0), st.floats(1e-3, 3)),
    decay=st.floats(0.01, 1),
    threshold=st.floats(0.05, 5),
)
def test_the_integral_of_the_slope_up_to_beta_thresholds_is_one(beta, gamma, decay, threshold):
    assume(beta > 1 - decay + 0.02)
    assume(gamma * threshold * (1 - decay) < 0.99)
    cells = 20_000
    width = beta * threshold / cells
    midpoints = (torch.arange(cells, dtype=torch.float64) + 0.5) * width
    slopes = slope_at(midpoints, RGA(beta=beta, gamma=gamma), decay, threshold)
    # The only error of the midpoint rule is made in the cell of the jump.
    assert sum(slopes) * width == pytest.approx(1, abs=1e-9 + width * max(*slopes, gamma))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (RGA(beta=0.5), r"beta: .*more than 1 - decay = 0\.5 .* threshold 2, got 0\.5\. Raise"),
        (RGA(gamma=1.0), r"gamma: .*below 1 .* decay 0\.5 and threshold 2, got gamma = 1\. Lower"),
    ],
)
def test_hyperparameters_that_do_not_fit_the_neuron_are_refused_with_the_remedy(rule, message):
    with pytest.raises(ValueError, match=rf"^gradient: .*: {message}"):
        network(chain, gradient=rule, threshold=2.0, decay=0.5)


@pytest.mark.parametrize("threshold", [1.0, 0.5])
@pytest.mark.parametrize("decay", [0.9, 0.5, 0.25])
def test_that_of_the_static_curve_from_the_knee_to_the_threshold_tends_to_one(decay, threshold):
    knee = (1 - decay) * threshold
    integrals = []
    for nearest in (1e-2, 1e-5, 1e-9):
        # Points crowd at the knee, where the slope diverges.
        gaps = torch.logspace(math.log10(nearest), 0, 200_001, dtype=torch.float64)
        currents = (knee + gaps * (threshold - knee)).clamp(max=threshold)
        slopes = torch.tensor(slope_at(currents, UNCUT, decay, threshold)).double()
        integrals.append(torch.trapezoid(slopes, currents).item())
        missing = math.log(decay) / math.log(1 - knee / currents[0].item())
        assert integrals[-1] == pytest.approx(1 - missing, abs=1e-6)
    assert integrals[0] < integrals[1] < integrals[2] < 1
    # What is missing, ln(decay) / ln(distance from the knee), goes to zero slowly.
    assert 1 - integrals[2] < 0.08


@pytest.mark.parametrize("rule", [StaticCurve(), UNCUT], ids=repr)
@pytest.mark.parametrize("threshold", [1.0, 0.3])
@pytest.mark.parametrize("decay", [0.9, 0.5, 0.25])
def test_its_slope_is_zero_outside_the_curve_and_not_at_its_end(decay, threshold, rule):
    knee = (1 - decay) * threshold
    outside = [-5, -knee, 0, knee / 2, knee, threshold * (1 + 1e-9), 9]
    assert slope_at(outside, rule, decay, threshold) == [0] * 7
    assert slope_at([threshold], rule, decay, threshold)[0] > 0


def activation(currents, levels=8, threshold=1.0):
    """Values and slopes of the activation at the currents."""
    net = SpikingNetwork(IF(threshold), Direct(1), CBA(levels=levels)).to(torch.float64)
    x = torch.tensor(currents, dtype=torch.float32).view(1, -1).requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return y.flatten().tolist(), slope.flatten().tolist()


@pytest.mark.parametrize("threshold", [1.0, 2.0])
@pytest.mark.parametrize(
    ("levels", "values"),
    [
        (8, [0, 0, 0, 0.125, 0.25, 0.5, 0.625, 1, 1, 1]),
        (4, [0, 0, 0, 0, 0.25, 0.5, 0.5, 1, 1, 1]),
        (1, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
    ],
)
def test_the_activation_is_rounded_to_the_nearest_of_its_levels(levels, values, threshold):
    scaled = [-0.75, 0, 0.0624, 0.0625, 0.1875, 0.5, 0.6, 0.96875, 1, 3]
    got, _ = activation([x * threshold for x in scaled], levels, threshold)
    assert got == values


@law
@given(
    share=st.floats(-0.5, 1.5),
    levels=st.integers(1, 20),
    threshold=st.floats(0.1, 5),
    steps=st.integers(1, 40),
)
def test_the_activation_is_near_the_rate_of_an_if_neuron(share, levels, threshold, steps):
    current = torch.full((steps, 1, 1), share * threshold, dtype=torch.float64)
    rate = Dynamics(1.0, threshold, "soft").simulate(current).mean().item()
    ((value,), _) = activation([share * threshold], levels, threshold)
    # Spikes come in steps of 1/T, levels in steps of 1/L, rounded to the nearest.
    assert abs(value - rate) <= 1 / steps + 0.5 / levels + 1e-5


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_that_of_a_relu_network_is_a_line_from_zero_on(threshold, decay):
    net = SpikingNetwork(LIF(decay, threshold), Direct(1), RectifiedANN()).double()
    scaled = torch.tensor([[-2.0, -0.125, 0, 0.125, 0.5, 1, 3]]).double()
    x = (scaled * threshold).requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == [[0, 0, 0, 0.125, 0.5, 1, 3]]
    assert slope.tolist() == [[0, 0, 0, *[1 / threshold] * 4]]
