"""Shares and their intervals against the formula."""

import math

import pytest
from hypothesis import given, strategies as st

from art_snn.metrics import Share


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
