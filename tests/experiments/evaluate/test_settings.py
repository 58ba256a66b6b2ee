"""What art-snn evaluate can be asked, and what it refuses."""

import numpy as np
import pytest

from art_snn import RGA
from art_snn.attacks import FLIPS, SHIFT
from art_snn.experiments.evaluate import Settings


def names(settings):
    return [plan.name for plan in settings.plans(settings.eps[0])]


def test_unless_something_else_is_asked_for_the_plan_decides_beside_what_papers_report():
    assert names(Settings()) == ["PGD-7 by stbp", "standard"]
    assert Settings().decides == "standard"


def test_an_attack_by_name_takes_the_place_of_the_plan_and_stands_beside_one_that_is_asked_for():
    alone = Settings(attack="AutoPGD", rules={"rga": RGA()})
    assert (names(alone), alone.decides) == (["AutoPGD by rga"], "")
    both = Settings(attack="SquareAttack", attack_options="max_iter=9", plan="fast")
    assert names(both) == ["SquareAttack(max_iter=9)", "fast"]


@pytest.mark.parametrize(
    ("norm", "measure", "beside"),
    [
        ("inf", np.inf, "PGD-7"),
        ("2", 2.0, "PGD-7"),
        ("0", FLIPS, "SparseDynamicAttack"),
        ("shift", SHIFT, "SpikeRetiming"),
    ],
)
def test_every_norm_has_its_plans_and_what_stands_beside(norm, measure, beside):
    settings = Settings(norm=norm, eps=(2.0,))
    assert settings.measure == measure
    assert names(settings) == [f"{beside} by stbp", "standard"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eps": ()}, "eps: expected at least one budget, got none"),
        ({"eps": (0.0,)}, "eps: expected a number above 0"),
        ({"eps": (0.1, 0.1)}, "eps: expected each budget once, got 0.1, 0.1"),
        ({"eps": (1.5,), "norm": "0"}, "eps: expected a whole number"),
        ({"rules": {}}, "rules: expected at least one"),
        ({"attack": "Squares"}, "attack: expected the class of an evasion attack"),
        ({"attack_options": "max_iter=9"}, "attack_options: expected None without an attack"),
        ({"attack": "AutoPGD", "attack_options": "steps=9"}, "attack_options: expected options of"),
        ({"examined": -1}, "examined: expected a whole number >= 0"),
        ({"block": 0}, "block: expected a whole number >= 1"),
        ({"samples": 0}, "samples: expected a whole number >= 1"),
        ({"fail_under": 30.0}, "fail_under: expected a number above 0 and at most 1, got 30.0"),
        ({"draws": 9}, "draws: expected None without certify, got 9"),
        ({"draws": 0, "certify": True}, "draws: expected a whole number >= 1"),
        ({"seed": -1}, "seed: expected a whole number >= 0"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Settings(**options)


def test_numbers_depend_on_every_setting_but_on_those_of_the_run():
    usual = Settings().identity
    others = [
        {"eps": (0.1,)},
        {"norm": "2"},
        {"plan": "fast"},
        {"attack": "AutoPGD"},
        {"rules": {"rga": RGA()}},
        {"block": 32},
        {"batch_size": 32},
        {"seed": 1},
        {"examined": 50},
    ]
    assert all(Settings(**other).identity != usual for other in others)
    same = Settings(fail_under=0.3, strict=True, save_adversarials=True, threads=2, device="cpu")
    assert same.identity == usual
