"""art-snn sweep: exit codes, output and complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_snn.attacks import Attack
from art_snn.experiments import trained
from art_snn.experiments.resume import read_result, structured
from art_snn.experiments.sweep import Swept
from art_snn.experiments.sweep.result import Content
from tests.command import call, forbidden
from tests.datasets import images
from tests.own import own

ATTACK = ("--samples", "4", "--batch-size", "4", "--device", "cpu")
SHORT = ("--epochs", "1", "--steps", "2")
SWEEP = ("sweep", *SHORT, *ATTACK, "--iterations", "1")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Images, folder and printed text of the paper's sweeps."""
    folder = tmp_path_factory.mktemp("sweep")
    data = images(folder / "mine.npz")
    done = call(*SWEEP, "--data", str(data), "--output", str(folder / "out"))
    assert done.status == 0, done.stderr
    return data, folder / "out", done.stdout


def test_without_options_both_panels_of_the_paper_are_swept(swept):
    _, folder, text = swept
    rows = [line.split() for line in text.splitlines() if line.startswith("decay ")]
    values = [row[2] for row in rows if row[2][0].isdigit()]
    beta, gamma = ["1", "1.5", "2", "2.5", "3", "3.5", "4"], ["0", "0.1", "0.2", "0.3"]
    assert values == 2 * beta + 2 * gamma
    heads = [line for line in text.splitlines() if " of RGA(" in line]
    assert heads == [
        f"{field} of RGA(beta=2.0, gamma=0.2); PGD, eps 0.03137, 1 steps of 0.007843"
        for field in ("beta", "gamma")
    ]
    assert "decay 0.9 (vgg5, T = 2, decay 0.9, direct encoding on mine; " in text
    assert f"Written to {folder}: sweep.json, sweep.md, sweep.png" in text
    assert {file.name for file in folder.iterdir()} == {
        *("sweep.json", "sweep.md", "sweep.png"),
        *("decay-1", "decay-0.9", "decay-0.5"),
    }
    assert list(read_result(folder / "sweep.json")["lines"]) == [
        "rga.beta at decay 1",
        "rga.beta at decay 0.5",
        "rga.gamma at decay 0.9",
        "rga.gamma at decay 0.5",
    ]


def test_all_panels_follow_from_the_file_alone(swept):
    folder = swept[1]
    panels = structured(read_result(folder / "sweep.json"), Content).panels()
    assert Swept(panels).render("markdown") == (folder / "sweep.md").read_text()


def test_a_second_sweep_prints_the_same_and_neither_trains_nor_attacks(swept, monkeypatch):
    data, folder, text = swept
    for place, name in ((trained, "train"), (Attack, "craft")):
        monkeypatch.setattr(place, name, forbidden)
    done = call(*SWEEP, "--data", str(data), "--output", str(folder))
    assert done.status == 0, done.stderr
    assert done.stdout == text


def test_rule_field_values_and_decays_are_chosen(swept, tmp_path):
    chosen = ("--rule", "extended-hart", "--field", "rule.surrogate.width", "--values", "1/2, 1")
    done = call(
        *("sweep", *SHORT, *ATTACK, *chosen, "--decays", "0.9,1/4", "--data", str(swept[0])),
        *("--attack", "fgsm", "--eps", "4/255", "--output", str(tmp_path)),
    )
    assert done.status == 0, done.stderr
    lines = read_result(tmp_path / "sweep.json")["lines"]
    assert list(lines) == [
        f"extended-hart.rule.surrogate.width at decay {decay}" for decay in ("0.9", "0.25")
    ]
    assert [list(entry["values"]) for entry in lines.values()] == [["0.5", "1.0"]] * 2
    assert "; FGSM, eps 0.01569" in done.stdout


