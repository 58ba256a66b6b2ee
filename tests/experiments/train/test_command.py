"""art-snn train: exit codes, output and complaints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_snn.evaluation import subject

from art_snn import checkpoint
from art_snn.attacks import Attack
from art_snn.training import Recipe
from tests.test_cli import call, forbidden, images, message_of

TINY = (
    *("train", "--width", "0.0625", "--steps", "2", "--batch", "256", "--validation", "0.2"),
    *("--device", "cpu"),
)
TRAIN = (*TINY, "--epochs", "2")
MINE = ("--validation", "0.25", "--cutout", "1", "--crop-padding", "0", "--batch", "8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of a training on the digits."""
    folder = tmp_path_factory.mktemp("train") / "digits"
    done = call(*TRAIN, "--output", str(folder))
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_recipe_best_epoch_and_test_accuracy_are_printed_and_four_files_written(trained):
    folder, text = trained
    recipe = Recipe(epochs=2, batch_size=256, crop_padding=1, flip=False, cutout=4)
    assert text.splitlines()[0] == str(recipe)
    content = json.loads((folder / "training.json").read_text())
    number = content["best_epoch"]
    share = 100 * content["history"][number - 1]["validation"]
    assert f"Best epoch {number} of 2: {share:.1f} % of the validation samples.\n" in text
    accuracy = content["test_accuracy"]
    assert f"Test accuracy: {100 * accuracy['count'] / accuracy['total']:.1f} %" in text
    assert f"of {accuracy['total']} samples.\n" in text
    assert text.endswith(f"\nWritten to {folder}: network.pt, training.json, training.png\n")
    assert {file.name for file in folder.iterdir()} == {
        *("network.pt", "training.json", "training.png", "training.pt")
    }
    assert content["data"] == "digits"
    assert content["subject"]["width"] == 0.0625
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_trains_no_further_and_prints_the_same(trained, monkeypatch):
    folder, text = trained
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    done = call(*TRAIN, "--output", str(folder))
    assert done.exit_code == 0, done.output
    assert done.stdout == text


