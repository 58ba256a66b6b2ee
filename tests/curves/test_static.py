"""Rates under a constant current: simulated, computed by hand, and against the rules' slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings, strategies as st

from art_snn import RGA, StaticCurve
from art_snn.curves import curves_of, rga_rate, static_rate
from art_snn.dynamics import Dynamics
from art_snn.gradients import RateGradient, Trace

STEPS = 300
KNIFE_EDGE = 1e-9
law = settings(deadline=None, derandomize=True, database=None, max_examples=100)
decays = st.one_of(st.just(1.0), st.floats(0.05, 0.9999))
thresholds = st.floats(0.1, 5)


def simulated(current: float, decay: float, threshold: float, steps: int = STEPS) -> list[int]:
    """Steps, counted from 1, at which a neuron fires."""
    currents = torch.full((steps, 1, 1), current, dtype=torch.float64)
    spikes = Dynamics(decay, threshold).simulate(currents).flatten()
    return [t + 1 for t in torch.nonzero(spikes).flatten().tolist()]


def boundaries(decay: float, threshold: float) -> np.ndarray:
    """Currents that reach the threshold in exactly 1, 2, ... steps, and the limit of them all."""
    charge = np.cumsum(decay ** np.arange(STEPS + 1))
    return np.append(threshold / charge, threshold * (1 - decay))


def slope(rule: RateGradient, current: float, decay: float, threshold: float) -> float:
    at = torch.full((1, 1, 1), current, dtype=torch.float64)
    return rule.slope(Trace(Dynamics(decay, threshold), at, at, None)).item()


@law
@given(decay=decays, threshold=thresholds, share=st.floats(-0.5, 2))
def test_the_rate_is_that_of_a_neuron_simulated_from_rest(decay, threshold, share):
    # Within 1e-9 of a current that just reaches the threshold, rounding decides the simulation.
    current = share * threshold
    assume((np.abs(current - boundaries(decay, threshold)) > KNIFE_EDGE * threshold).all())
    rate = static_rate(current, decay, threshold).item()
    times = simulated(current, decay, threshold)
    if not times:
        assert rate < 1 / STEPS
    else:
        assert rate == 1 / times[0]
        assert times == list(range(times[0], STEPS + 1, times[0]))


@law
@given(decay=st.floats(0.05, 0.95), threshold=thresholds, distance=st.floats(0.01, 0.99))
def test_leaky_neurons_fire_just_above_the_knee_and_never_below(decay, threshold, distance):
    knee = (1 - decay) * threshold
    below, above = static_rate([knee * (1 - distance), knee * (1 + distance)], decay, threshold)
    assert below == 0
    assert above > 0
    assert simulated(knee * (1 + distance), decay, threshold, steps=100)
    assert not simulated(knee * (1 - distance), decay, threshold, steps=100)


@pytest.mark.parametrize(
    ("decay", "currents", "rates"),
    [
        (1.0, [0.25, 0.26, 0.5, 0.7, 1, 3], [1 / 4, 1 / 4, 1 / 2, 1 / 2, 1, 1]),
        (0.5, [0.3, 0.5, 0.55, 0.9, 1.5], [0, 0, 0.25, 0.5, 1]),
        (0.9, [0.1, 0.15, 0.3], [0, 1 / 11, 0.25]),
    ],
)
def test_the_rates_are_those_computed_by_hand(decay, currents, rates):
    assert static_rate(currents, decay).tolist() == rates
    assert static_rate(np.array(currents) * 0.7, decay, 0.7).tolist() == rates


def test_a_current_that_reaches_the_threshold_exactly_fires_at_that_step():
    steps = np.arange(1, 5000)
    assert (static_rate(1 / steps, 1.0) == 1 / steps).all()
    assert (static_rate(0.3 / steps, 1.0, 0.3) == 1 / steps).all()
    for decay in (0.9, 0.75, 0.3, 0.999):
        steps = np.arange(1, int(math.log(1e-5) / math.log(decay)))
        exactly = (1 - decay) / (1 - decay**steps)
        assert (static_rate(exactly, decay) == 1 / steps).all()
        assert (static_rate(exactly * (1 - 1e-9), decay) == 1 / (steps + 1)).all()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("threshold", [1.0, 0.3, 0.7, 2.7])
def test_the_rate_is_one_at_the_threshold_and_none_at_the_current_that_never_quite_reaches_it(
    threshold, whole
):
    for decay in np.linspace(0.01, 1, 200).tolist():
        assert static_rate(threshold, decay, threshold, whole_steps=whole) == 1
    for decay in (0.9, 0.75, 0.3, 0.1, 0.7):
        knee = round(1 - decay, 12) * threshold
        assert static_rate(knee, decay, threshold, whole_steps=whole) == 0


def test_double_precision_misses_the_threshold_where_the_curve_does_not():
    assert sum([0.1] * 10) < 1
    assert simulated(0.1, 1.0, 1.0)[0] == 11
    assert static_rate(0.1, 1.0) == 0.1


@law
@given(decay=decays, threshold=thresholds, shares=st.lists(st.floats(-1, 3), min_size=2))
def test_rates_rise_with_the_current_and_whole_steps_only_lower_them(decay, threshold, shares):
    currents = np.sort(shares) * threshold
    whole = static_rate(currents, decay, threshold)
    smooth = static_rate(currents, decay, threshold, whole_steps=False)
    for rates in (whole, smooth, rga_rate(currents, RGA(beta=2, gamma=0.1), decay, threshold)):
        assert (np.diff(rates) >= -1e-12).all()
        assert ((rates >= 0) & (rates <= 1 + 1e-12)).all()
        assert (rates[currents < 0] == 0).all()
    # At the knee the slope is infinite, and rounding forgiven to the one curve is no small change.
    away = np.abs(currents - (1 - decay) * threshold) > 1e-6 * threshold
    assert (whole <= smooth * (1 + 1e-5))[away].all()
    assert (smooth[currents >= threshold] == 1).all()
    assert (whole[currents >= threshold] == 1).all()


@law
@given(decay=decays, threshold=thresholds, place=st.floats(0.01, 0.99))
def test_the_smooth_rate_has_the_slope_of_the_static_curve(decay, threshold, place):
    knee = (1 - decay) * threshold
    current = knee + place * (threshold - knee)
    step = 1e-5 * (current - knee)
    ends = [current - step, current + step]
    low, high = static_rate(ends, decay, threshold, whole_steps=False)
    uncut = StaticCurve(limit=math.inf)
    expected = slope(uncut, current, decay, threshold)
    assert (high - low) / (2 * step) == pytest.approx(expected, rel=1e-4)


@law
@given(
    decay=decays,
    threshold=thresholds,
    place=st.floats(-1, 6),
    beta=st.floats(0.5, 4),
    gamma=st.floats(0, 0.3),
)
def test_the_polyline_has_the_slope_of_rga(decay, threshold, place, beta, gamma):
    assume(beta > 1 - decay + 0.01)
    assume(gamma * threshold * (1 - decay) < 0.99)
    rule, current, step = RGA(beta=beta, gamma=gamma), place * threshold, 1e-6 * threshold
    corners = np.array([0, (1 - decay) * threshold, beta * threshold])
    assume((np.abs(current - corners) > 2 * step).all())
    low, high = rga_rate([current - step, current + step], rule, decay, threshold)
    expected = slope(rule, current, decay, threshold)
    assert (high - low) / (2 * step) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
def test_the_polyline_passes_through_its_corners(decay):
    currents = np.array([-3, 0, (1 - decay) * 0.5, 1.0, 7])
    rates = rga_rate(currents, RGA(), decay, 0.5)
    assert rates == pytest.approx([0, 0, 0.2 * (1 - decay) * 0.5, 1, 1], abs=1e-15)


@pytest.mark.parametrize("function", [static_rate, rga_rate])
def test_shape_is_kept_and_the_result_is_in_double_precision(function):
    for current in (0.6, 1, np.full((2, 3), 0.6, np.float32), np.zeros((0, 2)), np.ones(3, int)):
        rates = function(current)
        assert isinstance(rates, np.ndarray)
        assert (rates.shape, rates.dtype) == (np.shape(current), np.float64)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_infinite_and_vanishing_currents_have_a_rate_too(decay, whole):
    currents = np.array([math.inf, -math.inf, 5e-324, 0.0, 1e300])
    assert static_rate(currents, decay, whole_steps=whole).tolist() == [1, 0, 0, 0, 1]


def test_the_three_curves_are_those_of_the_neuron():
    curves, rule = curves_of(0.9, 2.0, RGA(beta=3.0)), RGA(beta=3.0)
    currents = np.linspace(-1, 7, 801)
    assert list(curves) == ["static", "static, smooth", "RGA"]
    whole, smooth, polyline = (curve(currents) for curve in curves.values())
    assert (whole == static_rate(currents, 0.9, 2.0)).all()
    assert (smooth == static_rate(currents, 0.9, 2.0, whole_steps=False)).all()
    assert (polyline == rga_rate(currents, rule, 0.9, 2.0)).all()
    assert len({rates.tobytes() for rates in (whole, smooth, polyline)}) == 3


NO_NUMBERS = (torch.ones(2), "0.5", None, np.array([1j]), np.array([True]))


@pytest.mark.parametrize("function", [static_rate, rga_rate])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"current": value}, r"current: .*real numbers") for value in NO_NUMBERS),
        ({"current": [0.5, math.nan]}, "current: .*got NaN"),
        ({"decay": 0}, "decay: .*above 0 and at most 1, got 0"),
        ({"decay": 1.5}, r"decay: .*got 1\.5"),
        ({"threshold": 0}, "threshold: .*above 0, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(function, change, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        function(**{"current": 0.5} | change)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (RGA(beta=0.5), r"beta: .*1 - decay = 0\.5"),
        (RGA(gamma=2), r"gamma: .*gamma \* threshold \* \(1 - decay\) below 1"),
    ],
)
def test_a_polyline_that_does_not_fit_the_neuron_is_refused(rule, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        rga_rate(0.5, rule, 0.5, 1.0)
