"""art-snn harden and train under torchrun: one process speaks, and a killed run goes on exactly."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
import torch

from art_snn.experiments.resume import read_result
from tests.command import call
from tests.jobs import started

SMALL = (
    *("--data", "digits", "--width", "0.0625", "--steps", "2", "--batch-size", "256"),
    *("--learning-rate", "0.01", "--threads", "1", "--device", "cpu"),
)
HARDEN = ("harden", *SMALL, "--attack", "fgsm", "--defence", "trades")
RANDOM = (*HARDEN, "--encoder", "poisson", "--adversarial-share", "0.5", "--epochs", "5")


def together(*arguments: str, folder: Path) -> tuple[int, str, str]:
    job = started("-m", "art_snn", *arguments, cwd=folder)
    out, errors = job.communicate(timeout=300)
    return job.returncode, out, errors


def killed_after_an_epoch(*arguments: str, folder: Path, state: Path) -> None:
    """SIGKILL to all processes of the job once the state of an epoch is there."""
    job = started("-m", "art_snn", *arguments, cwd=folder)
    while not state.exists():
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.01)
    workers = psutil.Process(job.pid).children(recursive=True)
    for process in (*workers, job):
        process.kill()
    psutil.wait_procs(workers)
    job.communicate()


def test_two_processes_harden_as_one_does_and_one_of_them_speaks(tmp_path):
    arguments = (*HARDEN, "--epochs", "2")
    status, out, errors = together(*arguments, "--output", "two", folder=tmp_path)
    assert status == 0, errors
    assert out.count("Written to two: network.pt, training.json") == 1
    assert errors.count("Adversarial training:   0%") == 1
    assert call(*arguments, "--output", str(tmp_path / "one")).status == 0
    found, alone = (read_result(tmp_path / name / "training.json") for name in ("two", "one"))
    # In single precision rounding turns a spike here and there.
    losses = [[epoch["loss"] for epoch in one["history"]] for one in (found, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert {file.name for file in (tmp_path / "two").iterdir()} == {
        *("network.pt", "training.json", "training.md", "training.png", "training.pt")
    }
    done = call(*arguments, "--output", str(tmp_path / "two"))
    assert done.status == 2
    assert "best by validation samples, by 2 processes" in done.complaint


def test_a_run_of_two_processes_that_was_killed_ends_as_one_that_was_not(tmp_path):
    state = tmp_path / "killed" / "training.pt"
    killed_after_an_epoch(*RANDOM, "--output", "killed", folder=tmp_path, state=state)
    assert 1 <= torch.load(state, weights_only=True)["epochs_done"] < 5
    for name in ("killed", "whole"):
        status, _, errors = together(*RANDOM, "--output", name, folder=tmp_path)
        assert status == 0, errors
    files = (tmp_path / name / "training.pt" for name in ("killed", "whole"))
    resumed, whole = (torch.load(file, weights_only=True) for file in files)
    assert resumed["history"] == whole["history"]
    for name, weight in resumed["network"].items():
        assert torch.equal(weight, whole["network"][name]), name


def test_a_batch_without_a_sample_for_every_process_is_a_usage_error_told_once(tmp_path):
    arguments = ("train", *SMALL, "--batch-size", "1", "--epochs", "1", "--output", "out")
    status, _, errors = together(*arguments, folder=tmp_path)
    assert status != 0
    told = "art-snn train: error: --batch-size: expected batches with a sample for each of 2"
    assert errors.count(told) == 1
    assert not (tmp_path / "out").exists()