def test_a_run_that_was_killed_goes_on(trained, tmp_path, monkeypatch):
    steps = []
    step = torch.optim.SGD.step

    def killed(self: torch.optim.SGD, *given: Any) -> Any:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", killed)
        assert call(*TRAIN, "--output", str(tmp_path)).exit_code != 0
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    done = call(*TRAIN, "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    first, again = (json.loads((p / "training.json").read_text()) for p in (trained[0], tmp_path))
    assert first == again


def test_a_run_that_was_stopped_at_once_leaves_a_folder_that_can_be_used(tmp_path, monkeypatch):
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    data = images(tmp_path / "mine.npz")
    arguments = (*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", stopped)
        assert call(*arguments).exit_code != 0
    assert list((tmp_path / "out").iterdir()) == []
    done = call(*arguments, "--decay", "0.9")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--epochs", "3"), "resume: expected a run of Recipe(epochs=3,"),
        (("--momentum", "0.5"), "resume: expected a run of Recipe("),
        (("--attack", "fgsm"), "against AdversarialTraining(attack=Attack(name='fgsm'"),
        (("--validation", "0.3"), "resume: expected a run on these samples, got"),
        (("--decay", "0.9"), "resume: expected a run of this network, got"),
        (("--steps", "3"), "differs in encoder, layers, neurons or training gradient. Delete"),
        (("--width", "0.125"), "resume: expected a run of this network, got"),
    ],
)
def test_the_folder_of_another_run_is_a_usage_error(change, message, trained, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    before = (trained[0] / "network.pt").read_bytes()
    done = call(*TRAIN, *change, "--output", str(trained[0]))
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert (trained[0] / "network.pt").read_bytes() == before


def test_a_comparison_reads_the_trained_network(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "train", forbidden)
    done = call(
        *("compare", "--checkpoint", str(trained[0] / "network.pt"), "--samples", "4"),
        *("--rules", "rga", "--iterations", "1", "--repeats", "1", "--device", "cpu"),
        *("--output", str(tmp_path / "out")),
    )
    assert done.exit_code == 0, done.output
    assert "vgg5 of width 0.0625, T = 2, decay 0.5, direct encoding on digits" in done.stdout


def test_the_network_of_a_comparison_is_not_written_over(trained, tmp_path):
    (tmp_path / "network.pt").write_bytes((trained[0] / "network.pt").read_bytes())
    done = call(*TRAIN, "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "output: expected a folder without a network, or with the whole" in message_of(done)


def test_adversarial_training_is_by_the_attack_and_the_rule_that_are_named(tmp_path):
    data = images(tmp_path / "mine.npz")
    done = call(
        *(*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out")),
        *("--attack", "mim", "--rule", "stbp", "--eps", "1/10", "--eps-step", "0.05"),
        *("--iterations", "2", "--adversarial-share", "0.5", "--encoder", "poisson"),
    )
    assert done.exit_code == 0, done.output
    assert "validation samples under MIM, eps 0.1, 2 steps of 0.05 by STBP(" in done.stdout
    notes = checkpoint.notes(tmp_path / "out" / "network.pt")
    assert "Attack(name='mim', eps=0.1, eps_step=0.05, iterations=2)" in notes["adversary"]
    assert "share=0.5, value_range=(0.0, 1.0)" in notes["adversary"]
    assert notes["subject"]["encoder"] == "poisson"


def test_unless_told_otherwise_the_attack_is_of_five_steps_within_8_255_by_rga(tmp_path):
    data = images(tmp_path / "mine.npz")
    arguments = (*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"))
    done = call(*arguments, "--attack", "pgd")
    assert done.exit_code == 0, done.output
    assert "under PGD, eps 0.03137, 5 steps of 0.007843 by RGA(beta=2.0, gamma=0.2)" in done.stdout
    assert ", share=1.0, " in checkpoint.notes(tmp_path / "out" / "network.pt")["adversary"]
    assert "flip=True" in done.stdout.splitlines()[0]


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """A .npz file of event frames with counts from 0 to 4."""
    draw = np.random.default_rng(0)
    change = {
        f"x_{part}": draw.integers(0, 5, (count, 3, 2, 4, 4), dtype=np.uint8)
        for part, count in (("train", 12), ("test", 4))
    }
    return images(tmp_path / "events.npz", **change)


EVENTS = ("train", "--width", "0.0625", "--epochs", "2", "--device", "cpu", *MINE)


def test_event_frames_need_a_value_range_for_an_attack_and_none_without(
    counts, tmp_path, monkeypatch
):
    arguments = (*EVENTS, "--data", str(counts), "--output", str(tmp_path / "out"))
    attacked = ("--attack", "fgsm", "--eps", "3")
    refused = call(*arguments, *attacked)
    assert refused.exit_code == 2
    message = message_of(refused)
    assert "value_range: expected the range that adversarial training may use, got None" in message
    assert "--value-range 0,4" in message
    assert not (tmp_path / "out").exists()
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    crafted = []
    craft = Attack.craft

    def kept(self: Attack, *given: Any) -> np.ndarray:
        crafted.append(craft(self, *given))
        return crafted[-1]

    monkeypatch.setattr(Attack, "craft", kept)
    arguments = (*EVENTS, "--data", str(counts), "--output", str(tmp_path / "hardened"))
    done = call(*arguments, *attacked, "--value-range", "0,5")
    assert done.exit_code == 0, done.output
    assert {adversarial.shape[1:] for adversarial in crafted} == {(3, 2, 4, 4)}
    assert (min(a.min() for a in crafted), max(a.max() for a in crafted)) == (0, 5)
    assert json.loads((tmp_path / "hardened" / "training.json").read_text())["data"] == "events"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "epochs: expected a whole number >= 1, got 0."),
        (("--batch", "0"), "batch_size: expected a whole number >= 1, got 0."),
        (("--learning-rate", "0"), "learning_rate: expected a number above 0, got 0.0."),
        (("--momentum", "1"), "momentum: expected a number of at least 0 and below 1, got 1.0."),
        (("--weight-decay", "-1"), "weight_decay: expected a number of at least 0, got -1.0."),
        (("--crop-padding", "-1"), "crop_padding: expected a whole number >= 0, got -1."),
        (("--cutout", "8"), "cutout: expected a hole smaller than the images of 8x8 pixels, got 8"),
        (("--validation", "0"), "validation: expected a number above 0 and at most 0.9, got 0.0."),
        (("--validation", "0.001"), "validation: expected a share that leaves each part one"),
        (("--attack", "cw"), "attack: expected one of fgsm, pgd, mim, apgd, got 'cw'."),
        (("--attack", "pgd", "--rule", "sgd"), "rule: expected one of 'stbp',"),
        (("--attack", "pgd", "--rule", "cba"), "gradient: expected a rule that applies to every"),
        (("--attack", "pgd", "--eps", "small"), "eps: expected a number such as 0.03 or 8/255,"),
        (("--attack", "pgd", "--eps", "0"), "eps: expected a number above 0, got 0.0."),
        (("--attack", "pgd", "--eps-step", "0"), "eps_step: expected a number above 0, got 0.0."),
        (("--attack", "pgd", "--iterations", "0"), "iterations: expected a whole number >= 1, got"),
        (
            ("--attack", "pgd", "--adversarial-share", "2"),
            "share: expected a number above 0 and at",
        ),
        (("--eps", "0.1"), "eps: expected no --eps with training without --attack. Leave it out."),
        (("--rule", "stbp"), "rule: expected no --rule with training without --attack."),
        (("--iterations", "5"), "iterations: expected no --iterations with training without"),
        (("--adversarial-share", "1"), "adversarial_share: expected no --adversarial-share with"),
        (("--seed", "-1"), "seed: expected a whole number >= 0, got -1."),
        (("--threads", "0"), "threads: expected a whole number >= 1, got 0."),
        (("--device", "tpu"), "device_type: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--model", "vgg7"), "model: expected one of vgg5,"),
        (("--encoder", "frames"), "encoder: expected direct or poisson, since digits holds images"),
        (("--steps", "0"), "steps: expected a whole number >= 1, got 0."),
        (("--data", "none.npz"), "data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_training_that_makes_no_sense_is_a_usage_error_and_leaves_no_file(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    done = call(*TRAIN, "--output", str(tmp_path / "out"), *arguments)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_a_usage_error_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", forbidden)
    (tmp_path / "out").write_text("a file")
    done = call(*TRAIN, "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "out" in message_of(done)


def test_help_lists_the_command():
    assert "train" in call("--help").stdout


def test_neurons_and_mirroring_are_chosen(tmp_path):
    data = images(tmp_path / "mine.npz")
    done = call(
        *(*TRAIN, *MINE, "--data", str(data), "--output", str(tmp_path / "out"), "--no-flip"),
        *("--reset", "soft", "--threshold", "0.75", "--decay", "0.9", "--seed", "3"),
    )
    assert done.exit_code == 0, done.output
    assert "flip=False" in done.stdout.splitlines()[0]
    noted = checkpoint.notes(tmp_path / "out" / "network.pt")["subject"]
    wanted = {"reset": "soft", "threshold": 0.75, "decay": 0.9, "seed": 3}
    assert {name: noted[name] for name in wanted} == wanted
