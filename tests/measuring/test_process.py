"""What is measured in a process of its own, and how its end is told."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from art_snn.measuring import process
from art_snn.measuring.process import ProcessFailed, in_fresh_process
from art_snn.measuring.workload import Workload, peak_of, random_samples
from art_snn.models import Architecture


def test_the_result_comes_out_of_another_process():
    assert in_fresh_process(os.getpid) != os.getpid()
    assert in_fresh_process(max, 3, 7) == 7


def test_what_the_call_prints_is_not_taken_for_its_result():
    assert in_fresh_process(print, "3") is None


def test_a_fresh_process_measures_a_peak_and_leaves_this_one_alone():
    before = torch.initial_seed(), torch.get_num_threads()
    architecture = Architecture(model="vgg5", steps=2)
    x, y = random_samples(architecture, 2, channels=1, image_size=8)
    work = Workload(architecture=architecture, x=x, y=y, rules={}, batch_size=2, threads=2)
    assert in_fresh_process(peak_of, work, "rga") > 0
    assert (torch.initial_seed(), torch.get_num_threads()) == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signals")
def test_a_killed_process_is_reported_with_its_signal():
    with pytest.raises(ProcessFailed, match=r"^process killed by SIGKILL, as when memory runs"):
        in_fresh_process(signal.raise_signal, signal.SIGKILL)


def test_a_call_that_raises_is_reported_with_what_it_said():
    with pytest.raises(ProcessFailed) as caught:
        in_fresh_process(np.zeros, -1)
    assert caught.value.reason == "ValueError: negative dimensions are not allowed"
    assert "Traceback" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "errors", "reason"),
    [
        (1, "Traceback\nRuntimeError: no memory\n", "RuntimeError: no memory"),
        (3, "", "process ended with exit code 3"),
        (-15, "half a line", "process killed by SIGTERM"),
    ],
)
def test_a_failure_has_a_reason_in_one_line(code, errors, reason, monkeypatch):
    done = process.subprocess.CompletedProcess((), code, b"", errors.encode())
    monkeypatch.setattr(process.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(ProcessFailed) as caught:
        in_fresh_process(len, "")
    assert caught.value.reason == reason
    assert errors.strip() in str(caught.value)
