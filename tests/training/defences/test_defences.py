"""Defences as texts: each with its own hyperparameters, within their ranges."""

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


WITHIN = "(above|from) "


@pytest.mark.parametrize(
    ("defence", "name", "values", "word"),
    [
        (TRADES, "beta", (0, -1, "six", True, 1e9), r"(above 0|from 1e-06 to 1e\+06)"),
        (RAT, "orthogonality", (0, 1, -0.1, "some"), "above 0 and below 1"),
        (SR, "sparsity", (0, -1, "some", 1e9), WITHIN),
        (StoG, "opening", (0, 1, -0.1, "some"), "above 0 and below 1"),
        (StoG, "rate", (0, -1, "some", 1e9), WITHIN),
        (IBP, "ramp", (0, -1, 1.5, "some"), "above 0 and at most 1"),
        (IBP, "bound_weight", (0, -1, 1.5, "some"), "above 0 and at most 1"),
        (SR, "step", (0, -1, "some", 1e9), WITHIN),
        *((MPDSGR, name, (0, -1, float("inf"), 1e9), WITHIN) for name in ("weight", "width")),
        *((TGO, name, (0, -1, "some", 1e9), WITHIN) for name in ("weight", "margin")),
        (MPPD, "weight", (0, -1, float("nan"), 1e9), WITHIN),
        (MPPD, "clean", (0, -1, 1.5, "some"), "above 0 and at most 1"),
        (Operations, "weight", (0, -1, "some", 1e9), WITHIN),
    ],
)
def test_another_strength_is_refused(defence, name, values, word):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name}: expected a number {word}"):
            defence(**{name: value})
