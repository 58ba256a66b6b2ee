"""art-snn harden: what is attacked by which rule, within which range, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_snn import checkpoint
from art_snn.app.resume import read_result
from tests.command import call
from tests.datasets import counts, images

FEW = (
    *("--epochs", "2", "--validation", "0.25", "--cutout", "1", "--crop-padding", "0"),
    *("--batch-size", "8", "--device", "cpu"),
)
SMALL = ("harden", "--width", "0.0625", "--steps", "2", *FEW)
EVENTS = ("harden", "--width", "0.0625", *FEW)


@pytest.fixture
def arguments(tmp_path: Path) -> tuple[str, ...]:
    """A small run on a dozen images."""
    data = images(tmp_path / "mine.npz")
    return (*SMALL, "--data", str(data), "--output", str(tmp_path / "out"))


def test_adversarial_training_is_by_the_attack_and_the_rule_that_are_named(arguments, tmp_path):
    done = call(
        *(*arguments, "--attack", "mim", "--rule", "stbp", "--eps", "1/10", "--eps-step", "0.05"),
        *("--iterations", "2", "--adversarial-share", "0.5", "--encoder", "poisson"),
    )
    assert done.status == 0, done.stderr
    assert "validation samples under MIM, eps 0.1, 2 steps of 0.05 by STBP(" in done.stdout
    notes = checkpoint.notes(tmp_path / "out" / "network.safetensors")
    assert "Attack(name='mim', eps=0.1, eps_step=0.05, iterations=2)" in notes["adversary"]
    assert "share=0.5, value_range=(0.0, 1.0)" in notes["adversary"]
    assert notes["subject"]["encoder"] == "poisson"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *("network.safetensors", "training.json", "training.md", "training.png", "training.pt")
    }


@pytest.mark.parametrize(
    ("options", "words", "noted"),
    [
        (("trades", "--beta", "3"), "TRADES, beta 3", "TRADES(beta=3.0)"),
        (("rat",), "RAT, orthogonality 0.004", "RAT(orthogonality=0.004)"),
        (("sr", "--sparsity", "1/10"), "SR, sparsity 0.1", "SR(sparsity=0.1, step=0.01)"),
    ],
)
def test_a_defence_is_named_with_its_strength_and_noted(options, words, noted, arguments, tmp_path):
    done = call(*arguments, "--attack", "fgsm", "--defence", *options)
    assert done.status == 0, done.stderr
    assert f" on mine.npz, hardened by {words}\n" in done.stdout
    told = checkpoint.notes(tmp_path / "out" / "network.safetensors")
    assert told["adversary"].endswith(f", value_range=(0.0, 1.0), defence={noted})")
    assert read_result(tmp_path / "out" / "training.json")["adversary"] == told["adversary"]
    decay = 0.0 if options[0] == "rat" else 5e-4
    assert told["recipe"]["weight_decay"] == decay
    assert f"weight_decay={decay}, " in done.stdout


def test_certified_training_tells_its_bounds_and_what_validation_certified(arguments, tmp_path):
    done = call(*arguments, "--defence", "ibp", "--eps", "1/100", "--method", "s-ibp")
    assert done.status == 0, done.stderr
    words = "hardened by IBP, s-ibp, weight 0.5 after 60% of the steps\n"
    assert f" on mine.npz, {words}" in done.stdout
    assert "of the validation samples under any attack within eps 0.01." in done.stdout
    first, second = read_result(tmp_path / "out" / "training.json")["history"]
    assert first["validation"] is None
    assert second["validation"] is not None
    refused = call(*arguments, "--defence", "ibp", "--adversarial-share", "0.5")
    assert refused.status == 2
    assert "--adversarial-share: expected 1.0 for IBP, which takes eps" in refused.complaint


def test_event_frames_need_a_value_range(tmp_path, crafted):
    data = counts(tmp_path / "events.npz")
    arguments = (*EVENTS, "--data", str(data), "--output", str(tmp_path / "out"))
    attacked = ("--attack", "fgsm", "--eps", "3")
    refused = call(*arguments, *attacked)
    assert refused.status == 2
    wanted = "--value-range: expected the range that adversarial training may use, got None"
    assert wanted in refused.complaint
    assert "on the command line --value-range 0,4" in refused.complaint
    assert not (tmp_path / "out").exists()
    done = call(*arguments, *attacked, "--value-range", "0,5")
    assert done.status == 0, done.stderr
    assert {adversarial.shape[1:] for adversarial in crafted} == {(3, 2, 4, 4)}
    assert (min(a.min() for a in crafted), max(a.max() for a in crafted)) == (0, 5)
    assert read_result(tmp_path / "out" / "training.json")["data"] == "events.npz"
