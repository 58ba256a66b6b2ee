"""STBP: hand-computed values, and plain autograd through naive loops."""

import pytest
import torch

from art_snn import STBP
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef, StraightThrough

CURRENT = torch.tensor([0.6, 0.9, 1.2, 0.35], dtype=torch.float64).view(4, 1, 1)
AT_SPIKES = torch.tensor([1, -0.5, 0.25, 2], dtype=torch.float64).view(4, 1, 1)

# decay, reset, d, d with a detached reset
TABLE = [
    (1.0, "hard", [0.66656, 0.104, -0.472, 0.7], [0.35, -0.25, 0.2, 0.7]),
    (0.5, "hard", [0.49289, -0.33472, -0.136, 0.7], [0.4, -0.4, 0.2, 0.7]),
    (1.0, "soft", [0.781, 0.4525, 1.405, 1.9], [2.325, 1.725, 1.975, 1.9]),
    (0.5, "soft", [0.5265, -0.3675, 0.325, 1.0], [0.56875, -0.0625, 0.675, 1.0]),
]


def gradient_at_current(rule, dynamics):
    current = CURRENT.clone().requires_grad_()
    spikes = rule.firing()(NeuronRef("", dynamics), current)
    spikes.backward(AT_SPIKES)
    return current.grad.flatten().tolist()


@pytest.mark.parametrize(("decay", "reset", "d", "detached"), TABLE)
def test_the_gradient_is_the_one_computed_by_hand(decay, reset, d, detached):
    dynamics = Dynamics(decay, 1.0, reset)
    assert gradient_at_current(STBP(), dynamics) == pytest.approx(d, abs=6e-6)
    cut = STBP(detach_reset=True)
    assert gradient_at_current(cut, dynamics) == pytest.approx(detached, abs=6e-6)


@pytest.mark.parametrize(("detach", "d"), [(False, [0.875, 0.5, 0.5]), (True, [1.5, 1.0, 0.5])])
def test_a_potential_at_exactly_the_threshold_counts_as_a_spike(detach, d):
    current = torch.full((3, 1, 1), 0.5, requires_grad=True)
    spikes = STBP(detach_reset=detach).firing()(NeuronRef("", Dynamics(1.0)), current)
    assert spikes.flatten().tolist() == [0, 1, 0]
    spikes.sum().backward()
    assert current.grad.flatten().tolist() == d


@pytest.mark.parametrize(
    ("decay", "reset", "d"),
    [
        # d = g + decay d' ((1 - s) - u), d' that of the next step; the second and third fire.
        (1.0, "hard", [2.09, 2.725, -2.15, 2]),
        (0.5, "hard", [1.014, 0.07, -0.95, 2]),
        # d = g + decay d' (1 - threshold)
        (1.0, "soft", [1, -0.5, 0.25, 2]),
    ],
)
def test_straight_through_gradients_are_those_computed_by_hand(decay, reset, d):
    rule = STBP(surrogate=StraightThrough())
    got = gradient_at_current(rule, Dynamics(decay, 1.0, reset))
    assert got == pytest.approx(d, rel=1e-12)
