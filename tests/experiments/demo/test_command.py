"""art-snn demo: what it prints, writes and refuses."""

from __future__ import annotations

import pytest

from art_snn.experiments.demo import ATTACKS
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
