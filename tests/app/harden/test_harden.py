"""Adversarial training from data to checkpoint: against what, in which range, what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from art_snn import RGA, STBP, checkpoint
from art_snn.app import train
from art_snn.app.attack import Attack
from art_snn.app.harden import Settings
from art_snn.app.resume import read_result
from art_snn.app.train import Fitted, fitted
from art_snn.app.train.figure import draw
from art_snn.checkpoint import CheckpointError
from art_snn.data import Dataset
from art_snn.gradients import parse_rule
from art_snn.metrics import Share
from art_snn.models import Architecture
from art_snn.training import TRADES, AdversarialTraining, Epoch, Recipe
from art_snn.training.defences import Strengths
from tests.datasets import halves, halves_in_frames

RECIPE = Recipe(epochs=2, batch_size=8, crop_padding=1, flip=True, cutout=1, learning_rate=0.02)
COMMON: dict[str, Any] = {"architecture": Architecture(steps=2), "recipe": RECIPE}
COMMON |= {"validation": 0.25, "device": "cpu"}
FGSM = Attack(name="fgsm", eps=0.1)


def settings(output: Path, **change: Any) -> Settings:
    return Settings(output=output, **COMMON | {"attack": FGSM} | change)


def hardened(asked: Settings, data: Dataset) -> Fitted:
    """What the command does, on data of one's own."""
    return fitted(asked, data)


def test_unless_told_otherwise_it_is_against_ten_steps_of_pgd_within_8_255_by_rga(tmp_path):
    asked = Settings(output=tmp_path)
    assert (asked.attack, asked.rule, asked.adversarial_share) == (Attack(), RGA(), 1.0)
    assert asked.attack == Attack(name="pgd", eps=8 / 255, iterations=10)
    assert Settings().output == Path("hardened")


def test_the_adversary_is_what_the_settings_say_within_the_range_of_the_data(tmp_path):
    asked = settings(tmp_path, rule=STBP(), adversarial_share=0.5)
    expected = AdversarialTraining(attack=FGSM, rule=STBP(), share=0.5, value_range=(0.0, 6.0))
    assert asked.adversary(halves_in_frames((0.0, 6.0))) == expected
    asked = replace(asked, defence="trades", strengths=Strengths(beta=2))
    assert asked.adversary(halves_in_frames((0.0, 6.0))) == replace(
        expected, defence=TRADES(beta=2)
    )


def test_it_tells_attack_and_rule_with_the_best_epoch(tmp_path):
    result = hardened(settings(tmp_path), halves())
    text, best = result.render(), result.best
    assert f"Best epoch {best.number} of 2: {100 * best.validation:.1f} % of the validation" in text
    assert "under FGSM, eps 0.1 by RGA(beta=2.0, gamma=0.2)." in text
    assert f"Test accuracy: {result.test} of 6 samples." in text
    notes = checkpoint.notes(tmp_path / "network.safetensors")
    assert "attack=Attack(name='fgsm'" in notes["adversary"]
    assert read_result(tmp_path / "training.json")["adversary"] == notes["adversary"]
    names = {"network.safetensors", "training.json", "training.md", "training.png", "training.pt"}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_the_rule_is_noted_with_all_that_it_consists_of(tmp_path):
    hardened(settings(tmp_path, rule=parse_rule("mean-rga-stbp")), halves())
    noted = checkpoint.notes(tmp_path / "network.safetensors")["adversary"]
    assert repr(parse_rule("mean-rga-stbp")) in noted
    assert "Mean(" in noted


def test_the_title_of_the_picture_fits_into_it():
    architecture = Architecture(model="resnet17", width=0.125, reset="soft", threshold=1.5, steps=2)
    words = AdversarialTraining(attack=Attack(eps=8 / 255, eps_step=2 / 255)).describe()
    title = f"{architecture.words()} on fashion-mnist"
    result = Fitted((Epoch(1, 1.0, 0.5),), Share(1, 2), title, words)
    figure = draw(result)
    figure.canvas.draw()
    box = figure.texts[0].get_window_extent()
    assert box.width < figure.bbox.width
    assert figure.get_suptitle().replace("\n", " ") == f"{title} against {words}"
    assert "\nagainst PGD, eps 0.03137, 10 steps of 0.007843 by RGA(" in figure.get_suptitle()
    assert figure.axes[1].get_ylabel() == "accuracy under attack [%]"


def test_adversarial_training_without_a_range_leaves_no_file(tmp_path):
    asked = settings(tmp_path / "new", architecture=Architecture())
    message = r"^value_range: expected the range that adversarial training may use, got None, for"
    with pytest.raises(ValueError, match=message):
        asked.adversary(halves_in_frames(None))
    with pytest.raises(ValueError, match=message):
        fitted(asked, halves_in_frames(None))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "change",
    [{"attack": Attack(name="fgsm", eps=0.2)}, {"rule": STBP()}, {"adversarial_share": 0.5}],
)
def test_the_folder_of_a_run_against_another_adversary_is_refused(change, tmp_path):
    asked = settings(tmp_path)
    hardened(asked, halves())
    message = r"^resume: expected a run of .* against AdversarialTraining\(.*got one of .* against"
    with pytest.raises(CheckpointError, match=message):
        hardened(replace(asked, **change), halves())
    with pytest.raises(CheckpointError, match=r"^resume: expected a run of Recipe\([^)]*\), best"):
        fitted(train.Settings(**COMMON, output=tmp_path), halves())
