"""The certified radius against exact probabilities, computed over all patterns of spikes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from art_snn.metrics import Certificate, l1_radius
from art_snn.metrics.certificate import _lower_bound
from tests.metrics.spiking import answers, linear, probabilities

STEPS = [1, 2, 3]
ROUNDING = 1e-9
unit = st.integers(0, 64).map(lambda parts: parts / 64)
shift = st.integers(-16, 16).map(lambda parts: parts / 64)


def anything_fires(steps: int):
    """The classifier of one pixel that answers 1 where the pixel fires at any step, else 0."""
    return linear([[0.0], [1.0]], [0.5 / steps, 0.0], steps)


@pytest.mark.parametrize("steps", STEPS)
def test_beyond_the_radius_of_a_certain_class_some_network_has_another_answer(steps):
    classes = answers(anything_fires(steps), 1, steps)
    certain = probabilities(classes, [0.0], steps)[0]
    radius = l1_radius(certain, steps)
    assert certain == 1
    assert radius == pytest.approx(1 - 0.5 ** (1 / steps))
    assert probabilities(classes, [radius], steps)[0] == pytest.approx(0.5)
    assert probabilities(classes, [radius + 0.01], steps)[0] < 0.5


def test_the_published_radius_is_that_of_one_step_and_wrong_for_two():
    certain, inside = 1.0, 0.4
    published = certain - 0.5
    assert inside < published == l1_radius(certain, 1)
    assert l1_radius(certain, 2) < inside
    one, two = (answers(anything_fires(steps), 1, steps) for steps in (1, 2))
    assert probabilities(one, [inside], 1)[0] == pytest.approx(0.6)
    assert probabilities(two, [inside], 2)[0] == pytest.approx(0.36)


@pytest.mark.parametrize("steps", [1, 2, 8, 100_000])
def test_the_radius_is_where_all_spikes_agree_too_seldom(steps):
    for probability in (0.500001, 0.7, 0.99312, 1.0):
        radius = l1_radius(probability, steps)
        assert 1 - (1 - radius) ** steps == pytest.approx(probability - 0.5, rel=1e-6)
        assert radius * steps >= (probability - 0.5) * (1 - ROUNDING)  # not below the union bound


def test_what_is_no_likelier_than_not_has_no_radius_and_what_is_no_probability_is_refused():
    assert [l1_radius(probability, 4) for probability in (0.0, 0.3, 0.5)] == [0, 0, 0]
    for argument, value in (("probability", 1.1), ("probability", math.nan), ("steps", 0)):
        with pytest.raises(ValueError, match=rf"^{argument}: expected a .*number"):
            l1_radius(**{"probability": 0.9, "steps": 4, argument: value})


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


@pytest.mark.parametrize(("draws", "alpha"), [(1, 0.05), (100, 0.001), (1000, 0.001)])
def test_draws_that_all_agree_are_bounded_by_a_power_of_alpha(draws, alpha):
    assert _lower_bound(draws, draws, alpha) == pytest.approx(alpha ** (1 / draws))
    assert _lower_bound(0, draws, alpha) == 0


def certificate() -> Certificate:
    """Right and strong, right and weak, wrong, abstained."""
    return Certificate(
        predicted=np.array([2, 0, 1, -1]),
        radius=np.array([0.3, 0.1, 0.2, 0.0]),
        correct=np.array([True, True, False, False]),
        draws=100,
        alpha=0.001,
    )


@pytest.mark.parametrize(("radius", "count"), [(0.0, 2), (0.05, 2), (0.1, 1), (0.2, 1), (0.3, 0)])
def test_certified_accuracy_counts_what_is_right_and_certified_farther(radius, count):
    share = certificate().certified_accuracy(radius)
    assert (share.count, share.total) == (count, 4)
    for value in (-0.1, math.nan):
        with pytest.raises(ValueError, match=r"^radius: expected a number of at least 0"):
            certificate().certified_accuracy(value)


def test_a_certificate_is_written_in_words():
    words = str(certificate())
    assert words.startswith("certified accuracy 50.0 % [")
    assert words.endswith("abstentions 25.0 % [4.6, 69.9], average l1 radius 0.1")
