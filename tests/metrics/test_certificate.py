"""Certified regions against exact probabilities, over all patterns of spikes and all masks."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from art_snn import SQE, Ablation, Poisson
from art_snn.certified_regions import EventChanges, L1Ball
from art_snn.metrics import Certificate
from tests.metrics.spiking import answers, l1_radius, linear, probabilities

ROUNDING = 1e-9
unit = st.integers(0, 64).map(lambda parts: parts / 64)
shift = st.integers(-16, 16).map(lambda parts: parts / 64)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_beyond_the_radius_of_a_certain_class_some_network_has_another_answer(steps):
    # It answers 1 where its pixel fires at any step.
    classes = answers(linear([[0.0], [1.0]], [0.5 / steps, 0.0], steps), 1, steps)
    certain = probabilities(classes, [0.0], steps)[0]
    radius = l1_radius(certain, steps)
    assert certain == 1
    assert radius == pytest.approx(1 - 0.5 ** (1 / steps))
    assert probabilities(classes, [radius], steps)[0] == pytest.approx(0.5)
    assert probabilities(classes, [radius + 0.01], steps)[0] < 0.5


@pytest.mark.parametrize("steps", [1, 2, 8, 100_000])
def test_the_radius_is_where_all_spikes_agree_too_seldom(steps):
    for probability in (0.500001, 0.7, 0.99312, 1.0):
        radius = l1_radius(probability, steps)
        assert 1 - (1 - radius) ** steps == pytest.approx(probability - 0.5, rel=1e-6)
        assert radius * steps >= (probability - 0.5) * (1 - ROUNDING)  # not below the union bound


def test_what_is_no_likelier_than_not_has_no_radius_and_what_is_no_probability_is_refused():
    assert [l1_radius(probability, 4) for probability in (0.0, 0.3, 0.5)] == [0, 0, 0]
    for encoder in (Poisson(4), SQE(4), Ablation()):
        for value in (1.1, -0.1, math.nan, [0.5, 2]):
            with pytest.raises(ValueError, match=r"^probability: .*from 0 to 1"):
                encoder.certified(value)


@settings(max_examples=80, deadline=None)
@given(steps=st.integers(1, 3), values=st.tuples(unit, unit), shifts=st.tuples(shift, shift))
def test_no_classifier_at_all_is_turned_within_the_radius(steps, values, shifts):
    # The classifier that a perturbation turns first has the patterns that lose most by it
    # (Neyman and Pearson): in that order, every number of patterns is one classifier.
    every = np.arange(4**steps).reshape((2,) * (2 * steps))
    others = np.clip(np.add(values, shifts), 0, 1)
    before, after = (probabilities(every, x, steps, every.size) for x in (values, others))
    length = np.abs(others - values).sum()
    ratio = np.divide(after, before, out=np.full(every.size, np.inf), where=before > 0)
    order = np.argsort(ratio)
    for its, turned in zip(before[order].cumsum(), after[order].cumsum(), strict=True):
        if its > 0.5 and length <= l1_radius(min(its, 1.0), steps):
            assert turned >= 0.5 - ROUNDING


def certificate() -> Certificate:
    """Right and strong, right and weak, wrong, abstained."""
    predicted, correct = np.array([2, 0, 1, -1]), np.array([True, True, False, False])
    return Certificate(predicted, L1Ball(np.array([0.3, 0.1, 0.2, 0.0])), correct, 100, 0.001)


@pytest.mark.parametrize(("radius", "count"), [(0.0, 2), (0.05, 2), (0.1, 1), (0.2, 1), (0.3, 0)])
def test_certified_accuracy_counts_what_is_right_and_certified_farther(radius, count):
    share = certificate().certified_accuracy(radius)
    assert (share.count, share.total) == (count, 4)
    for value in (-0.1, math.nan):
        with pytest.raises(ValueError, match=r"^radius: .*at least 0"):
            certificate().certified_accuracy(value)


def test_a_certificate_is_written_in_words():
    words = str(certificate())
    assert words.startswith("certified accuracy 50.0 % [")
    assert words.endswith("abstentions 25.0 % [4.6, 69.9], average l1 radius 0.1")


def of_events() -> Certificate:
    """The same of event frames, by a vote over frames of which a tenth is kept."""
    region = EventChanges(0.1, np.array([0.99, 0.7, 0.9, 0.4]))
    return Certificate(certificate().predicted, region, certificate().correct, 100, 0.001)


def test_certified_accuracy_counts_what_is_right_under_changes_of_events():
    assert of_events().certified_accuracy().count == 2
    for name, least in (("flips", 4), ("added", 4), ("removed", 5), ("moved", 3)):
        counts = [of_events().certified_accuracy(**{name: least + n}).count for n in (-1, 0, 60)]
        assert counts == [2, 1, 0]


def test_changes_of_another_kind_than_the_encoder_certifies_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^radius: .*flips"):
        of_events().certified_accuracy(0.1)
    for name in ("flips", "added", "removed", "moved"):
        with pytest.raises(ValueError, match=rf"^{name}: .*radius, got 4"):
            certificate().certified_accuracy(**{name: 4})
        with pytest.raises(ValueError, match=rf"^{name}: expected a whole number >= 0"):
            of_events().certified_accuracy(**{name: -1})


def test_parts_are_joined_and_written_in_words():
    for one in (certificate(), of_events()):
        both = Certificate.concatenate([one, one])
        assert len(both.predicted) == len(both.region.size) == 8
        assert both.certified_accuracy().count == 2 * one.certified_accuracy().count
        assert type(both.region) is type(one.region)
    assert str(of_events()).endswith("average number of flips 2.25")


@pytest.mark.parametrize(
    ("keep", "probability", "most"),
    [
        (0.05, 0.99, {"added": 13, "removed": 76, "moved": 13, "flips": 13}),
        (0.02, 0.99, {"added": 33, "removed": 193, "moved": 33, "flips": 33}),
        (0.1, 0.9, {"added": 5, "removed": 15, "moved": 4, "flips": 5}),
    ],
)
def test_numbers_of_events_by_hand(keep, probability, most):
    region = Ablation(keep=keep).certified([probability])
    for name, count in most.items():
        assert region.holds(**{name: count}).all()
        assert not region.holds(**{name: count + 1}).any()
    assert region.size == [most["flips"]]


def bound(keep: float, p: float, added: int, removed: int) -> float:
    a, r = (1 - keep) ** added, (1 - keep) ** removed
    return a * max(p - 1 + r, 0) / r


@pytest.mark.parametrize("keep", [0.05, 0.2, 0.5])
def test_of_all_ways_to_flip_so_many_the_worst_is_to_add_them(keep):
    for p in np.linspace(0.5, 1, 41):
        region = Ablation(keep=keep).certified(p)
        for flips, added, removed in itertools.product(range(13), range(3), range(3)):
            ways = [(added + flips - n, removed + n) for n in range(flips + 1)]
            least = min(bound(keep, p, *way) for way in ways)
            if abs(least - 0.5) > ROUNDING:
                holds = region.holds(flips=flips, added=added, removed=removed)
                assert holds == (least > 0.5)


BITS = 6
EVERY = np.array([*itertools.product((0, 1), repeat=BITS)])


def exact(rule: np.ndarray, x: np.ndarray, keep: float) -> float:
    """The probability that a function of six bits [64] answers 1, over all masks of x."""
    kept = EVERY.sum(1)
    weights = keep**kept * (1 - keep) ** (BITS - kept)
    return float((weights * rule[(EVERY * x) @ (2 ** np.arange(BITS)[::-1])]).sum())


SPIKES = EVERY.sum(1)
RULES = [SPIKES == 0, SPIKES > 0, SPIKES < 2, EVERY[:, 0] == 1, EVERY[:, 3:].sum(1) == 0]
RULES += [np.ones(64, bool), *(np.random.default_rng(0).random((20, 64)) < 0.6)]


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6])
def test_no_change_of_six_bits_takes_more_than_the_bound_and_some_take_all_of_it(keep):
    gaps = []
    for rule, x in itertools.product(RULES, EVERY[::9]):
        p = exact(rule, x, keep)
        for other in EVERY:
            added, removed = ((other > x).sum(), (other < x).sum())
            after = exact(rule, other, keep)
            least = bound(keep, p, added, removed)
            assert after >= least - ROUNDING
            gaps.append(after - least)
            region = Ablation(keep=keep).certified(min(p, 1.0))
            if region.holds(added=int(added), removed=int(removed)):
                assert after > 0.5 - ROUNDING
    assert min(gaps) == pytest.approx(0, abs=ROUNDING)


@pytest.mark.parametrize("keep", [0.1, 0.3])
@pytest.mark.parametrize(("added", "removed"), [(2, 0), (0, 2), (1, 1), (2, 1), (2, 3)])
def test_for_any_change_of_events_some_function_is_on_the_bound(keep, added, removed):
    # x has the first bits, x' the last ones, both the fourth. The function answers 1 where x shows
    # one of its own, 0 where x' does, and otherwise where the fourth is hidden.
    x = np.array([1] * removed + [0] * (3 - removed) + [1, 0, 0])
    other = np.array([0, 0, 0, 1] + [1] * added + [0] * (2 - added))
    rule = (EVERY[:, :3].any(1) | (EVERY[:, 3] == 0)) & ~EVERY[:, 4:].any(1)
    p, after = exact(rule, x, keep), exact(rule, other, keep)
    assert after == pytest.approx(bound(keep, p, added, removed))


@settings(max_examples=60, deadline=None)
@given(
    levels=st.integers(1, 3),
    steps=st.integers(1, 2),
    value=st.integers(0, 24),
    by=st.integers(-6, 6),
    table=st.lists(st.booleans(), min_size=16, max_size=16),
)
def test_sqe_of_one_pixel_keeps_every_answer_within_its_radius(levels, steps, value, by, table):
    table = np.reshape(table, (4, 4))

    def probability(parts: int) -> float:
        # Of 24 parts, so that no level is missed by rounding.
        below, part = divmod(levels * parts, 24)
        chances = [(below, 1 - part / 24), (below + 1, part / 24)]
        ways = itertools.product(chances, repeat=steps)
        return sum(
            math.prod(c for _, c in way) * table[way[0][0] % 4, way[-1][0] % 4] for way in ways
        )

    other = min(max(value + by, 0), 24)
    its = min(float(probability(value)), 1.0)
    if abs(other - value) / 24 < SQE(steps, levels).certified(its).radius - ROUNDING:
        assert probability(other) > 0.5 - ROUNDING


def test_radii_by_hand():
    probability = 0.001 ** (1 / 1000)
    for levels, radii in ((1, [0.493, 0.288, 0.156, 0.081]), (2, [0.247, 0.144, 0.078, 0.041])):
        found = [float(SQE(steps, levels).certified(probability).radius) for steps in (1, 2, 4, 8)]
        assert np.round(found, 3).tolist() == radii
