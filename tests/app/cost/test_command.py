"""art-snn cost: its options, what it prints and writes, and what it refuses."""

from __future__ import annotations

import pytest

from art_snn.app.resume import read_result
from art_snn.measuring import process
from tests.command import call
from tests.measuring import mirrors

TINY = (
    *("cost", "--model", "vgg5", "--steps", "2", "--batch-size", "2", "--image-size", "8"),
    *("--channels", "1", "--repeats", "1", "--rules", "rga,stbp"),
)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peak is a MiB."""
    monkeypatch.setattr(process, "in_fresh_process", lambda *_: 2**20)


def test_the_cost_is_printed_and_written(tmp_path):
    done = call(*TINY, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    for row in ("inference, no gradient", "gradient by RGA", "ART's stock classifier, STBP"):
        assert row in done.stdout
    assert "One input gradient: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in (
        done.stdout
    )
    assert done.stdout.endswith(f"\nWritten to {tmp_path / 'out'}: cost.json, cost.md, cost.png\n")
    content = read_result(tmp_path / "out" / "cost.json")
    assert content["workload"]["rules"] == ["rga", "stbp"]
    assert set(content["seconds"]) == {"inference", "rga", "stbp", "stock rga", "stock stbp"}


def test_a_training_step_beside_the_frameworks_is_printed_and_written(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    words = [word for word in TINY if word not in ("--rules", "rga,stbp")]
    done = call(*words, "--training", "--peers", "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert "One training step: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in (
        done.stdout
    )
    assert "SpikingJelly 2.0.0, its own gradient" in done.stdout
    assert "snnTorch 1.0 or later was not found." in done.stdout
    content = read_result(tmp_path / "out" / "cost.json")
    assert set(content["seconds"]) == {"inference", "stbp", "peer SpikingJelly 2.0.0"}
