"""Shares and tests between attacks against the formulas and definitions of the literature."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from art_snn.metrics import (
    Robustness,
    Share,
    describe_difference,
    format_p,
    paired_difference,
    robustness,
    union,
)
from tests.evaluations import outcome


def test_attack_success_counts_only_what_was_correct_before():
    labels = np.array([0, 1, 0, 1, 0])
    clean = np.eye(2)[[0, 1, 1, 1, 0]]  # the third is wrong from the start
    adversarial = np.eye(2)[[1, 1, 0, 0, 0]]  # flips the first and fourth, mends the third
    result = robustness(clean, adversarial, labels)
    shares = (result.clean_accuracy, result.robust_accuracy, result.attack_success)
    assert [(share.count, share.total) for share in shares] == [(4, 5), (2, 5), (2, 4)]
    assert json.loads(json.dumps(result.as_dict()))["attack_success"]["value"] == 0.5
    with pytest.raises(ValueError, match=r"^labels: expected as many"):
        robustness(np.zeros((2, 4)), np.zeros((2, 4)), np.zeros(3))


def test_mcnemar_compares_what_each_attack_flipped_alone():
    correct = np.ones(12, dtype=bool)
    a, b = correct.copy(), correct.copy()
    a[:10] = False
    b[9:11] = False
    only_a, only_b, p = paired_difference(Robustness(correct, a), Robustness(correct, b))
    assert (only_a, only_b) == (9, 1)
    assert p == pytest.approx(2 * 11 / 2**10)  # 0 or 1 of 10 fair coins, both sides
    assert paired_difference(Robustness(correct, a), Robustness(correct, a)) == (0, 0, 1.0)


def test_the_union_flips_whatever_one_of_the_attacks_flips():
    several = outcome({2, 3}), outcome({3, 7}), outcome(0)
    assert np.flatnonzero(union(several).flipped).tolist() == [2, 3, 7]
    assert np.array_equal(union(several).correct, several[0].correct)
    assert np.array_equal(union(several[:1]).robust, several[0].robust)


def test_the_stronger_of_two_attacks_is_named_with_a_p_value_of_two_digits():
    # Six flips more are 2 / 2^6, one fewer is 1.
    assert describe_difference(outcome({*range(2, 9)}), outcome({2})) == "stronger, p = 0.031"
    for flips in ({2}, {3}, ()):
        assert describe_difference(outcome(flips), outcome({2})) == "no difference, p = 1"


@pytest.mark.parametrize(
    ("p", "words"),
    [(6.2e-33, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.0317, "p = 0.032")],
)
def test_small_p_values_are_not_told_apart(p, words):
    assert format_p(p) == words


def test_the_wilson_interval_is_that_of_the_formula():
    count, total, z = 37, 120, 1.959963984540054
    p = count / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert Share(count, total).interval == pytest.approx((centre - half, centre + half), abs=1e-9)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_a_share(pair):
    share = Share(*pair)
    low, high = share.interval
    assert -1e-12 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1 + 1e-12


def test_a_share_of_nothing_is_unknown():
    assert math.isnan(Share(0, 0).value)
    assert str(Share(0, 0)) == "none to count"
    assert Share(0, 0).interval == (0, 1)
