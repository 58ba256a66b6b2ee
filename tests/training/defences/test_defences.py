"""Defences as texts: each with its own hyperparameters, within their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.training import AT, DEFENCES, IBP, RAT, SR, TRADES
from art_snn.training.defences import parse_defence


def test_a_text_names_a_defence_and_sets_its_fields():
    assert parse_defence("at") == AT()
    assert parse_defence("trades(beta=1)") == TRADES(beta=1)
    assert parse_defence("rat(orthogonality=0.1)") == RAT(orthogonality=0.1)
    assert parse_defence("sr(sparsity=0.5, step=0.02)") == SR(sparsity=0.5, step=0.02)
    assert parse_defence("ibp(method=s-ibp, ramp=0.5)") == IBP(method="s-ibp", ramp=0.5)
    assert {name: type(parse_defence(name)) for name in DEFENCES} == dict(DEFENCES)
    described = [parse_defence(name).describe() for name in DEFENCES]
    ibp = "IBP, counts, weight 0.5 after 60% of the steps"
    sentences = ["", "TRADES, beta 6", "RAT, orthogonality 0.004", "SR, sparsity 0.002", ibp]
    assert described == sentences


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("at(beta=0.5)", "expected options of at: none, got beta"),
        ("trades(orthogonality=1)", "expected options of trades: beta, got orthogonality"),
        ("ibp(eps=0.5)", "expected options of ibp: method, ramp, bound_weight, got eps"),
        ("ibp(method=crown)", "method: expected one of counts, s-ibp, got 'crown'"),
        ("trades(beta=0)", "beta: expected a number above 0"),
        ("mart", "expected one of at, trades, rat, sr, ibp"),
    ],
)
def test_another_name_field_or_value_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^defence: {message}"):
        parse_defence(text)


@pytest.mark.parametrize(
    ("defence", "name", "values", "word"),
    [
        (TRADES, "beta", (0, -1, "six", True, 1e9), r"(above 0|from 0 to 1e\+06)"),
        (RAT, "orthogonality", (0, 1, -0.1, "some"), "above 0 and below 1"),
        (SR, "sparsity", (0, -1, "some", 1e9), "(above 0|from .*), got"),
        (IBP, "ramp", (0, -1, 1.5, "some"), "above 0 and at most 1"),
        (IBP, "bound_weight", (0, -1, 1.5, "some"), "above 0 and at most 1"),
        (SR, "step", (0, -1, "some", 1e9), "(above 0|from .*), got"),
    ],
)
def test_another_strength_is_refused(defence, name, values, word):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name}: expected a number {word}"):
            defence(**{name: value})


def test_numbers_from_numpy_have_the_repr_of_python_s_own():
    assert repr(TRADES(beta=np.float64(2))) == "TRADES(beta=2.0)"
    assert repr(RAT(orthogonality=np.float64(0.5))) == "RAT(orthogonality=0.5)"
    assert repr(SR(sparsity=np.float64(2), step=np.float64(0.5))) == "SR(sparsity=2.0, step=0.5)"
