"""art-snn sweep: exit codes, output and complaints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from art_snn.evaluation import subject
from art_snn.attacks import Attack
from tests.test_cli import call, forbidden, images, message_of

SWEEP = (
    *("sweep", "--epochs", "1", "--steps", "2", "--samples", "4", "--batch", "4"),
    *("--iterations", "1", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Images, folder and printed text of the paper's sweeps."""
    folder = tmp_path_factory.mktemp("sweep")
    data = images(folder / "mine.npz")
    done = call(*SWEEP, "--data", str(data), "--output", str(folder / "out"))
    assert done.exit_code == 0, done.output
    return data, folder / "out", done.stdout


def test_without_options_both_panels_of_the_paper_are_swept(swept):
    _, folder, text = swept
    rows = [line.split() for line in text.splitlines() if line.startswith("decay ")]
    values = [row[2] for row in rows if row[2][0].isdigit()]
    beta, gamma = ["1", "1.5", "2", "2.5", "3", "3.5", "4"], ["0", "0.1", "0.2", "0.3"]
    assert values == 2 * beta + 2 * gamma
    heads = [line for line in text.splitlines() if " of RGA(" in line]
    assert heads == [
        f"{field} of RGA(beta=2.0, gamma=0.2); PGD, eps 0.1, 1 steps of 0.025"
        for field in ("beta", "gamma")
    ]
    assert "decay 0.9 (vgg5, T = 2, decay 0.9, direct encoding on mine; " in text
    assert f"Written to {folder}: sweep.json, sweep.md, sweep.png" in text
    assert {file.name for file in folder.iterdir()} == {
        *("sweep.json", "sweep.md", "sweep.png"),
        *("decay-1", "decay-0.9", "decay-0.5"),
    }
    assert list(json.loads((folder / "sweep.json").read_text())["lines"]) == [
        "rga.beta at decay 1",
        "rga.beta at decay 0.5",
        "rga.gamma at decay 0.9",
        "rga.gamma at decay 0.5",
    ]


def test_a_second_sweep_prints_the_same_and_neither_trains_nor_attacks(swept, monkeypatch):
    data, folder, text = swept
    for place, name in ((subject, "train"), (Attack, "craft")):
        monkeypatch.setattr(place, name, forbidden)
    done = call(*SWEEP, "--data", str(data), "--output", str(folder))
    assert done.exit_code == 0, done.output
    assert done.stdout == text


def test_rule_field_values_and_decays_are_chosen(swept, tmp_path):
    chosen = ("--rule", "extended-hart", "--field", "rule.surrogate.width", "--values", "1/2, 1")
    done = call(
        *(*SWEEP, *chosen, "--decays", "0.9,1/4", "--data", str(swept[0])),
        *("--attack", "fgsm", "--eps", "8/255", "--output", str(tmp_path)),
    )
    assert done.exit_code == 0, done.output
    lines = json.loads((tmp_path / "sweep.json").read_text())["lines"]
    assert list(lines) == [
        f"extended-hart.rule.surrogate.width at decay {decay}" for decay in ("0.9", "0.25")
    ]
    assert [list(entry["values"]) for entry in lines.values()] == [["0.5", "1.0"]] * 2
    assert "; FGSM, eps 0.03137" in done.stdout


def test_a_checkpoint_is_swept_at_its_own_decay_unless_another_one_is_given(
    swept, tmp_path, monkeypatch
):
    data, folder, _ = swept
    monkeypatch.setattr(subject, "train", forbidden)
    network = ("--checkpoint", str(folder / "decay-0.9" / "network.pt"), "--data", str(data))
    start = SWEEP.index("--samples")
    arguments = ("sweep", *SWEEP[start:], *network, "--field", "gamma", "--values", "0,0.1")
    done = call(*arguments, "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    (entry,) = json.loads((tmp_path / "sweep.json").read_text())["lines"].values()
    theirs = json.loads((folder / "sweep.json").read_text())["lines"]["rga.gamma at decay 0.9"]
    assert entry["key"] == theirs["key"]
    assert entry["values"] == {v: theirs["values"][v] for v in ("0.0", "0.1")}
    other = call(*arguments, "--decays", "1", "--output", str(tmp_path))
    assert other.exit_code == 0, other.output
    assert "decay 1 (vgg5, T = 2, decay 1, direct encoding on mine" in other.stdout


def test_a_checkpoint_with_several_decays_is_a_usage_error(swept, tmp_path):
    data, folder, _ = swept
    network = ("--checkpoint", str(folder / "decay-0.9" / "network.pt"), "--data", str(data))
    done = call(*SWEEP, *network, "--decays", "1,0.9", "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "decays: expected 0.9 alone, which the network of the checkpoint" in message_of(done)


def test_other_settings_in_the_folder_of_a_sweep_are_a_usage_error(swept):
    data, folder, _ = swept
    done = call(*SWEEP, "--data", str(data), "--output", str(folder), "--eps", "8/255")
    assert done.exit_code == 2
    assert "output: expected a folder without results, or with results of" in message_of(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rule", "sgd", "--field", "x", "--values", "1"), "rule: expected one of stbp, pdsg,"),
        (("--field", "width", "--values", "1"), "field: expected one of beta, gamma, got 'width'."),
        (("--rule", "hart"), "field: expected a field and its values, got none."),
        (("--field", "beta"), "values: expected a field and its values, got none."),
        (("--field", "beta", "--values", ","), "values: expected at least one, got none."),
        (("--field", "beta", "--values", "1,x"), "values: expected a number such as 0.03 or"),
        (("--field", "beta", "--values", "1/0"), "values: expected a number such as 0.03 or"),
        (("--field", "beta", "--values", "2,2"), "values: expected each one once, got (2.0, 2.0)."),
        (
            ("--field", "beta", "--values", "2,0.3"),
            "got 0.3 (beta: expected more than 1 - decay = 0.5 for a neuron with decay 0.5",
        ),
        (
            ("--rule", "cba", "--field", "levels", "--values", "2.5", "--decays", "1"),
            "values: expected values that levels of CBA can have, got 2.5 (expected a whole number",
        ),
        (("--decays", ","), "decays: expected at least one, got none."),
        (("--decays", "all"), "decays: expected a number such as 0.03 or 8/255, got 'all'."),
        (("--decays", "1.5"), "decay: expected a number above 0 and at most 1, got 1.5."),
        (("--eps", "small"), "eps: expected a number such as 0.03 or 8/255, got 'small'."),
        (("--attack", "cw"), "attack: expected one of fgsm, pgd, mim, apgd, got 'cw'."),
        (("--samples", "0"), "samples: expected a whole number >= 1, got 0."),
        (("--batch", "0"), "batch_size: expected a whole number >= 1, got 0."),
        (("--threads", "0"), "threads: expected a whole number >= 1, got 0."),
        (("--model", "vgg7"), "model: expected one of vgg5, vgg11, vgg16, resnet17,"),
        (("--device", "tpu"), "device_type: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--checkpoint", "none.pt"), "path: expected a checkpoint file, but none.pt does not"),
        (("--data", "none.npz"), "data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_sweep_that_makes_no_sense_is_a_usage_error_before_any_training(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(subject, "train", forbidden)
    done = call(*SWEEP, "--output", str(tmp_path / "out"), *arguments)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert not (tmp_path / "out").exists()


def test_help_lists_the_command():
    assert "sweep" in call("--help").stdout
