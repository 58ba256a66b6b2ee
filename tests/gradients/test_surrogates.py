"""Surrogate slopes: every value of the table, and the laws that all of them obey."""

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.gradients import Exponential, FastSigmoid, Rectangle, StraightThrough, Surrogate
from art_snn.gradients.surrogates import ATan, Gaussian, Sigmoid, Triangle

Z = [-0.6, -0.25, 0.0, 0.1, 0.5, 1.0]

TABLE = [
    (Triangle(), [0.4, 0.75, 1, 0.9, 0.5, 0]),
    (Triangle(width=0.5), [0, 1, 2, 1.6, 0, 0]),
    (ATan(), [0.219633, 0.618486, 1, 0.91017, 0.2884, 0.092]),
    (Sigmoid(), [0.30502, 0.786448, 1, 0.961043, 0.419974, 0.070651]),
    (Gaussian(), [0.388372, 0.704131, 0.797885, 0.782085, 0.483941, 0.107982]),
    # From the formulas: the interval of the rectangle is open, |z| = w/2 gives 0.
    (Rectangle(), [0, 1, 1, 1, 0, 0]),
    (Rectangle(width=0.5), [0, 0, 2, 2, 0, 0]),
    (Gaussian(2 * math.sqrt(2)), [2 / math.sqrt(math.pi) * math.exp(-((2 * z) ** 2)) for z in Z]),
    (FastSigmoid(), [1 / 256, 1 / 7.25**2, 1, 1 / 12.25, 1 / 13.5**2, 1 / 676]),
    (Exponential(), [0.548812, 0.778801, 1, 0.904837, 0.606531, 0.367879]),
    (Exponential(gamma=2.0, height=0.3), [0.090358, 0.181959, 0.3, 0.245619, 0.110364, 0.040601]),
    (StraightThrough(), [1, 1, 1, 1, 1, 1]),
]
ALL = [kind for kind in Surrogate.__subclasses__() if kind.__module__.startswith("art_snn.")]
FIELDS = [(kind, field.name) for kind in ALL for field in fields(kind)]


def test_every_surrogate_is_in_the_table():
    assert {type(surrogate) for surrogate, _ in TABLE} == set(ALL)


@pytest.mark.parametrize(("surrogate", "values"), TABLE, ids=lambda row: repr(row)[:30])
def test_the_slopes_are_those_of_the_table(surrogate, values):
    slopes = surrogate(torch.tensor(Z, dtype=torch.float64))
    assert slopes.tolist() == pytest.approx(values, abs=6e-7)


@pytest.mark.parametrize("surrogate", [Triangle, Rectangle, ATan, Sigmoid, Gaussian])
@settings(deadline=None, derandomize=True, database=None, max_examples=10)
@given(shape=st.floats(0.5, 4))
def test_slopes_are_the_derivative_of_a_step_of_height_one(surrogate, shape):
    edge = 400.0
    z = torch.linspace(-edge, edge, 800_001, dtype=torch.float64)
    integral = torch.trapezoid(surrogate(shape)(z), z).item()
    # Only the arctangent has tails that matter: 1 - 2 / (pi^2 alpha edge).
    assert integral == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "1"])
@pytest.mark.parametrize(("surrogate", "name"), FIELDS)
def test_a_field_that_is_no_positive_number_is_refused(surrogate, name, value):
    with pytest.raises(ValueError, match=f"^{surrogate.__name__}.{name}: .*above 0"):
        surrogate(**{name: value})
