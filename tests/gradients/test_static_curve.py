"""StaticCurve: the derivative of the rate that a constant current causes, and where it is cut."""

import math

import pytest
import torch

from art_snn import StaticCurve
from art_snn.dynamics import Dynamics
from art_snn.gradients import Trace

UNCUT = StaticCurve(limit=math.inf)


def slope_at(currents, rule=UNCUT, decay=0.5, threshold=1.0):
    current = torch.as_tensor(currents)
    slope = rule.slope(Trace(Dynamics(decay, threshold), current.view(1, 1, -1), current, None))
    assert slope.shape == (1, 1, current.numel())
    assert slope.dtype == current.dtype
    return slope.flatten().tolist()


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def rate(current, decay, threshold):
    return math.log(decay) / math.log(1 - threshold * (1 - decay) / current)


@pytest.mark.parametrize("threshold", [1.0, 0.5])
@pytest.mark.parametrize("decay", [0.9, 0.5, 0.25])
def test_the_integral_from_the_knee_to_the_threshold_tends_to_one(decay, threshold):
    knee = (1 - decay) * threshold
    integrals = []
    for nearest in (1e-2, 1e-5, 1e-9):
        # Points crowd at the knee, where the slope diverges.
        gaps = torch.logspace(math.log10(nearest), 0, 200_001, dtype=torch.float64)
        currents = (knee + gaps * (threshold - knee)).clamp(max=threshold)
        slopes = doubles(*slope_at(currents, UNCUT, decay, threshold))
        integrals.append(torch.trapezoid(slopes, currents).item())
        missing = rate(currents[0].item(), decay, threshold)
        assert integrals[-1] == pytest.approx(1 - missing, abs=1e-6)
    assert integrals[0] < integrals[1] < integrals[2] < 1
    # What is missing, ln(decay) / ln(distance from the knee), goes to zero slowly.
    assert 1 - integrals[2] < 0.08


@pytest.mark.parametrize("rule", [StaticCurve(), UNCUT], ids=repr)
@pytest.mark.parametrize("threshold", [1.0, 0.3])
@pytest.mark.parametrize("decay", [0.9, 0.5, 0.25])
def test_the_slope_is_zero_outside_the_curve_and_not_at_its_end(decay, threshold, rule):
    knee = (1 - decay) * threshold
    outside = doubles(-5, -knee, 0, knee / 2, knee, threshold * (1 + 1e-9), 9)
    assert slope_at(outside, rule, decay, threshold) == [0] * 7
    assert slope_at(doubles(threshold), rule, decay, threshold)[0] > 0
