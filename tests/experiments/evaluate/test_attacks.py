"""Attacks by their names, with options as they are typed, and what papers report."""

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent, SquareAttack

from art_snn import RGA, STBP
from art_snn.attacks import FLIPS, SHIFT, AutoPGD, SparseDynamicAttack, SpikeRetiming
from art_snn.experiments.evaluate.attacks import (
    WITHOUT_GRADIENTS,
    attack_errors,
    attack_named,
    own_budget,
    parsed,
    usual,
)
from tests.audit import PREDICTIONS, ROWS

RULES = {"stbp": STBP(), "rga": RGA()}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("max_iter=1000", {"max_iter": 1000}),
        ("loss_type=margin,targets=3", {"loss_type": "margin", "targets": 3}),
        ("eta=-0.5,name='a b'", {"eta": -0.5, "name": "a b"}),
        ("p=(1,2),flag=True", {"p": (1, 2), "flag": True}),
    ],
)
def test_options_are_literals_and_other_words_are_words(text, options):
    assert parsed(text) == options


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "max_iter=",
        "max_iter",
        "a=b=c",
        "a=open('x')",
        "**{}",
        ")",
        "a=1,a=2",
        "a=" + "-" * 5000 + "1",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_option_is_refused(text):
    with pytest.raises(ValueError, match="attack_options: expected names with values"):
        parsed(text)


@pytest.mark.parametrize(("name", "kind"), [("AutoPGD", AutoPGD), ("SquareAttack", SquareAttack)])
def test_a_class_of_ours_or_of_art_is_found_by_its_name(name, kind):
    found = attack_named(name, {"max_iter": 5})
    assert (found.kind, found.name) == (kind, f"{name}(max_iter=5)")


@pytest.mark.parametrize(
    "name", ["Square", "SpikingAutoAttack", "Outcome", "__doc__", "predictions"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="attack: expected the class of an evasion attack"):
        attack_named(name, {})


def test_options_that_an_attack_lacks_and_those_with_flags_of_their_own_are_refused():
    with pytest.raises(ValueError, match=r"options of SquareAttack: .*max_iter.*got steps"):
        attack_named("SquareAttack", {"steps": 5})
    with pytest.raises(ValueError, match="flags of their own"):
        attack_named("SquareAttack", {"eps": 0.1})


def test_an_attack_runs_by_every_rule_and_one_without_gradients_once():
    plans = list(attack_named("AutoPGD", {}).plans(RULES))
    assert [plan.name for plan in plans] == ["AutoPGD by stbp", "AutoPGD by rga"]
    assert [plan.stages[0].rule for plan in plans] == [STBP(), RGA()]
    (plan,) = attack_named("SquareAttack", {}).plans(RULES)
    assert (plan.name, plan.stages[0].rule) == ("SquareAttack", None)


def test_attacks_without_gradients_are_those_of_the_audit():
    known = {row.attack for row in ROWS if row.reach == PREDICTIONS}
    assert known & WITHOUT_GRADIENTS
    assert known <= WITHOUT_GRADIENTS


def test_what_papers_report_is_pgd_of_seven_steps_and_the_attack_of_a_norm_of_counts():
    pgd = usual(np.inf, 0.8)
    assert (pgd.kind, pgd.name) == (ProjectedGradientDescent, "PGD-7")
    assert dict(pgd.options) == {"max_iter": 7, "eps_step": pytest.approx(0.255)}
    assert usual(FLIPS, 3).kind is SparseDynamicAttack
    assert usual(SHIFT, 3).kind is SpikeRetiming


def test_attacks_that_look_for_the_nearest_adversarial_have_no_budget():
    assert own_budget(SquareAttack)
    assert own_budget(SparseDynamicAttack)
    assert not own_budget(attack_named("DeepFool", {}).kind)


def test_whatever_an_attack_of_art_raises_is_told_as_a_complaint_about_its_choice():
    expected = r"attack: expected an attack that runs .*SquareAttack, which fails \(KeyError: 'x'\)"
    with pytest.raises(ValueError, match=expected), attack_errors(SquareAttack):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("kind", "error"), [(AutoPGD, KeyError), (SquareAttack, KeyboardInterrupt)]
)
def test_errors_of_our_own_attacks_and_interruptions_pass(kind, error):
    with pytest.raises(error), attack_errors(kind):
        raise error("x")
