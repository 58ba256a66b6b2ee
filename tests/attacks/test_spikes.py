"""Where spikes may go, and who goes where, against naive loops."""

import numpy as np
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks.spike_retiming import _running_sums, _Spikes


def spikes_of(counts, most=1, furthest=1):
    """Spikes of counts [n, T, P], and nothing else to know of."""
    table = torch.as_tensor(counts)
    return _Spikes(table, torch.full_like(table, most), furthest)


def column(*counts):
    """One sample of one place."""
    return np.array(counts).reshape(1, -1, 1)


def test_sums_run_within_groups_in_the_order_of_the_elements():
    groups, amounts = torch.tensor([2, 0, 2, 1, 0, 2]), torch.tensor([5, 1, 0, 4, 2, 3])
    assert _running_sums(groups, amounts).tolist() == [5, 1, 5, 4, 3, 8]
    assert _running_sums(groups[:0], amounts[:0]).tolist() == []


def test_a_count_of_two_is_two_spikes_and_shifts_end_within_the_frames():
    spikes = spikes_of(column(2, 0, 1, 1), most=3, furthest=2)
    assert spikes.cells[:, 0].tolist() == [0, 0, 2, 3]
    # In the order 0, -1, 1, -2, 2: from step 0 to 1 and 2, from 2 to 0, 1 and 3, from 3 to 1 and 2.
    assert spikes.open.tolist() == [
        [True, False, True, False, True],
        [True, False, True, False, True],
        [True, True, True, True, False],
        [True, True, False, True, False],
    ]
    assert spikes.room.tolist() == [1, 3, 2, 2]


def naive(counts, cells, is_open, distance, gain, most, moved, total):
    """The rounds in loops, for one sample; which shift every spike takes."""
    taken = [0] * len(cells)
    room = [most - count for count in counts]
    moved, total = (10**6 if budget is None else budget for budget in (moved, total))
    while True:
        asks = []
        for spike, targets in enumerate(cells):
            choices = [
                (gain[spike][k], -k)
                for k, cell in enumerate(targets)
                if is_open[spike][k] and gain[spike][k] > 0
                if room[cell] > 0 and distance[k] <= total
            ]
            if not taken[spike] and choices and moved > 0:
                best, k = max(choices)
                asks.append((-best, spike, -k))
        if not asks:
            return taken
        left, allowed = list(room), []
        for _, spike, k in sorted(asks):
            cell = cells[spike][k]
            if left[cell] > 0:
                left[cell] -= 1
                allowed.append((spike, k))
        for spike, k in allowed:
            if moved < 1 or distance[k] > total:
                break
            taken[spike] = k
            room[cells[spike][k]] -= 1
            room[cells[spike][0]] += 1
            moved, total = moved - 1, total - distance[k]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_spikes_go_where_naive_loops_send_them(data):
    draw = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    most, furthest = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    moved, total = (data.draw(st.none() | st.integers(1, 6)) for _ in range(2))
    samples, steps, places = 3, data.draw(st.integers(1, 6)), 2
    counts = draw.integers(0, most + 1, (samples, steps, places))
    spikes = spikes_of(counts, most, furthest)
    # Gains in eighths, of which many are equal.
    gain = torch.as_tensor(draw.integers(-4, 9, spikes.cells.shape)) / 8
    gain[:, 0] = 0
    taken = spikes.retime(gain, moved, total)
    worth = gain if total is None else gain / spikes.distance.clamp_min(1)
    size = steps * places
    for sample in range(samples):
        its = spikes.sample == sample
        wanted = naive(
            counts[sample].ravel().tolist(),
            (spikes.cells[its] - sample * size).tolist(),
            spikes.open[its].tolist(),
            spikes.distance.tolist(),
            worth[its].tolist(),
            most,
            moved,
            total,
        )
        assert taken[its].tolist() == wanted
    left = torch.as_tensor(counts).flatten() + spikes.change(taken)
    assert ((left >= 0) & (left <= most)).all()
    assert left.view(samples, steps, places).sum(1).tolist() == counts.sum(1).tolist()


def test_the_slopes_are_those_of_plain_autograd_up_to_the_largest_one():
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 3, (2, 5, 4), generator=draw)
    spikes = spikes_of(counts, most=2, furthest=2)
    scores = torch.randn(spikes.cells.shape, generator=draw, dtype=torch.float64)
    scores = scores.masked_fill(~spikes.open, -torch.inf).requires_grad_()
    gradient = torch.randn(2, 5, 4, generator=draw, dtype=torch.float64)
    expected = torch.zeros(40, dtype=torch.float64).index_add(
        0, spikes.cells.flatten(), scores.softmax(1).flatten()
    )
    (slopes,) = torch.autograd.grad((expected * gradient.flatten()).sum(), scores)
    for sample in range(2):
        its = spikes.sample == sample
        slopes[its] /= slopes[its].abs().max()
    torch.testing.assert_close(spikes.ascent(scores.detach(), gradient), slopes)
