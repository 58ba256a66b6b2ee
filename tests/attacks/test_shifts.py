"""How far spikes were moved, against every way to match them."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks import shifts

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
