"""Checks of arguments: what passes, and the one form of every complaint."""

from __future__ import annotations

import math

import pytest

from art_snn.checks import invalid, require_count, require_number


def test_a_complaint_names_argument_expectation_what_came_and_remedy():
    error = invalid("eps", expected="a number", got="'x'", remedy="Use 0.1.")
    assert isinstance(error, ValueError)
    assert str(error) == "eps: expected a number, got 'x'. Use 0.1."


@pytest.mark.parametrize("value", [1e-300, 0.5, 1, 1.0])
def test_a_number_within_the_bounds_is_returned_as_a_float(value):
    number = require_number("decay", value, above=0, up_to=1, remedy="")
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize("value", [0, -1, 1.0001, math.nan, math.inf, True, None, "0.5", 1j])
def test_a_number_out_of_bounds_is_refused_with_both_bounds(value):
    with pytest.raises(ValueError, match=r"^decay: expected a number above 0 and at most 1, got "):
        require_number("decay", value, above=0, up_to=1, remedy="")


@pytest.mark.parametrize("value", [2, 1.5, math.nan, math.inf, -math.inf, "3"])
def test_without_an_upper_bound_only_the_lower_one_is_named(value):
    with pytest.raises(ValueError, match=r"^beta: expected a number above 2, got .*\. Raise it\.$"):
        require_number("beta", value, above=2, remedy="Raise it.")


def test_any_finite_number_passes_without_an_upper_bound():
    assert require_number("beta", 1e300, above=2, remedy="") == 1e300


@pytest.mark.parametrize("value", [1, 8, 10**9])
def test_a_count_is_returned(value):
    assert require_count("steps", value, remedy="") == value


@pytest.mark.parametrize("value", [0, -3, 1.0, 2.5, True, None, "4", math.nan])
def test_anything_but_a_whole_number_from_one_on_is_refused(value):
    with pytest.raises(
        ValueError, match=r"^steps: expected a whole number >= 1, got .*\. Count\.$"
    ):
        require_count("steps", value, remedy="Count.")
