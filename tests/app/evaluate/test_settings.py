"""What art-snn evaluate can be asked, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from art_snn import RGA
from art_snn.app.evaluate import Settings
from art_snn.app.trained import Trained
from art_snn.attacks import FLIPS, SHIFT


def names(settings):
    return [plan.name for plan in settings.plans(settings.eps[0])]


@pytest.mark.parametrize(
    ("options", "decides", "plans"),
    [
        ({}, "standard", ["PGD-7 by stbp", "standard"]),
        ({"attack": "AutoPGD", "rules": {"rga": RGA()}}, "", ["AutoPGD by rga"]),
        (
            {"attack": "SquareAttack", "attack_options": "max_iter=9", "plan": "fast"},
            "fast",
            ["SquareAttack(max_iter=9)", "fast"],
        ),
    ],
)
def test_a_plan_decides_unless_an_attack_is_named_alone(options, decides, plans):
    settings = Settings(**options)
    assert (settings.deciding_plan, names(settings)) == (decides, plans)


@pytest.mark.parametrize(
    ("norm", "measure", "attack"),
    [
        ("inf", np.inf, "PGD-7"),
        ("2", 2.0, "PGD-7"),
        ("0", FLIPS, "SparseDynamicAttack"),
        ("shift", SHIFT, "SpikeRetiming"),
    ],
)
def test_each_norm_has_its_plans_and_its_usual_attack(norm, measure, attack):
    settings = Settings(norm=norm, eps=(2.0,))
    assert settings.measure == measure
    assert names(settings) == [f"{attack} by stbp", "standard"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eps": ()}, "eps: .*none"),
        ({"eps": (0.0,)}, "eps: .*above 0"),
        ({"eps": (0.1, 0.1)}, "eps: .*once, got 0.1, 0.1"),
        ({"eps": (1.5,), "norm": "0"}, "eps: .*whole"),
        ({"rules": {}}, "rules: .*at least one"),
        ({"attack": "Squares"}, "attack: .*class"),
        ({"attack_options": "max_iter=9"}, "attack_options: .*without an attack"),
        ({"attack": "AutoPGD", "attack_options": "steps=9"}, "attack_options: .*options of"),
        ({"examined": -1}, "examined: .*-1"),
        ({"block": 0}, "block: .*0"),
        ({"samples": 0}, "samples: .*0"),
        ({"fail_under": 30.0}, "fail_under: .*30.0"),
        ({"draws": 9}, "draws: .*without certify"),
        ({"draws": 0, "certify": True}, "draws: .*0"),
        ({"bounds": True, "norm": "shift", "eps": (1.0,)}, "bounds: .*norm inf or 2, got shift"),
        ({"bounds": True, "norm": "0", "eps": (1.0,)}, "bounds: .*norm inf or 2, got 0"),
        ({"seed": -1}, "seed: .*-1"),
        ({"name": ""}, "name: expected a name in one line, of 1 to 80 characters, got ''"),
        ({"name": " "}, "name: .*one line"),
        ({"name": "a\nb"}, "name: .*one line"),
        ({"name": 100 * "a"}, "name: .*one line, of 1 to 80 characters, got 'aaa"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(options, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}"):
        Settings(**options)


@pytest.mark.parametrize(
    ("checkpoint", "options", "label"),
    [
        (None, {"output": Path("out/plain")}, "plain"),
        (None, {"output": Path("/")}, "evaluation"),
        (None, {"output": Path("out/a\tb\udc80  c" + 100 * "d")}, ("a b c" + 75 * "d")),
        ("trained/network.safetensors", {}, "trained"),
        ("weights.pt", {}, "weights"),
        ("weights.pt", {"name": "a/<b>$x_1$</b>"}, "a/<b>$x_1$</b>"),
    ],
)
def test_the_name_is_that_of_the_checkpoint_or_the_folder(checkpoint, options, label):
    network = Trained(checkpoint=None if checkpoint is None else Path(checkpoint))
    assert Settings(network=network, **options).label == label


def test_numbers_depend_on_every_setting_but_on_those_of_the_run():
    usual = Settings().identity
    others = [{"eps": (0.1,)}, {"norm": "2"}, {"plan": "fast"}, {"attack": "AutoPGD"}]
    others += [{"rules": {"rga": RGA()}}, {"block": 32}, {"batch_size": 32}, {"seed": 1}]
    others += [{"examined": 50}, {"bounds": True}]
    assert all(Settings(**other).identity != usual for other in others)
    same = Settings(
        name="plain", fail_under=0.3, strict=True, save_adversarials=True, threads=2, device="cpu"
    )
    assert same.identity == usual


def test_numbers_depend_on_the_precision_that_was_asked_for():
    assert "attack_dtype" not in Settings().identity
    assert Settings(attack_dtype="bfloat16").identity["attack_dtype"] == "bfloat16"
    with pytest.raises(ValueError, match="attack_dtype: expected 'auto'"):
        Settings(attack_dtype="float32")
