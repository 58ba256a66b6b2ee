"""What a comparison is asked: which rules, on how many samples, and the words for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from art_snn.app.attack import Attack
from art_snn.app.compare import RULES, Settings
from art_snn.gradients import EOT, GRADIENTS, RGA, STBP, Extended, Mean, parse_rules

ATTACK = Attack(eps=0.03, iterations=5)


def test_the_rules_are_all_that_have_a_name_and_three_made_of_them():
    assert {name: type(rule) for name, rule in RULES.items()} == dict(GRADIENTS) | {
        "pdsg-per-sample": GRADIENTS["pdsg"],
        "rga-32-steps": Extended,
        "mean-rga-stbp": Mean,
    }
    assert RULES["pdsg-per-sample"] != RULES["pdsg"]
    assert RULES["rga-32-steps"] == Extended(RGA(), steps=32)
    assert RULES["mean-rga-stbp"] == Mean(RGA(), STBP())
    assert dict(Settings().rules) == dict(RULES)


def test_rules_are_chosen_by_their_names():
    assert parse_rules("rga, mean-rga-stbp,") == {n: RULES[n] for n in ("rga", "mean-rga-stbp")}
    assert parse_rules("") == {}


@pytest.mark.parametrize("names", ["stbp,sgd", "STBP"])
def test_an_unknown_rule_is_refused_and_the_known_ones_are_named(names):
    unknown = names.split(",")[-1]
    message = (
        rf"^rules: expected one of 'stbp', 'pdsg', .*'pdsg-per-sample', .*got '{unknown}'\. "
        r"Any of them may stand in eot-NAME, .*mean-NAME-NAME"
    )
    with pytest.raises(ValueError, match=message):
        parse_rules(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": {}}, r"^rules: expected at least one, got none\. Name some"),
        ({"samples": 0}, r"^samples: expected a whole number >= 1, got 0\. Use a whole"),
        ({"batch_size": 0}, r"^batch_size: expected a whole number >= 1, got 0\. Use a whole"),
        ({"eot": 0}, r"^eot: expected a whole number >= 1, got 0"),
        ({"repeats": 1.5}, r"^repeats: expected a whole number >= 1, got 1\.5"),
        ({"seed": -1}, r"^seed: expected a whole number >= 0, got -1\. Use 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_settings_are_written_in_words():
    rules = {"stbp": STBP(), "rga": RGA()}
    settings = Settings(attack=ATTACK, rules=rules, batch_size=4, repeats=1, eot=2)
    content = json.loads(json.dumps(settings.as_dict()))
    assert content["attack"] == {"name": "pgd", "eps": 0.03, "eps_step": None, "iterations": 5}
    assert content["rules"]["rga"] == str(EOT(RGA(), samples=2))
    assert (content["samples"], content["batch_size"], content["eot"]) == (500, 4, 2)


def test_rows_depend_on_every_setting_but_the_place_and_the_machine():
    settings = Settings(attack=ATTACK, rules={"rga": RGA()})
    moved = replace(settings, output=settings.output / "elsewhere", device="cpu", threads=1)
    assert moved.identity == settings.identity
    changes = ({"attack": replace(ATTACK, eps=0.04)}, {"rules": {"rga": RGA(beta=3)}})
    changes += ({"samples": 9}, {"batch_size": 5}, {"eot": 2}, {"repeats": 2}, {"seed": 1})
    for change in changes:
        assert repr(replace(settings, **change).identity) != repr(settings.identity), change
