"""Defences by name: each with its own strength, and without that of another one."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.training import AT, DEFENCES, RAT, SR, TRADES, AdversarialTraining
from art_snn.training.defences import defence_named


def test_every_defence_has_its_name_and_its_strength():
    assert defence_named("at") == AT()
    assert defence_named("trades", beta=1.0) == TRADES(beta=1)
    assert defence_named("rat", orthogonality=0.1, beta=None) == RAT(orthogonality=0.1)
    assert defence_named("sr", sparsity=0.5) == SR(sparsity=0.5)
    assert {name: type(defence_named(name)) for name in DEFENCES} == dict(DEFENCES)


@pytest.mark.parametrize(
    ("name", "strength", "owner"),
    [
        ("at", "beta", "trades"),
        ("sr", "beta", "trades"),
        ("trades", "orthogonality", "rat"),
        ("rat", "sparsity", "sr"),
    ],
)
def test_a_strength_of_another_defence_is_refused(name, strength, owner):
    message = (
        rf"^{strength}: expected None for {name}, which has none, got 0\.5\. "
        rf"Leave it out, or take {owner} for the defence\."
    )
    with pytest.raises(ValueError, match=message):
        defence_named(name, **{strength: 0.5})


def test_another_name_is_refused():
    message = r"^defence: expected one of at, trades, rat, sr, got 'mart'\. Adversarial training"
    with pytest.raises(ValueError, match=message):
        defence_named("mart")


@pytest.mark.parametrize("defence", [None, "trades", TRADES])
def test_what_is_no_defence_is_refused(defence):
    message = r"^defence: expected a defence such as AT\(\), got .* for example TRADES\(beta=6\)\."
    with pytest.raises(TypeError, match=message):
        AdversarialTraining(defence=defence)


def test_numbers_from_numpy_tell_themselves_as_plain_ones():
    assert repr(TRADES(beta=np.float64(2))) == "TRADES(beta=2.0)"
    assert repr(RAT(orthogonality=np.float64(0.5))) == "RAT(orthogonality=0.5)"
    assert repr(SR(sparsity=np.float64(2), step=np.float64(0.5))) == "SR(sparsity=2.0, step=0.5)"


def test_words_tell_the_strength_and_adversarial_training_alone_has_none():
    told = [defence_named(name).words() for name in DEFENCES]
    assert told == ["", "TRADES, beta 6", "RAT, orthogonality 0.004", "SR, sparsity 0.002"]


def test_adversarial_training_alone_tells_itself_as_before_there_were_defences():
    plain = repr(AdversarialTraining())
    assert plain.endswith("share=1.0, value_range=(0.0, 1.0))")
    other = repr(AdversarialTraining(defence=TRADES()))
    assert other == f"{plain[:-1]}, defence=TRADES(beta=6.0))"
