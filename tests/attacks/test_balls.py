"""Balls: projections, starts and steps."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks.measures import EUCLIDEAN, MAXIMUM, Ball


def around(measure, eps, seed):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    ends = torch.tensor(0.0), torch.tensor(1.0)
    return Ball(measure, eps, centre, *ends), generator


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([MAXIMUM, EUCLIDEAN]), st.floats(1e-3, 3), st.integers(0, 2**31))
def test_points_are_projected_into_the_ball_and_the_range(measure, eps, seed):
    ball, generator = around(measure, eps, seed)
    far = 5 * torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    for found in (ball.project(far), ball.start(far), ball.project(ball.centre)):
        assert float(measure.length(found - ball.centre).max()) <= eps * (1 + 1e-9)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(ball.project(ball.centre), ball.centre)


def test_values_by_hand():
    centre = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    ends = torch.tensor(0.0), torch.tensor(1.0)
    moved = centre + torch.tensor([[0.3, -0.4], [0.3, -0.4]])
    cube, sphere = Ball(MAXIMUM, 0.2, centre, *ends), Ball(EUCLIDEAN, 0.25, centre, *ends)
    torch.testing.assert_close(cube.project(moved), torch.tensor([[0.7, 0.3], [1.0, 0.0]]))
    torch.testing.assert_close(sphere.project(moved), torch.tensor([[0.65, 0.3], [1.0, 0.0]]))
    change = torch.tensor([[0.3, -0.4]])
    torch.testing.assert_close(cube.step(change, 0.35), torch.tensor([[0.3, -0.35]]))
    torch.testing.assert_close(sphere.step(change, 0.25), torch.tensor([[0.15, -0.2]]))
    torch.testing.assert_close(sphere.step(change, 0.6), change)


def test_a_start_lies_at_the_rim():
    ball, generator = around(MAXIMUM, 0.01, 0)
    start = ball.start(torch.randn(3, 2, 4, generator=generator, dtype=torch.float64))
    assert float((ball.project(start) - ball.centre).abs().max()) == pytest.approx(0.01)
    assert torch.equal(ball.start(torch.zeros(3, 2, 4, dtype=torch.float64)), ball.centre)
