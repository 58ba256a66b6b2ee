"""Spike retiming: where spikes may go and who goes where, against naive loops; what it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks import SpikeRetiming, shifts
from art_snn.attacks.queries import margin
from art_snn.attacks.spike_retiming import _Spikes
from tests.attacks.classifiers import Ahead, by_margin, linear, stock
from tests.classifiers import FORMS, build

# By how much a spike moves the first class ahead, at four steps (rows) of three places.
WEIGHTS = np.array([[5.0, 0, 1], [4, 3, 1], [2, 2, 1], [0, 9, -9]]).reshape(4, 1, 1, 3)
# One spike per place, at steps 1, 1 and 2.
X = np.array([[0.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]).reshape(1, 4, 1, 1, 3)


def against(ahead, weights=WEIGHTS, **options):
    """The attack on a classifier of two classes, the first of which is ahead by w x + b."""
    classifier = linear([weights, 0 * weights], [ahead, 0])
    return SpikeRetiming(classifier, **{"max_shift": 1, "verbose": False} | options)


def times(frames):
    """At which steps the places of the first sample spike."""
    return [np.flatnonzero(place).tolist() for place in np.asarray(frames)[0].reshape(4, 3).T]


@pytest.mark.parametrize(
    ("options", "wanted", "spent"),
    [
        # Places gain 4 - 2, 3 - 2 and 1 - -9 by one step later.
        ({}, [[2], [2], [3]], (1, 3, 3)),
        ({"moved": 2}, [[2], [1], [3]], (1, 2, 2)),
        ({"moved": 1}, [[1], [1], [3]], (1, 1, 1)),
        # Two steps later the first place gains 4, or 2 per step; the second one gains 3 earlier.
        ({"max_shift": 2}, [[3], [0], [3]], (2, 4, 3)),
        ({"max_shift": 2, "total_shift": 2}, [[1], [0], [3]], (1, 2, 2)),
        ({"max_shift": None, "total_shift": 1}, [[1], [1], [3]], (1, 1, 1)),
    ],
)
def test_the_best_moves_are_those_known_by_hand(options, wanted, spent):
    weights = WEIGHTS.copy()
    if "max_shift" not in options:
        weights[0, 0, 0, 1] = 3
    # So far ahead that it is not broken: then the best frames are returned.
    attack = against(100.0, weights, max_iter=1, **options)
    assert times(attack.generate(X, [0])) == wanted
    assert tuple(int(told[0]) for told in attack.shifts) == spent


def test_a_sample_is_left_when_it_is_broken_and_counted_up_to_there():
    # Ahead by 0.5; the moves bring 2, 3 and 10.
    attack = against(0.5 - 8)
    assert attack.estimator.predict(attack.generate(X, [0])).argmax(1) == [1]
    assert attack.forwards.tolist() == [3]
    assert attack.backwards.tolist() == [2]
    assert attack.estimator.model.rows == 3 + 1


def test_what_is_not_broken_costs_all_iterations_and_what_has_no_spikes_none():
    attack = against(100.0, max_iter=5)
    found = attack.generate(np.concatenate((X, 0 * X)), [0, 0])
    assert attack.forwards.tolist() == [1 + 5 + 1, 1]
    assert attack.backwards.tolist() == [5, 0]
    np.testing.assert_array_equal(found[1], 0)


def test_of_what_is_never_broken_the_best_is_returned():
    x = np.zeros((1, 3, 1, 1, 2))
    x[0, 1] = 1

    def overshooting(x):
        # The first spike at step 2 makes the first class less sure, every other one much surer.
        late = x[:, 2].flatten(1).sum(1)
        return 10 - late + 4 * (late - 1).clamp_min(0)

    attack = SpikeRetiming(stock(Ahead(overshooting), (3, 1, 1, 2), 2), max_shift=1, verbose=False)
    # Both spikes go to step 2, which is worse than none.
    np.testing.assert_array_equal(attack.generate(x, [0]), x)
    attack.set_params(moved=1)
    assert attack.generate(x, [0])[0, 2].sum() == 1


@pytest.mark.filterwarnings("ignore:The gradient is the same at all time steps")
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_counts_places_range_and_budgets_are_kept_and_no_sample_touches_another(data):
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low, most = data.draw(st.sampled_from([(0.0, 1), (0.0, 3), (-1.0, 2)]))
    shape = (data.draw(st.integers(1, 5)), 1, 1, 2)
    targeted = data.draw(st.booleans())
    budgets = ("max_shift", "total_shift", "moved")
    options = {name: data.draw(st.none() | st.integers(1, 4)) for name in budgets}
    options |= {name: data.draw(st.integers(1, 4)) for name in ("max_iter", "batch_size")}
    options["targeted"] = targeted
    weights = draw.integers(-4, 5, (3, *shape))
    classifier = linear(weights, draw.integers(-1, 2, 3), clip_values=(low, low + most))
    attack = SpikeRetiming(classifier, verbose=False, **options)
    x = low + draw.integers(0, most + 1, (4, *shape))
    y = (classifier.predict(x).argmax(1) + targeted) % 3
    found = attack.generate(x, y)
    assert np.isin(found, low + np.arange(most + 1)).all()
    np.testing.assert_array_equal(found.sum(1), x.sum(1))
    for told, spent in zip(attack.shifts, shifts(x, found, low), strict=True):
        np.testing.assert_array_equal(told, spent)
    for name, spent in attack.shifts._asdict().items():
        most_of_it = options[{"largest": "max_shift", "total": "total_shift"}.get(name, name)]
        assert most_of_it is None or spent.max() <= most_of_it
    logits = [torch.as_tensor(classifier.predict(of)) for of in (x, found)]
    before, after = (margin(one, torch.as_tensor(y)) for one in logits)
    assert (before >= after if targeted else after >= before).all()
    for row in range(4):
        alone = attack.generate(x[row : row + 1], y[row : row + 1])
        np.testing.assert_array_equal(alone[0], found[row])


@pytest.mark.parametrize("rule", ["stbp", "assg"])
def test_a_spiking_sample_is_retimed_alike_alone_and_in_a_batch(rule, trained_layers, known):
    classifier, x, y = by_margin(trained_layers, known, "binary frames", rule)
    x, y = x[:8], y[:8]
    attack = SpikeRetiming(classifier, max_shift=2, max_iter=6, eta=2.0, verbose=False)
    found = attack.generate(x, y)
    # Some are broken on the way, and leave the batch.
    assert len(set(attack.backwards)) > 1
    for row in range(len(x)):
        alone = attack.generate(x[row : row + 1], y[row : row + 1])[0]
        np.testing.assert_array_equal(alone, found[row])


def test_rate_rules_are_warned_of_as_their_gradient_has_no_time(trained_layers, known):
    classifier = build(trained_layers, "binary frames", "rga")
    x, y = FORMS["binary frames"].present(known[0][:8]), known[1][:8]
    attack = SpikeRetiming(classifier, max_iter=1, verbose=False)
    with pytest.warns(RuntimeWarning, match=r"^The gradient is the same at all time steps.*stbp"):
        found = attack.generate(x, y)
    np.testing.assert_array_equal(found, x)


def spikes_of(counts, most=1, furthest=1):
    """Spikes of counts [n, T, P], and nothing else to know of."""
    table = torch.as_tensor(counts)
    return _Spikes(table, torch.full_like(table, most), furthest)


def test_a_count_of_two_is_two_spikes_and_shifts_end_within_the_frames():
    spikes = spikes_of(np.array([[[2], [0], [1], [1]]]), most=3, furthest=2)
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
        cells = (spikes.cells[its] - sample * size).tolist()
        tables = spikes.open[its].tolist(), spikes.distance.tolist(), worth[its].tolist()
        wanted = naive(counts[sample].ravel().tolist(), cells, *tables, most, moved, total)
        assert taken[its].tolist() == wanted
    left = torch.as_tensor(counts).flatten() + spikes.change(taken)
    assert ((left >= 0) & (left <= most)).all()
    assert left.view(samples, steps, places).sum(1).tolist() == counts.sum(1).tolist()


def test_the_slopes_are_those_of_plain_autograd_up_to_the_largest_one():
    draw = torch.Generator().manual_seed(0)
    spikes = spikes_of(torch.randint(0, 3, (2, 5, 4), generator=draw), most=2, furthest=2)
    scores = torch.randn(spikes.cells.shape, generator=draw, dtype=torch.float64)
    scores = scores.masked_fill(~spikes.open, -torch.inf).requires_grad_()
    gradient = torch.randn(2, 5, 4, generator=draw, dtype=torch.float64)
    flat = spikes.cells.flatten(), scores.softmax(1).flatten()
    expected = torch.zeros(40, dtype=torch.float64).index_add(0, *flat)
    (slopes,) = torch.autograd.grad((expected * gradient.flatten()).sum(), scores)
    for sample in range(2):
        its = spikes.sample == sample
        slopes[its] /= slopes[its].abs().max()
    torch.testing.assert_close(spikes.ascent(scores.detach(), gradient), slopes)
