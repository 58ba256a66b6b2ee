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
    hyperparameters,
    parse_rule,
    set_hyperparameter,
)


@pytest.mark.parametrize("name", [*GRADIENTS, "pdsg-per-sample", "eot-rga", "hart-16-steps"])
def test_every_number_of_a_rule_can_be_put_back(name):
    rule = parse_rule(name)
    for dotted, number in hyperparameters(rule).items():
        assert set_hyperparameter(rule, dotted, number) == rule


def test_the_numbers_of_a_rule_include_those_of_what_is_inside_it():
    assert hyperparameters(RGA()) == {"beta": 2.0, "gamma": 0.2}
    assert list(hyperparameters(STBP())) == ["surrogate.width", "detach_reset"]
    assert list(hyperparameters(ASSG()))[:3] == ["omega", "surrogate.alpha", "decay_mean"]
    assert list(hyperparameters(EOT(HART()))) == ["rule.surrogate.width", "samples"]
    assert hyperparameters(StaticCurve(limit=math.inf)) == {"limit": math.inf}
    for rule in (BPTR(), Mean(RGA(), STBP()), object()):
        assert hyperparameters(rule) == {}


def test_a_number_that_is_set_leaves_everything_else():
    rule = EOT(HART(surrogate=ATan(alpha=3)), samples=7)
    other = EOT(HART(surrogate=ATan(alpha=5)), samples=7)
    assert set_hyperparameter(rule, "rule.surrogate.alpha", 5.0) == other
    assert rule.rule == HART(surrogate=ATan(alpha=3))


@pytest.mark.parametrize(
    ("rule", "field", "value", "kept"),
    [
        (RGA(), "beta", 3, 3.0),
        (RGA(), "gamma", Fraction(1, 4), 0.25),
        (RGA(beta=2), "beta", np.float32(0.5), 0.5),
        (CBA(), "levels", 8.0, 8),
        (Extended(RGA()), "steps", np.int64(8), 8),
        (PDSG(), "per_sample", 1.0, True),
        (PDSG(), "per_sample", False, False),
    ],
    ids=str,
)
def test_a_value_is_brought_into_the_kind_of_the_field(rule, field, value, kept):
    got = hyperparameters(set_hyperparameter(rule, field, value))[field]
    assert got == kept
    assert type(got) is type(kept)


@pytest.mark.parametrize(
    ("rule", "field", "value", "message"),
    [
        (RGA(), "beta", True, r"beta of RGA can have, got True \(expected a number, got True\)\."),
        (RGA(), "beta", "2", r"got 2 \(expected a number, got '2'\)"),
        (RGA(), "beta", 0, r"got 0 \(beta: expected a number above 0, got 0\.0\. .* best\)\. L"),
        (CBA(), "levels", 8.5, r"levels of CBA can have, got 8\.5 \(expected a whole number, got"),
        (CBA(), "levels", math.inf, r"got inf \(expected a whole number, got inf\)"),
        (CBA(), "levels", True, r"got True \(expected a whole number, got True\)"),
        (PDSG(), "per_sample", 2, r"got 2 \(expected 0 or 1, got 2\)"),
        (HART(), "surrogate.width", 0, r"width of HART .* \(Triangle\.width: expected a number ab"),
        (RGA(), "width", 1, r"one of beta, gamma, got 'width'\. The rule is RGA\(beta=2"),
        (STBP(), "surrogate", 1, r"one of surrogate\.width, detach_reset, got 'surrogate'"),
        (BPTR(), "beta", 1, r"a rule with a number in a field, got 'beta'\. The rule is B"),
    ],
    ids=str,
)
def test_what_a_rule_refuses_is_refused_with_its_reason(rule, field, value, message):
    with pytest.raises(ValueError, match=rf"^here: expected .*{message}"):
        set_hyperparameter(rule, field, value, "here")


@dataclass(frozen=True)
class Own(Gradient):
    """A rule with a number as it may come from anywhere."""

    scale: float = 1
    words: str = "none"
    count: int | None = None
    derived: float = field(init=False, default=3.0)

    def logits(self, network: Any, x: Any) -> Any:
        raise AssertionError("only the fields are looked at")


def test_a_rule_of_a_user_has_numbers_too():
    assert hyperparameters(Own()) == {"scale": 1}
    assert set_hyperparameter(Own(), "scale", 2.5) == Own(scale=2.5)
