"""art-snn harden in two processes: one speaks, and a run goes on exactly from its state.

That two processes compute what one does, and refuse as one, is held in tests/training.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch

from tests.command import call
from tests.jobs import Job

HARDEN = (
    *("harden", "--data", "digits", "--width", "0.0625", "--steps", "2", "--batch-size", "256"),
    *("--learning-rate", "0.01", "--threads", "1", "--device", "cpu", "--epochs", "2"),
    *("--attack", "fgsm", "--defence", "trades", "--encoder", "poisson"),
    *("--adversarial-share", "0.5"),
)


def together(name: str, folder: Path, copy: Path | None = None) -> tuple[str, str]:
    """Stdout and stderr of two processes; their first state is copied while they run."""
    called = f"run_command({(*HARDEN, '--output', name)})"
    job = Job(f"from art_snn.app.cli import run_command\nraise SystemExit({called})", folder)
    state = folder / name / "training.pt"
    while copy is not None and not state.exists():
        assert job.running(), job.ended()
        time.sleep(0.01)
    if copy is not None:
        shutil.copy(state, copy)
    well, out, errors = job.ended()
    assert well, errors
    return out, errors


def test_one_of_two_processes_speaks_and_a_run_ends_as_one_that_was_not_stopped(tmp_path):
    (tmp_path / "resumed").mkdir()
    copy = tmp_path / "resumed" / "training.pt"
    out, errors = together("whole", tmp_path, copy)
    assert out.count("Written to whole: network.safetensors, training.json") == 1
    assert errors.count("Adversarial training: epoch 1 of 2, ") == 1
    assert {file.name for file in (tmp_path / "whole").iterdir()} == {
        *("network.safetensors", "training.json", "training.md", "training.png", "training.pt")
    }
    assert torch.load(copy, weights_only=True)["epochs_done"] == 1
    together("resumed", tmp_path)
    files = (tmp_path / name / "training.pt" for name in ("resumed", "whole"))
    resumed, whole = (torch.load(file, weights_only=True) for file in files)
    assert resumed["history"] == whole["history"]
    for name, weight in resumed["network"].items():
        assert torch.equal(weight, whole["network"][name]), name
    done = call(*HARDEN, "--output", str(tmp_path / "whole"))
    assert done.status == 2
    assert "best by validation samples, by 2 processes" in done.complaint
