"""SDA against what is known by hand, against naive loops, and on spiking networks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks import SparseDynamicAttack
from art_snn.attacks.persample import BestPoints
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import Ahead, linear, silent_queries, stock
from tests.command import interrupted

# Of the first class, by how much each of six bits moves it ahead of the second one.
WEIGHTS = np.array([-1.0, -5.0, -3.0, -2.0, 4.0, 0.0]).reshape(2, 1, 1, 3)
AHEAD = 9.5
ZEROS = np.zeros((1, 2, 1, 1, 3))


def against(weights=WEIGHTS, ahead=AHEAD, **options):
    """The attack on a classifier of two classes, the first of which is ahead by w x + b."""
    classifier = linear([weights, 0 * weights], [ahead, 0])
    return SparseDynamicAttack(classifier, **{"candidates": 2, "verbose": False} | options)


def test_bits_are_tried_kept_and_taken_back_as_computed_by_hand():
    # Round 0 tries the bits of weights -5 and -3: ahead by 1.5. Round 1 tries -2, -1 and 0, which
    # change the loss by -1.5 (it ends at 0), -1 and 0: behind by 1.5. Without 0 and -1 it is still
    # behind, by 0.5, and without -2 it is ahead.
    attack = against()
    assert attack.generate(ZEROS, [0]).ravel().tolist() == [0, 1, 1, 1, 0, 0]
    assert attack.backwards.tolist() == [3]
    # The sample, three gradients, two and three candidates, and two steps of the binary search.
    assert attack.forwards.tolist() == [1 + 3 + 2 + 3 + 2]


@pytest.mark.parametrize(("eps", "flips"), [(None, 5), (5, 5), (4, 0)])
def test_what_is_broken_is_found_if_taking_back_is_interrupted(eps, flips, monkeypatch):
    attack, x = against(eps=eps), torch.as_tensor(ZEROS)
    best = BestPoints(x)
    monkeypatch.setattr(attack, "_reduce", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attack.craft(silent_queries(attack.estimator, 1, 32), best, torch.tensor([0]))
    assert best.broken.tolist() == [flips > 0]
    assert (best.samples != x).sum() == flips


@pytest.mark.parametrize(("rounds", "flips"), [(1, 0), (2, 3)])
def test_no_more_rounds_are_run_than_allowed_and_the_last_one_counts(rounds, flips):
    attack = against(max_iter=rounds)
    found = attack.generate(ZEROS, [0])
    assert attack.backwards.tolist() == [rounds]
    assert (found != 0).sum() == flips


def test_the_search_ends_when_no_bit_is_left():
    attack = against(ahead=12.0)
    np.testing.assert_array_equal(attack.generate(ZEROS, [0]), ZEROS)
    # Two and three bits are tried, and then the bit that would raise the loss is all there is.
    assert attack.backwards.tolist() == [3]
    assert attack.forwards.tolist() == [1 + 3 + 5]


@pytest.mark.parametrize(("eps", "rounds"), [(None, 6), (1, 3), (3, 5)])
def test_a_search_ends_where_four_budgets_of_bits_are_kept_in_vain(eps, rounds):
    # Each of 30 bits brings it 1 nearer: 2, 6, 12, 20 and 30 are kept, of 29 that it takes.
    attack = against(-np.ones((30, 1, 1, 1)), 28.5, eps=eps)
    found = attack.generate(np.zeros((1, 30, 1, 1, 1)), [0])
    assert attack.backwards.tolist() == [rounds]
    assert (found != 0).sum() == (29 if eps is None else 0)


def test_a_bit_whose_flip_raises_the_loss_against_its_gradient_is_not_kept_nor_tried_again():
    # Gradients that lead up in the end.
    bowl = Ahead(lambda x: 1 + (x - 0.3).square().flatten(1).sum(1))
    attack = SparseDynamicAttack(stock(bowl, (2, 1, 1, 1), 2), verbose=False)
    np.testing.assert_array_equal(attack.generate(np.zeros((1, 2, 1, 1, 1)), [0]), 0)
    assert attack.backwards.tolist() == [2]
    assert attack.forwards.tolist() == [1 + 2 + 2]


def test_differences_within_rounding_are_none():
    points = []

    def unsteady(x):
        # No bit counts, and rounding differs from pass to pass.
        points.append(x.flatten().tolist())
        return 1 + 1e-7 * len(points) + 0 * x.flatten(1).sum(1)

    classifier = stock(Ahead(unsteady), (2, 1, 1, 1), 2)
    attack = SparseDynamicAttack(classifier, batch_size=1, verbose=False)
    attack.generate(np.zeros((1, 2, 1, 1, 1)), [0])
    # So both flips, which raise the loss by rounding alone, are kept.
    assert [1, 1] in points


def test_what_every_sample_costs_is_what_the_network_was_asked():
    attack = against(candidates=4, batch_size=3)
    x = np.concatenate((ZEROS, 1 - ZEROS, ZEROS, ZEROS))
    found = attack.generate(x, [0, 0, 1, 0])
    assert attack.forwards.sum() == attack.estimator.model.rows
    assert attack.estimator.model.largest == 3
    assert attack.forwards[2] == 1
    np.testing.assert_array_equal(found[2], x[2])
    assert attack.forwards[0] == attack.forwards[3] > 1


def naive(x, weights, ahead, candidates, rounds):
    """The attack on one sample and two classes, in loops; which bits stay flipped."""

    def margin(flipped):
        bits = zip(weights, x, flipped, strict=True)
        return ahead + sum(w * (1 - b if f else b) for w, b, f in bits)

    bits = range(len(x))
    flipped, cost, tried = [False] * len(x), {}, set()
    for turn in range(rounds):
        if margin(flipped) < 0:
            break
        useful = [b for b in bits if b not in tried and (1 - 2 * x[b]) * weights[b] <= 0]
        chosen = sorted(useful, key=lambda b: -abs(weights[b]))[: candidates * (turn + 1)]
        before, kept = max(margin(flipped), 0), []
        for b in chosen:
            after = max(margin([f or b == i for i, f in enumerate(flipped)]), 0)
            if after - before <= 0:
                kept.append(b)
                cost[b] = abs(after - before)
        tried |= set(chosen)
        flipped = [f or b in kept for b, f in enumerate(flipped)]
    if not margin(flipped) < 0:
        return [False] * len(x)
    order = sorted(sorted(cost), key=lambda b: cost[b])
    reverted = [[f and b not in order[:k] for b, f in enumerate(flipped)] for k in range(len(x))]
    return max((r for r in reverted if margin(r) < 0), key=lambda r: -sum(r))


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_the_attack_is_that_of_naive_loops_and_no_longer_prefix_can_be_taken_back(data):
    size = data.draw(st.integers(1, 8))
    length = {"min_size": size, "max_size": size}
    weights = data.draw(st.lists(st.integers(-6, 6).filter(bool), **length))
    x = data.draw(st.lists(st.integers(0, 1), **length))
    above = data.draw(st.integers(0, 20)) + 0.5
    ahead = above - sum(w * b for w, b in zip(weights, x, strict=True))
    candidates, rounds = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    table = np.array(weights, dtype=float).reshape(size, 1, 1, 1)
    attack = against(table, ahead, candidates=candidates, max_iter=rounds)
    sample = np.array(x, dtype=float).reshape(1, size, 1, 1, 1)
    found = attack.generate(sample, [0])
    assert (found != sample).ravel().tolist() == naive(x, weights, ahead, candidates, rounds)


# Of few bits, so that logits of whole weights are exact, and ties are ties in any batch.
LEVELS = [(0.0, 1.0), (-1.0, 1.0), (0.0, 0.125)]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_what_is_returned_is_binary_within_the_budget_and_else_as_it_was(data):
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    levels = np.array(data.draw(st.sampled_from(LEVELS)))
    weights = draw.integers(-4, 5, (3, 3, 1, 1, 2))
    targeted = data.draw(st.booleans())
    options = {"eps": data.draw(st.none() | st.integers(1, 6)), "targeted": targeted}
    options["candidates"] = data.draw(st.integers(1, 3))
    options["batch_size"] = data.draw(st.integers(1, 4))
    classifier = linear(weights, draw.integers(-1, 2, 3), clip_values=tuple(levels))
    attack = SparseDynamicAttack(classifier, verbose=False, **options)
    x = levels[draw.integers(0, 2, (4, 3, 1, 1, 2))]
    y = classifier.predict(x).argmax(1)
    wanted = (y + targeted) % 3
    found = attack.generate(x, wanted)
    assert np.abs(found[..., None] - levels).min(-1).max() < 1e-7
    flips = (np.abs(found - x) > 1e-3).reshape(4, -1).sum(1)
    if options["eps"] is not None:
        assert flips.max() <= options["eps"]
    predicted = classifier.predict(found).argmax(1)
    broken = (predicted == wanted) if targeted else (predicted != wanted)
    assert (flips > 0).tolist() == broken.tolist()
    for row in range(4):
        alone = attack.generate(x[row : row + 1], wanted[row : row + 1])
        np.testing.assert_array_equal(alone[0], found[row])


def test_the_order_of_zero_gradients_belongs_to_the_sample_and_changes_with_the_seed():
    x = np.eye(40)[:3].reshape(3, 40, 1, 1, 1)
    # Where one bit is set, every flip breaks the sample and no gradient tells of it.
    flat = Ahead(lambda x: 1 - 2 * (x.flatten(1).sum(1) - 1).square())
    first = []
    for seed, rows in ((0, [0, 1, 2]), (0, [1]), (1, [1])):
        options = {"candidates": 1, "seed": seed, "verbose": False}
        attack = SparseDynamicAttack(stock(flat, (40, 1, 1, 1), 2), **options)
        found = attack.generate(x[rows], np.zeros(len(rows), dtype=int))
        (bit,) = np.flatnonzero((found != x[rows])[rows.index(1)])
        first.append(bit)
    assert first[0] == first[1] != first[2]
    assert first[2] == int(uniform_noise(torch.as_tensor(x[1:2]), 1, 0).abs().argmin())
