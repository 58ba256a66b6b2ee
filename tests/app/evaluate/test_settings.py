"""What art-snn evaluate can be asked, and what it refuses before torch is imported."""

from pathlib import Path

import pytest

from art_snn.app.evaluate.settings import Evaluate
from tests.command import python


@pytest.mark.parametrize(
    ("options", "plan"),
    [({}, "standard"), ({"attack": "AutoPGD"}, ""), ({"attack": "pgd", "plan": "fast"}, "fast")],
)
def test_a_plan_decides_unless_an_attack_is_named_alone(options, plan):
    assert Evaluate(**options).deciding_plan == plan


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"model": "zoo:digits-at"}, "digits-at"),
        ({"model": f"hf:owner/nets/small@{40 * 'a'}"}, "small"),
        ({"model": f"hf:owner/nets/network@{40 * 'a'}"}, "nets"),
        ({"model": "deep/mine.py:load"}, "mine-load"),
        ({"model": "package.module:load"}, "package.module-load"),
        ({"model": "mine.py:load", "checkpoint": Path("weights.ckpt")}, "weights"),
        ({"checkpoint": Path("trained/network.safetensors")}, "trained"),
    ],
)
def test_results_lie_in_a_folder_of_the_name_of_the_network(options, name):
    assert Evaluate(**options).output == Path(f"results/evaluation-{name}")
    assert Evaluate(**options, output=Path("mine")).output == Path("mine")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eps": ()}, "eps: .*none"),
        ({"eps": (0.1, 0.1)}, "eps: .*got 0.1, 0.1"),
        *(({name: 0}, f"{name}: .*0") for name in ("samples", "batch_size", "block", "draws")),
        *(({name: -1}, f"{name}: .*-1") for name in ("examined", "seed")),
        ({"fail_under": 30.0}, "fail_under: .*30.0. It is a share"),
        ({"decide": 10}, "decide: .*bounds .*, got none. Add --bounds"),
        ({"decide": 10, "bounds": True, "norm": "2"}, "decide: expected the norm inf, got 2"),
        ({"decide": 0, "bounds": True}, "decide: expected a number above 0"),
        ({"decide": 9, "bounds": True, "attack": "pgd"}, "decide: .*a plan"),
        ({"strict": True, "attack": "pgd"}, "strict: .*plan .*, got pgd"),
        ({"strict": True, "examined": 0}, "strict: expected findings"),
        ({"adversarials": ("a.npz",), "attack": "pgd"}, "adversarials: .*a plan"),
        ({"sources": ("none.pt",)}, "sources: .*none.pt"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, complaint):
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{complaint}"):
        Evaluate(**options)


def test_settings_are_made_without_torch():
    code = "import sys; from art_snn.app.evaluate.settings import Evaluate; Evaluate()\n"
    assert python("-c", f"{code}sys.exit('torch' in sys.modules)").status == 0
