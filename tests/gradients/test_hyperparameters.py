"""Hyperparameters by dotted names: which there are, and what they accept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from art_snn.gradients import (
    ASSG,
    BPTR,
    CBA,
    EOT,
    GRADIENTS,
    HART,
    PDSG,
    RGA,
    STBP,
    ATan,
    Extended,
    Gradient,
    Mean,
    StaticCurve,
    Triangle,
    parse_rule,
)
from art_snn.gradients.hyperparameters import Number, accepted, hyperparameter, numbers, replaced


@pytest.mark.parametrize("name", [*GRADIENTS, "pdsg-per-sample", "eot-rga", "hart-16-steps"])
def test_every_number_of_a_rule_can_be_put_back(name):
    rule = parse_rule(name)
    for dotted, number in numbers(rule).items():
        assert replaced(rule, dotted, number.value) == rule
        assert accepted(rule, dotted, number.value) == number.value
        assert type(accepted(rule, dotted, number.value)) is number.kind


def test_the_numbers_of_a_rule_include_those_of_what_is_inside_it():
    assert list(numbers(RGA())) == ["beta", "gamma"]
    assert list(numbers(STBP())) == ["surrogate.width", "detach_reset"]
    assert list(numbers(ASSG()))[:3] == ["omega", "surrogate.alpha", "decay_mean"]
    assert list(numbers(EOT(HART()))) == ["rule.surrogate.width", "samples"]
    assert numbers(BPTR()) == {}
    assert numbers(Mean(RGA(), STBP())) == {}
    assert numbers(object()) == {}


@pytest.mark.parametrize(
    ("rule", "field", "kind", "value"),
    [
        (RGA(), "beta", float, 2.0),
        (CBA(), "levels", int, 8),
        (PDSG(), "per_sample", bool, False),
        (StaticCurve(limit=math.inf), "limit", float, math.inf),
        (STBP(surrogate=Triangle(width=1)), "surrogate.width", float, 1),
        (Extended(RGA(gamma=0.1), steps=16), "rule.gamma", float, 0.1),
        (Extended(RGA(), steps=16), "steps", int, 16),
    ],
    ids=str,
)
def test_a_field_has_the_kind_that_it_declares_and_the_value_of_the_rule(rule, field, kind, value):
    assert hyperparameter(rule, field) == Number(kind, value)


def test_a_replaced_number_leaves_everything_else():
    rule = EOT(HART(surrogate=ATan(alpha=3)), samples=7)
    assert replaced(rule, "rule.surrogate.alpha", 5.0) == EOT(
        HART(surrogate=ATan(alpha=5)), samples=7
    )
    assert rule.rule == HART(surrogate=ATan(alpha=3))


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        (float, 3, 3.0),
        (float, Fraction(1, 4), 0.25),
        (float, np.float32(0.5), 0.5),
        (int, 8.0, 8),
        (int, np.int64(8), 8),
        (bool, 1.0, True),
        (bool, 0, False),
        (bool, True, True),
    ],
)
def test_a_value_is_brought_into_the_kind_of_the_field(kind, value, converted):
    number = Number(kind, 1).converted(value)
    assert number == converted
    assert type(number) is kind


@pytest.mark.parametrize(
    ("rule", "field", "value", "message"),
    [
        (RGA(), "beta", True, r"beta of RGA can have, got True \(expected a number, got True\)\."),
        (RGA(), "beta", "2", r"got 2 \(expected a number, got '2'\)"),
        (RGA(), "beta", 0, r"got 0 \(beta: expected a number above 0, got 0\.0\. .* best\)\. L"),
        (RGA(), "beta", math.inf, r"got inf \(beta: expected a number above 0, got inf\."),
        (RGA(), "gamma", -1, r"got -1 \(gamma: expected a number of at least 0, got -1\.0\."),
        (CBA(), "levels", 8.5, r"levels of CBA can have, got 8\.5 \(expected a whole number, got"),
        (CBA(), "levels", math.inf, r"got inf \(expected a whole number, got inf\)"),
        (CBA(), "levels", 0, r"got 0 \(levels: expected a whole number >= 1, got 0\."),
        (CBA(), "levels", True, r"got True \(expected a number, got True\)"),
        (PDSG(), "per_sample", 2, r"got 2 \(expected 0 or 1, got 2\)"),
        (HART(), "surrogate.width", 0, r"width of HART .* \(Triangle\.width: expected a number ab"),
        (StaticCurve(), "limit", math.nan, r"got nan \(limit: expected a number of at least 1"),
    ],
    ids=str,
)
def test_a_value_that_the_rule_refuses_is_refused_with_its_reason(rule, field, value, message):
    with pytest.raises(ValueError, match=rf"^values: expected values that .*{message}"):
        accepted(rule, field, value)


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        (RGA(), "width", r"expected one of beta, gamma, got 'width'\. The rule is RGA\(beta=2"),
        (STBP(), "surrogate", r"expected one of surrogate\.width, detach_reset, got 'surrogate'"),
        (BPTR(), "beta", r"expected a rule with a number in a field, got 'beta'\. The rule is B"),
    ],
    ids=str,
)
def test_an_unknown_field_is_refused_and_the_known_ones_are_named(rule, field, message):
    with pytest.raises(ValueError, match=rf"^field: {message}"):
        accepted(rule, field, 1)


@dataclass(frozen=True)
class Own(Gradient):
    """A rule with a number as it may come from anywhere."""

    scale: float = 1
    words: str = "none"
    count: int | None = None
    derived: float = field(init=False, default=3.0)

    def logits(self, network: Any, x: Any) -> Any:
        raise AssertionError("only the fields are looked at")


def test_a_rule_of_one_s_own_has_numbers_too():
    assert numbers(Own()) == {"scale": Number(float, 1)}
    assert replaced(Own(), "scale", 2.5) == Own(scale=2.5)