def test_a_checkpoint_is_swept_at_its_own_decay_unless_another_one_is_given(
    swept, tmp_path, monkeypatch
):
    data, folder, _ = swept
    monkeypatch.setattr(trained, "train", forbidden)
    network = ("--checkpoint", str(folder / "decay-0.9" / "network.pt"), "--data", str(data))
    field = ("--field", "gamma", "--values", "0,0.1")
    arguments = ("sweep", *ATTACK, "--iterations", "1", *network, *field)
    done = call(*arguments, "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    (entry,) = read_result(tmp_path / "sweep.json")["lines"].values()
    theirs = read_result(folder / "sweep.json")["lines"]["rga.gamma at decay 0.9"]
    assert entry["key"] == theirs["key"]
    assert entry["values"] == {v: theirs["values"][v] for v in ("0.0", "0.1")}
    other = call(*arguments, "--decay", "1", "--output", str(tmp_path))
    assert other.status == 0, other.stderr
    title = "vgg5, T = 2, decay 1, direct encoding on mine; its weights were trained with decay 0.9"
    assert f"decay 1 ({title}; " in other.stdout


@pytest.mark.parametrize("decays", ["1,0.9", "1", "0.9"])
def test_a_checkpoint_with_decays_is_a_usage_error(decays, swept, tmp_path):
    data, folder, _ = swept
    network = ("--checkpoint", str(folder / "decay-0.9" / "network.pt"), "--data", str(data))
    done = call("sweep", *ATTACK, *network, "--decays", decays, "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert "--decays: expected None beside a checkpoint, wh" in done.complaint
    assert not (tmp_path / "out").exists()


def test_other_settings_in_the_folder_of_a_sweep_are_a_usage_error(swept):
    data, folder, _ = swept
    done = call(*SWEEP, "--data", str(data), "--output", str(folder), "--eps", "0.1")
    assert done.status == 2
    assert "--output: expected a folder without results, or with results of" in done.complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--rule", "sgd", "--field", "x", "--values", "1"),
            "--rule: expected one of 'stbp', 'pdsg',",
        ),
        (
            ("--field", "width", "--values", "1"),
            "--field: expected one of beta, gamma, got 'width'.",
        ),
        (("--rule", "hart"), "--field: expected a field and "),
        (("--values", "1"), "--field: expected a field and "),
        (("--field", "beta"), "--values: expected a field and "),
        (("--field", "beta", "--values", ","), "--values: expected a number such as 0.03 or"),
        (("--field", "beta", "--values", "1,x"), "--values: expected a number such as 0.03 or"),
        (("--field", "beta", "--values", "1/0"), "--values: expected a number such as 0.03 or"),
        (
            ("--field", "beta", "--values", "2,2"),
            "--values: expected each one once, got (2.0, 2.0).",
        ),
        (
            ("--field", "beta", "--values", "2,0.3"),
            "got 0.3 (beta: expected more than 1 - decay = 0.5 for a neuron with decay 0.5",
        ),
        (
            ("--rule", "cba", "--field", "levels", "--values", "2.5", "--decays", "1"),
            "--values: expected values that levels of CBA can have, got 2.5 (expected a whole",
        ),
        (("--decays", ","), "--decays: expected a number such as 0.03 or 8/255, got ''."),
        (("--decay", "0.9", "--decays", "0.9,1"), "--decays: expected None beside a decay, "),
        (("--decay", "0.9", "--decays", "0.5"), "--decays: expected None beside a decay, "),
        (("--decays", "all"), "--decays: expected a number such as 0.03 or 8/255, got 'all'."),
        (("--decays", "1.5"), "--decays: expected a number above 0 and at most 1, got 1.5."),
        (("--eps", "small"), "--eps: expected a number such as 0.03 or 8/255, got 'small'."),
        (("--attack", "cw"), "--attack: expected one of fgsm, pgd, pgd-7, mim, apgd, sa-pgd, got"),
        (("--samples", "0"), "--samples: expected a whole number >= 1, got 0."),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0."),
        (("--threads", "0"), "--threads: expected a whole number >= 1, got 0."),
        (("--model", "vgg7"), "--model: expected one of vgg5, vgg11, vgg16, resnet17,"),
        (("--device", "tpu"), "--device: expected 'gpu' or 'cpu', got 'tpu'"),
        (("--seed", "-1"), "--seed: expected a whole number >= 0, got -1."),
        (("--checkpoint", "network.pt"), "--epochs: expected None beside a checkpoint, which is"),
        (("--model", "mine.py:net", "--width", "1"), "--width: expected None beside mine.py:net"),
        (("--data", "none.npz"), "--data: expected a .npz file, but none.npz does not exist."),
    ],
)
def test_a_sweep_that_makes_no_sense_is_a_usage_error_before_any_training(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(trained, "train", forbidden)
    done = call(*SWEEP, "--output", str(tmp_path / "out"), *arguments)
    assert done.status == 2, done.stderr
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_there_is_a_usage_error(tmp_path):
    out = str(tmp_path / "out")
    done = call("sweep", *ATTACK, "--checkpoint", "none.pt", "--output", out)
    assert done.status == 2
    assert "--checkpoint: expected a checkpoint file, but none.pt does not" in done.complaint
    assert not (tmp_path / "out").exists()


def test_one_decay_is_one_network(swept, tmp_path):
    field = ("--field", "gamma", "--values", "0,0.2", "--data", str(swept[0]))
    done = call(*SWEEP, *field, "--decay", "0.9", "--output", str(tmp_path))
    assert done.status == 0, done.stderr
    lines = read_result(tmp_path / "sweep.json")["lines"]
    assert list(lines) == ["rga.gamma at decay 0.9"]
    theirs = read_result(swept[1] / "sweep.json")["lines"]
    assert lines["rga.gamma at decay 0.9"]["key"] == theirs["rga.gamma at decay 0.9"]["key"]
    assert [folder.name for folder in tmp_path.glob("decay-*")] == ["decay-0.9"]


def test_a_network_of_one_s_own_is_swept_without_training(swept, tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "train", forbidden)
    model = own(tmp_path, classes=3, decay=0.75)
    arguments = ("sweep", *ATTACK, "--data", str(swept[0]), "--model", model)
    done = call(*arguments, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert f"{model} ({model}, T = 3, direct encoding on mine; " in done.stdout
    lines = read_result(tmp_path / "out" / "sweep.json")["lines"]
    assert list(lines) == [f"rga.beta at {model}", f"rga.gamma at {model}"]
    field = ("--field", "beta", "--values", "2,0.2")
    done = call(*arguments, *field, "--output", str(tmp_path / "other"))
    assert done.status == 2
    assert "--values: expected values of rga.beta that suit the network, got 0.2" in done.complaint
    assert "for a neuron with decay 0.75" in done.complaint


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--decays", "--decays: expected None beside a network of yours, which has its own, got"),
        ("--decay", "--decay: expected None beside mine.py:net, which builds its network itself"),
    ],
)
def test_decays_beside_a_network_of_one_s_own_are_a_usage_error(flag, message, tmp_path):
    out = str(tmp_path / "out")
    done = call("sweep", *ATTACK, "--model", "mine.py:net", flag, "1", "--output", out)
    assert done.status == 2
    assert message in done.complaint
    assert not (tmp_path / "out").exists()


def test_help_lists_the_command_and_its_options():
    assert "sweep" in call("--help").stdout
    told = call("sweep", "--help").stdout
    assert all(f"--{option} " in told for option in ("field", "values", "decays", "decay"))
