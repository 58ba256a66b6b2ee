"""Gradients on the check vector, computed by hand for every rule that is no average of others."""

import math

import pytest
import torch

from art_snn import BPTR, HART, RGA, STBP, StaticCurve
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef, StraightThrough, Triangle
from tests.gradients.ways import AT_SPIKES, on_the_check_vector


def times(factor: float) -> list[float]:
    """The gradient at the spikes times a slope that is the same at every step."""
    return [factor * g for g in AT_SPIKES.tolist()]


IF_HARD, IF_SOFT = {"decay": 1.0, "reset": "hard"}, {"decay": 1.0, "reset": "soft"}
LIF_HARD, LIF_SOFT = {"decay": 0.5, "reset": "hard"}, {"decay": 0.5, "reset": "soft"}
DETACHED, STRAIGHT = STBP(detach_reset=True), STBP(surrogate=StraightThrough())
NARROW = HART(surrogate=Triangle(0.5))
# The mean current is .7625; the knee is .625 and 1 - .625 / .7625 is .180328.
CURVE = math.log(2) * 0.625 / (math.log(0.1803279) ** 2 * 0.7625 * 0.1375)
ROWS = [
    *((BPTR(), neuron, times(1)) for neuron in (IF_HARD, IF_SOFT, LIF_HARD, LIF_SOFT)),
    (BPTR(), {"threshold": 3.0}, times(0)),
    *((RGA(), IF_HARD, times(0.5)), (RGA(), LIF_HARD, times(0.6))),
    (StaticCurve(), IF_HARD, times(1)),
    (StaticCurve(), LIF_HARD | {"threshold": 1.25}, times(CURVE)),
    *((HART(), IF_HARD, [0.3125] * 4), (NARROW, IF_HARD, [0.175] * 4)),
    *((HART(), LIF_HARD, [0.275] * 4), (NARROW, LIF_HARD, [0.025] * 4)),
    *((HART(), IF_SOFT, [0.58125] * 4), (HART(), LIF_SOFT, [0.34375] * 4)),
    (STBP(), IF_HARD, [0.66656, 0.104, -0.472, 0.7]),
    (STBP(), LIF_HARD, [0.49289, -0.33472, -0.136, 0.7]),
    (STBP(), IF_SOFT, [0.781, 0.4525, 1.405, 1.9]),
    (STBP(), LIF_SOFT, [0.5265, -0.3675, 0.325, 1.0]),
    (DETACHED, IF_HARD, [0.35, -0.25, 0.2, 0.7]),
    (DETACHED, LIF_HARD, [0.4, -0.4, 0.2, 0.7]),
    (DETACHED, IF_SOFT, [2.325, 1.725, 1.975, 1.9]),
    (DETACHED, LIF_SOFT, [0.56875, -0.0625, 0.675, 1.0]),
    # d = g + decay d' ((1 - s) - u), d' that of the next step; the second and third fire.
    (STRAIGHT, IF_HARD, [2.09, 2.725, -2.15, 2]),
    (STRAIGHT, LIF_HARD, [1.014, 0.07, -0.95, 2]),
    # d = g + decay d' (1 - threshold)
    (STRAIGHT, IF_SOFT, times(1)),
]


@pytest.mark.parametrize(("rule", "neuron", "d"), ROWS)
def test_the_gradient_is_the_one_computed_by_hand(rule, neuron, d):
    assert on_the_check_vector(rule, **neuron) == pytest.approx(d, abs=6e-6)


@pytest.mark.parametrize(("detach", "d"), [(False, [0.875, 0.5, 0.5]), (True, [1.5, 1.0, 0.5])])
def test_a_potential_at_exactly_the_threshold_counts_as_a_spike(detach, d):
    current = torch.full((3, 1, 1), 0.5, requires_grad=True)
    spikes = STBP(detach_reset=detach).firing()(NeuronRef("", Dynamics(1.0)), current)
    assert spikes.flatten().tolist() == [0, 1, 0]
    spikes.sum().backward()
    assert current.grad.flatten().tolist() == d
