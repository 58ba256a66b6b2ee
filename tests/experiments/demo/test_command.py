"""art-snn demo: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_snn.experiments.demo import ATTACKS, Settings
from art_snn.experiments.resume import read_result
from tests.command import call
from tests.own import own

DEMO = ("demo", "--epochs", "1", "--test-images", "16", "--eps", "0.1,0.3", "--device", "cpu")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Whatever is written without a folder is written here."""
    monkeypatch.chdir(tmp_path)


def test_the_demo_prints_its_table_and_its_verdict(tmp_path):
    folder = tmp_path / "out"
    done = call(*DEMO, "--model", own(tmp_path, (1, 8, 8), 10), "--output", str(folder))
    assert done.status == 0, done.stderr
    assert "Attack success among the correctly classified" in done.stdout
    assert "Which gradient was stronger" in done.stdout
    assert "plain, PGD-10: " in done.stdout
    files = "results.json, results.md, accuracy.png, adversarials.png"
    assert f"Written to {folder}: {files}" in done.stdout
    assert sorted(file.name for file in folder.iterdir()) == sorted(files.split(", "))
    results = read_result(folder / "results.json")
    assert results["seed"] == 0
    assert results["eps"] == [0.1, 0.3]
    assert len(results["verdicts"]) == 2 * len(ATTACKS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: expected a whole number >= 1, got 0. Training needs"),
        (("--seed", "-1"), "--seed: expected a whole number >= 0, got -1. Use 0."),
        (("--test-images", "0"), "--test-images: expected a whole number >= 1, got 0. Leave"),
        (("--train_eps", "x"), "--train_eps: expected a number such as 0.03 or 8/255, got 'x'."),
        (("--train-eps", "0"), "--train-eps: expected a number above 0, got 0.0. 0.1 is the"),
        (("--eps", "0.1,0"), "--eps: expected a number above 0, got 0.0. A budget of 0 is no"),
        (("--eps", "0.1,x"), "--eps: expected a number such as 0.03 or 8/255, got 'x'."),
        (("--attack-dtype", "half"), "--attack-dtype: expected 'auto', 'bfloat16', 'float16'"),
        (("--device", "tpu"), "--device: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--threads", "0"), "--threads: expected a whole number >= 1, got 0."),
        (("--model", "vgg7"), "--model: expected one of vgg5, vgg11, vgg16, resnet17,"),
        (("--model", "none.py:f"), "--model: expected file.py:function or package.module:function"),
    ],
)
def test_a_demo_that_makes_no_sense_is_a_usage_error(arguments, message, tmp_path):
    done = call(*DEMO, *arguments)
    assert done.status == 2, done.stdout
    assert f"art-snn demo: error: {message}" in done.complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"^epochs: expected a whole number >= 1, got 0"),
        ({"seed": -1}, r"^seed: expected a whole number >= 0, got -1"),
        ({"test_images": 0}, r"^test_images: expected a whole number >= 1, got 0\. Leave it out"),
        ({"train_eps": 0}, r"^train_eps: expected a number above 0, got 0"),
        ({"eps": (0.1, 0.0)}, r"^eps: expected a number above 0, got 0\.0"),
        ({"attack_dtype": "half"}, r"^attack_dtype: expected 'auto', 'bfloat16', 'float16' or"),
        ({"device": "tpu"}, r"^device: expected 'gpu' or 'cpu', got 'tpu'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(output=Path("unused"), **options)
