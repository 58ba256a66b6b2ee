"""Attacks by their names, with options as they are typed, and what papers report."""

import numpy as np
import pytest
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent, SquareAttack

from art_snn import RGA, STBP
from art_snn.app.attack import Attack
from art_snn.app.evaluate.attacks import (
    attack_errors,
    attack_named,
    parsed,
    usual_attack,
    with_rules,
)
from art_snn.attacks import FLIPS, SHIFT, SHORT_NAMES, AutoPGD

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


BAD = ["7", "max_iter=", "max_iter", "a=b=c", "a=open('x')", "**{}", "a=1)()", "a=1,a=2", "a={[1]}"]


@pytest.mark.parametrize("text", [*BAD, "a=" + "-" * 5000 + "1"], ids=lambda text: text[:20])
def test_what_is_no_option_is_refused(text):
    with pytest.raises(ValueError, match="attack_options: expected names with values"):
        parsed(text)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("AutoPGD", AutoPGD, "AutoPGD"),
        ("SquareAttack", SquareAttack, "SquareAttack"),
        ("FGSM", FastGradientMethod, "FGSM"),
        ("pgd-7", ProjectedGradientDescent, "PGD-7"),
    ],
)
def test_an_attack_is_found_by_its_class_or_its_short_name(name, kind, words):
    plan = attack_named(name, {}, np.inf, 0.1)
    assert (plan.name, plan.stages[0].attack) == (words, kind)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_a_short_name_is_the_attack_that_other_commands_run(name):
    (stage,) = attack_named(name, {}, np.inf, 0.1).stages
    assert stage == Attack(name=name, eps=0.1).stage


def test_options_replace_those_of_a_short_name():
    plan = attack_named("pgd", {"max_iter": 5}, 2.0, 0.1)
    assert plan.name == "PGD(max_iter=5)"
    assert plan.stages[0].options == {"max_iter": 5, "eps_step": 0.025}


@pytest.mark.parametrize(
    "name", ["Square", "SpikingAutoAttack", "Outcome", "__doc__", "predictions"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=r"attack: .*class.* Or one of fgsm, pgd"):
        attack_named(name, {}, np.inf, 0.1)


@pytest.mark.parametrize(
    ("name", "option", "norm", "match"),
    [
        ("SquareAttack", "steps", np.inf, r"options of SquareAttack: .*max_iter.*got steps"),
        ("SquareAttack", "eps", np.inf, "flags of their own"),
        ("fgsm", "max_iter", np.inf, "options of fgsm: .*got max_iter"),
        ("SpikeRetiming", "max_shift", SHIFT, "flags of their own"),
        ("SpikeRetiming", "moved", FLIPS, "flags of their own"),
    ],
)
def test_options_that_an_attack_lacks_or_that_have_flags_are_refused(name, option, norm, match):
    with pytest.raises(ValueError, match=match):
        attack_named(name, {option: 5}, norm, 1)


@pytest.mark.parametrize("name", ["AutoPGD", "FGSM"])
def test_an_attack_runs_by_every_rule(name):
    plans = list(with_rules(attack_named(name, {}, np.inf, 0.1), RULES))
    assert [plan.name for plan in plans] == [f"{name} by stbp", f"{name} by rga"]
    assert [plan.stages[0].rule for plan in plans] == [STBP(), RGA()]


@pytest.mark.parametrize("name", ["SquareAttack", "SquareSearch"])
def test_an_attack_without_gradients_runs_once_by_no_rule(name):
    (plan,) = with_rules(attack_named(name, {}, np.inf, 0.1), RULES)
    assert (plan.name, plan.stages[0].rule) == (name, None)


def test_what_papers_report_is_pgd_of_seven_steps():
    pgd = usual_attack(np.inf, 0.8)
    assert (pgd.stages[0].attack, pgd.name) == (ProjectedGradientDescent, "PGD-7")
    assert pgd.stages[0].options == {"max_iter": 7, "eps_step": pytest.approx(0.255)}


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
