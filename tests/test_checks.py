"""Checks of arguments: what passes, and the one form of every complaint."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest

from art_snn.app.network import random_samples
from art_snn.checks import (
    ArgumentError,
    MissingFile,
    MissingPackage,
    first_line,
    invalid,
    require_choice,
    require_count,
    require_distinct,
    require_memory,
    require_number,
    require_seed,
    require_sides,
    require_some,
    require_whole,
    total_memory,
)
from art_snn.models import Architecture


def test_a_complaint_names_argument_expectation_what_came_and_remedy():
    error = invalid("eps", expected="a number", got="'x'", remedy="Use 0.1.")
    assert isinstance(error, ArgumentError)
    assert str(error) == "eps: expected a number, got 'x'. Use 0.1."
    assert error.complaint == "expected a number, got 'x'. Use 0.1."
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


KINDS = {
    ArgumentError: ValueError,
    MissingFile: FileNotFoundError,
    MissingPackage: ModuleNotFoundError,
}


@pytest.mark.parametrize(("kind", "usual"), KINDS.items())
def test_a_complaint_is_what_python_calls_it_and_passes_through_a_pickle(kind, usual):
    for error in (kind("eps", "a, got b."), pickle.loads(pickle.dumps(kind("eps", "a, got b.")))):
        assert type(error) is kind
        assert isinstance(error, ArgumentError)
        assert isinstance(error, usual)
        assert (error.argument, str(error)) == ("eps", "eps: a, got b.")


def test_a_word_out_of_those_that_are_known_passes_and_any_other_is_refused():
    require_choice("reset", "hard", ("hard", "soft"), remedy="")
    for value in ("Hard", "", None, 1, ["hard"]):
        message = rf"^reset: expected one of hard, soft, got {re.escape(repr(value))}\. Choose\.$"
        with pytest.raises(ArgumentError, match=message):
            require_choice("reset", value, ("hard", "soft"), remedy="Choose.")


@pytest.mark.parametrize("value", [-3, 0, 1.0, 2.5, True, None, "4", math.nan])
def test_a_whole_number_is_returned_as_an_int_and_anything_else_is_refused(value):
    for whole in (1, np.int64(3), 10**9):
        for number in (
            require_whole("seed", whole, remedy=""),
            require_count("n", whole, remedy=""),
        ):
            assert number == whole
            assert type(number) is int
    with pytest.raises(ValueError, match=r"^steps: .* whole number >= 1, got .*\. Count\.$"):
        require_count("steps", value, remedy="Count.")
    if value == 0:
        assert require_whole("seed", value, remedy="") == 0
        return
    with pytest.raises(ValueError, match=r"^seed: .* whole number >= 0, got .*\. Use 0\.$"):
        require_whole("seed", value, remedy="Use 0.")


SIDE, BOTH = "a whole number >= 1, got ", r"a side, or \(height, width\), got "


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, SIDE + "0"),
        ((3, 0), SIDE + "0"),
        (2.5, SIDE + "2.5"),
        ((1, 3, 5), BOTH + r"\(1, 3, 5\)\. Leave channels out\."),
        ((), BOTH + r"\(\)\. Leave channels out\."),
    ],
)
def test_a_side_or_both_are_sides_and_anything_else_is_refused(size, message):
    for sides in ((3, 5), [3, 5]):
        assert require_sides(sides, channels="") == (3, 5)
    assert require_sides(8, channels="") == require_sides(np.int64(8), channels="") == (8, 8)
    with pytest.raises(ValueError, match=rf"^image_size: expected {message}"):
        require_sides(size, channels="Leave channels out.")


@pytest.mark.parametrize("value", [2**32, 10**20, 10**5000], ids=["next", "large", "huge"])
def test_seeds_go_as_far_as_numpy_takes_them(value):
    np.random.default_rng(require_seed("seed", 2**32 - 1))
    with pytest.raises(ValueError, match=r"^seed: expected a whole number from 0 to 4294967295, "):
        require_seed("seed", value)


NO_NUMBERS = (math.nan, math.inf, True, None, "0.5", 1j)
BOUNDS = {
    "above 0 and at most 1": ({"above": 0, "up_to": 1}, (1e-300, 0.5, 1, 1.0), (0, -1, 1.0001)),
    "of at least 0 and below 1": ({"at_least": 0, "below": 1}, (0, 0.5), (1, 1.5, -0.1)),
    "above 2": ({"above": 2}, (2.5, 1e300), (2, 1.5, -math.inf)),
    "from 1e-06 to 1": ({"above": 0, "within": (1e-6, 1)}, (1e-6, 1), (1e-30, 1e30)),
}


@pytest.mark.parametrize("words", BOUNDS)
def test_a_number_within_the_bounds_is_returned_as_a_float_and_others_refused_by_them(words):
    bounds, good, bad = BOUNDS[words]
    for value in good:
        number = require_number("beta", value, **bounds, remedy="")
        assert number == value
        assert type(number) is float
    for value in bad:
        with pytest.raises(ValueError, match=rf"^beta: .* number {words}, got .*\. Raise it\.$"):
            require_number("beta", value, **bounds, remedy="Raise it.")
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match=r"^beta: expected a number .*, got .*\. Raise it\.$"):
            require_number("beta", value, **bounds, remedy="Raise it.")


def test_what_is_long_is_told_without_its_middle():
    long = str(invalid("eps", "a number", repr("x" * 5000), "Use 0.1."))
    assert long == f"eps: expected a number, got '{'x' * 39}...{'x' * 18}'. Use 0.1."
    assert len(str(invalid("eps", "a number", "x " * 5000, "Use 0.1."))) < 2000
    assert "got 1000" in str(invalid("eps", "a number", 10**300, "Use 0.1."))


def test_no_values_and_values_that_occur_twice_are_refused():
    require_some("x", np.zeros((2, 3)))
    require_distinct("eps", (0.1, 0.25))
    with pytest.raises(ArgumentError, match=r"^x: expected at least one sample, got none"):
        require_some("x", np.zeros((0, 3)), "at least one sample", "Give some.")
    with pytest.raises(ArgumentError, match=r"^eps: expected at least one, got none"):
        require_distinct("eps", ())
    with pytest.raises(ArgumentError, match=r"^eps: expected each once, got 0\.1, 0\.25, 0\.1"):
        require_distinct("eps", (0.1, 0.25, 0.1))


def test_what_fits_into_memory_passes_and_what_does_not_is_refused_with_both_sizes():
    there = total_memory()
    assert there > 2**28
    require_memory("width", 1, "weights", there, remedy="")
    with pytest.raises(ValueError, match=r"^width: expected weights that fit into the .* GiB of m"):
        require_memory("width", 9, "weights", there + 1, remedy="")
    with pytest.raises(ValueError, match=r"got 9, which makes weights of 1,048,576\.0 GiB\. Less"):
        require_memory("width", 9, "weights", 2**50, remedy="Less.")


@pytest.mark.parametrize(
    ("argument", "options", "sizes"),
    [("width", {"width": 64.0}, {"image_size": 2**12}), ("image_size", {}, {"image_size": 2**15})],
)
def test_networks_and_samples_that_do_not_fit_are_refused_without_being_made(
    argument, options, sizes
):
    with pytest.raises(ValueError, match=rf"^{argument}: .* which makes weights of "):
        Architecture(**options).made(**sizes)
    with pytest.raises(ValueError, match=r"^samples: .*got 2147483647, which makes samples of "):
        random_samples(Architecture(width=0.01), 2**31 - 1, channels=3, image_size=2**10)
