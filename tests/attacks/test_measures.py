"""Norms, their budgets and balls, by hand; shifts of spikes against every way to match them."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks import shifts
from art_snn.attacks.measures import (
    EUCLIDEAN,
    FLIPS,
    MAXIMUM,
    MEASURES,
    SHIFT,
    SIZES,
    Ball,
    require_measure,
)

NORMS = {
    MAXIMUM: [np.inf, "inf", MAXIMUM],
    EUCLIDEAN: [2, 2.0, "2", EUCLIDEAN],
    FLIPS: [0, 0.0, "0", FLIPS],
    SHIFT: ["shift", SHIFT],
}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.id)
def test_a_measure_has_a_norm_and_a_text(measure):
    for norm in NORMS[measure]:
        assert require_measure(norm) is measure
        if measure in SIZES:
            assert require_measure(norm, SIZES) is measure
        else:
            with pytest.raises(ValueError, match=r"^norm:.*numpy.inf or 2, got "):
                require_measure(norm, SIZES)


@pytest.mark.parametrize("norm", [1, -np.inf, True, False, None, "max", [2], np.nan])
@pytest.mark.parametrize("among", [MEASURES, SIZES])
def test_other_norms_are_refused(among, norm):
    with pytest.raises(ValueError, match=r"^norm:.*numpy.inf.*got "):
        require_measure(norm, among)


@pytest.mark.parametrize("eps", [0, -1, np.inf, np.nan, "1", None, True])
@pytest.mark.parametrize("measure", [MAXIMUM, FLIPS, SHIFT], ids=lambda one: one.id)
def test_budgets_are_numbers_above_0_and_whole_where_things_are_counted(measure, eps):
    words = "whole number.* counted" if measure.counted else r"above 0.* 8/255"
    with pytest.raises(ValueError, match=rf"^eps:.*{words}"):
        measure.require_budget(eps)
    if measure.counted:
        with pytest.raises(ValueError, match=rf"^eps:.*{words}"):
            measure.require_budget(0.5)


def test_distances_by_hand():
    x = torch.tensor([[[0.0, 1], [1, 0], [0, 0]], [[1.0, 0], [0, 0], [0, 0]]])
    other = torch.tensor([[[0.0, 0], [0, 0], [1, 1]], [[1.0, 0], [0, 0], [0, 0]]])
    # One spike of the first place moves from step 1 to 2, that of the second one from 0 to 2.
    for measure, distance in {MAXIMUM: 1, EUCLIDEAN: 2, FLIPS: 4, SHIFT: 2}.items():
        assert measure.distances(x, other, 0).tolist() == [distance, 0]
    assert SHIFT.distances(x - 1, other - 1, -1).tolist() == [2, 0]


ENDS = torch.tensor(0.0), torch.tensor(1.0)


def around(measure, eps, seed):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    return Ball(measure, eps, centre, *ENDS), generator


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([MAXIMUM, EUCLIDEAN]), st.floats(1e-3, 3), st.integers(0, 2**31))
def test_points_are_projected_into_the_ball_and_the_range(measure, eps, seed):
    ball, generator = around(measure, eps, seed)
    far = 5 * torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    for found in (ball.project(far), ball.start(far), ball.project(ball.centre)):
        assert float(measure.length(found - ball.centre).max()) <= eps * (1 + 1e-9)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(ball.project(ball.centre), ball.centre)


def test_projections_and_steps_by_hand():
    centre = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    moved = centre + torch.tensor([[0.3, -0.4], [0.3, -0.4]])
    cube, sphere = Ball(MAXIMUM, 0.2, centre, *ENDS), Ball(EUCLIDEAN, 0.25, centre, *ENDS)
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


STEPS = 6


def frames(*places):
    """One sample [1, T, places] of the times at which every place spikes."""
    found = np.zeros((1, STEPS, len(places)))
    for place, times in enumerate(places):
        np.add.at(found, (0, list(times), place), 1)
    return found


def test_shifts_are_those_computed_by_hand():
    # The first place: 0 to 2 and 3 to 4; the second: 5 to 1; the third stays.
    found = shifts(frames([0, 3], [5], [2, 2]), frames([2, 4], [1], [2, 2]))
    assert (found.largest.tolist(), found.total.tolist(), found.moved.tolist()) == ([4], [7], [3])


pairs = st.lists(st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS - 1)), max_size=5)


@settings(deadline=None)
@given(st.lists(pairs, min_size=1, max_size=3))
def test_no_match_of_the_spikes_of_a_place_has_a_smaller_sum_or_maximum(places):
    before = [[a for a, _ in spikes] for spikes in places]
    after = [[b for _, b in spikes] for spikes in places]
    largest = total = 0
    for clean, other in zip(before, after, strict=True):
        orders = permutations(other)
        ways = [[abs(a - b) for a, b in zip(clean, order, strict=True)] for order in orders]
        largest = max(largest, min(max(way, default=0) for way in ways))
        total += min(sum(way) for way in ways)
    clean, adversarial = frames(*before), frames(*after)
    found = shifts(clean, adversarial)
    assert (found.largest.tolist(), found.total.tolist()) == ([largest], [total])
    assert found.moved.tolist() == [int(np.maximum(clean - adversarial, 0).sum())]


def test_every_sample_has_its_own_and_the_library_and_the_lowest_value_do_not_matter():
    clean = np.concatenate((frames([0], [1]), frames([2], [3])))
    moved = np.concatenate((frames([0], [1]), frames([5], [2])))
    for low in (0, -1, 0.1):
        for made in (np.asarray, torch.as_tensor, lambda x: torch.as_tensor(x).float()):
            found = shifts(made(clean + low), made(moved + low), low)
            assert [told.tolist() for told in found] == [[0, 3], [0, 4], [0, 2]]


@pytest.mark.parametrize(
    ("clean", "adversarial", "message"),
    [
        (frames([1]) / 3, frames([1]), r"^clean:.*whole numbers of spikes.* 0\.333"),
        (frames([1]), frames([1]) - 2, r"^adversarial:.*whole numbers"),
        (frames([1]), frames([1], [1]), r"^adversarial:.*shape \(1, 6, 1\), got \(1, 6, 2\)"),
        (frames([1], []), frames([], [1]), r"^adversarial:.*as many spikes"),
    ],
)
def test_frames_that_are_no_retiming_of_others_are_refused(clean, adversarial, message):
    with pytest.raises(ValueError, match=message):
        shifts(clean, adversarial)
