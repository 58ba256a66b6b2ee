"""Defences as texts: each with its own hyperparameters, within their ranges."""

from dataclasses import fields

import pytest

from art_snn.checks import ArgumentError
from art_snn.training import AT, IBP, MPDSGR, MPPD, RAT, SR, TGO, TRADES, Operations, StoG
from art_snn.training.defences import DEFENCES, parse_defence


@pytest.mark.parametrize(
    ("text", "defence"),
    [
        ("at", AT()),
        ("trades", TRADES()),
        ("trades(beta=1)", TRADES(beta=1)),
        ("rat(orthogonality=0.1)", RAT(orthogonality=0.1)),
        ("sr(sparsity=1/2, step=0.02)", SR(sparsity=0.5, step=0.02)),
        ("stog(opening=0.5)", StoG(opening=0.5)),
        ("ibp(method=s-ibp, ramp=0.5)", IBP(method="s-ibp", ramp=0.5)),
        ("mpd-sgr(weight=1, width=2)", MPDSGR(weight=1.0, width=2.0)),
        ("tgo(margin=0.5)", TGO(margin=0.5)),
        ("mppd(kind=l2, clean=0.2)", MPPD(kind="l2", clean=0.2)),
        ("operations(weight=3)", Operations(weight=3.0)),
    ],
)
def test_a_defence_is_read_with_its_fields(text, defence):
    assert parse_defence(text) == defence


def test_every_defence_has_a_name():
    assert {name: type(parse_defence(name)) for name in DEFENCES} == dict(DEFENCES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trade", "^defence: expected one of at, trades, rat, .*, got 'trade'"),
        ("", "^defence: expected "),
        ("trades(beta=6", "^defence: expected name or name"),
        ("trades(gamma=1)", "^defence: expected options of trades: beta, got gamma"),
        ("at(beta=1)", "^defence: expected options of at: none, got beta"),
        ("ibp(eps=0.1)", "^defence: expected options of ibp: .*, got eps"),
        ("trades(beta=0)", "^defence: beta: "),
        ("ibp(method=exact)", "^defence: method: expected one of "),
        ("mppd(kind=l0)", "^defence: kind: expected one of l1, l2, got 'l0'"),
    ],
)
def test_what_is_no_defence_is_refused_by_what_is_wrong_with_it(text, message):
    with pytest.raises(ArgumentError, match=message):
        parse_defence(text)


NUMBERS = [
    (kind, one.name)
    for kind in DEFENCES.values()
    for one in fields(kind)
    if isinstance(one.default, float)
]


@pytest.mark.parametrize("value", [0, -1, "some", True, float("nan"), float("inf"), 1e9])
@pytest.mark.parametrize(("defence", "name"), NUMBERS)
def test_a_strength_that_is_not_above_0_or_has_no_end_is_refused(defence, name, value):
    with pytest.raises(ValueError, match=rf"^{name}: expected a number (above|from) "):
        defence(**{name: value})


@pytest.mark.parametrize(
    ("defence", "name", "value", "word"),
    [
        (RAT, "orthogonality", 1, "below"),
        (StoG, "opening", 1, "below"),
        *((IBP, name, 1.5, "at most") for name in ("ramp", "bound_weight")),
        (MPPD, "clean", 1.5, "at most"),
    ],
)
def test_a_share_of_more_than_all_is_refused(defence, name, value, word):
    with pytest.raises(ValueError, match=f"^{name}: expected a number above 0 and {word} 1, got"):
        defence(**{name: value})
