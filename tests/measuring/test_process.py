"""What is measured in a process of its own, and how its end is told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from art_snn.measuring import process
from art_snn.measuring.process import ProcessFailed, in_fresh_process
from tests.measuring.waiting import alive, measure, wait_for


def test_the_result_comes_out_of_another_process_and_what_it_prints_does_not():
    assert in_fresh_process(os.getpid) != os.getpid()
    assert in_fresh_process(max, 3, 7) == 7
    assert in_fresh_process(print, "3") is None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signals")
def test_a_killed_process_is_reported_with_its_signal():
    with pytest.raises(ProcessFailed, match=r"^process killed by SIGKILL, as when memory runs"):
        in_fresh_process(signal.raise_signal, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "errors", "reason"),
    [
        (1, "Traceback\nRuntimeError: no memory\n", "RuntimeError: no memory"),
        (3, "", "process ended with exit code 3"),
        (-15, "half a line", "process killed by SIGTERM"),
    ],
)
def test_a_failure_has_a_reason_in_one_line(code, errors, reason):
    failure = ProcessFailed(process._reason(code, errors), errors)
    assert failure.reason == reason
    assert errors.strip() in str(failure)


def test_much_can_be_handed_over_and_much_said():
    assert in_fresh_process(np.size, np.zeros(10**6)) == 10**6
    with pytest.raises(ProcessFailed, match="x" * 1000) as caught:
        in_fresh_process(open, "x" * 10**5)
    assert caught.value.reason.startswith("OSError: ")
    assert "Traceback" in str(caught.value)


def test_an_interrupt_ends_the_process_that_measures(monkeypatch):
    children = []

    def stop(child, *_, **__):
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(process.subprocess.Popen, "communicate", stop)
    with pytest.raises(KeyboardInterrupt):
        in_fresh_process(time.sleep, 600)
    (child,) = children
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signals")
def test_the_process_that_measures_does_not_outlive_one_that_is_killed(tmp_path):
    place = tmp_path / "pid"
    parent = multiprocessing.get_context("spawn").Process(target=measure, args=(place,))
    parent.start()
    wait_for(lambda: place.exists() and place.read_text())
    child = int(place.read_text())
    assert alive(child)
    parent.kill()
    parent.join()
    wait_for(lambda: not alive(child))
