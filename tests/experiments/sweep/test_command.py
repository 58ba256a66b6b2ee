"""art-snn sweep: exit codes, output and complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_snn.experiments.resume import read_result, structured
from art_snn.experiments.sweep import Swept
from art_snn.experiments.sweep.result import Content
from tests.command import call
from tests.datasets import images

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
