"""Defences by name: each with its own strength, and without that of another one."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.training import AT, DEFENCES, IBP, RAT, SR, TRADES
from art_snn.training.defences import defence_named


def test_every_defence_has_its_name_and_its_strength():
    assert defence_named("at") == AT()
    assert defence_named("trades", beta=1.0) == TRADES(beta=1)
    assert defence_named("rat", orthogonality=0.1, beta=None) == RAT(orthogonality=0.1)
    assert defence_named("sr", sparsity=0.5) == SR(sparsity=0.5)
    assert defence_named("ibp", method="s-ibp", ramp=0.5) == IBP(method="s-ibp", ramp=0.5)
    assert {name: type(defence_named(name)) for name in DEFENCES} == dict(DEFENCES)
    words = [defence_named(name).describe() for name in DEFENCES]
    ibp = "IBP, counts, weight 0.5 after 60% of the steps"
    assert words == ["", "TRADES, beta 6", "RAT, orthogonality 0.004", "SR, sparsity 0.002", ibp]


@pytest.mark.parametrize(
    ("name", "strength", "message"),
    [
        ("at", {"beta": 0.5}, "beta: expected None for at.*trades"),
        ("sr", {"beta": 0.5}, "beta: expected None for sr.*trades"),
        ("trades", {"orthogonality": 0.5}, "orthogonality: expected None for trades.*rat"),
        ("rat", {"sparsity": 0.5}, "sparsity: expected None for rat.*sr"),
        ("at", {"ramp": 0.5}, "ramp: expected None for at.*ibp"),
        ("ibp", {"eps": 0.5}, "eps: expected None for ibp"),
        ("ibp", {"method": "crown"}, "method: expected one of counts, s-ibp, got 'crown'"),
        ("mart", {}, "defence: expected one of at, trades, rat, sr, ibp"),
    ],
)
def test_another_name_and_a_strength_of_another_defence_are_refused(name, strength, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        defence_named(name, **strength)


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
