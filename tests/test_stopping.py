"""Ctrl-C and SIGTERM, from the first moment on: quiet, with the exit status of the signal."""

from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from art_snn.progress import Terminated, stoppable
from tests.command import start
from tests.faults.signals import STATUS, catches

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0.3), (signal.SIGINT, 0.8), (signal.SIGTERM, 1.5)],
)
def test_a_command_that_is_stopped_while_it_starts_leaves_quietly(number, after, tmp_path):
    command = start("-m", "art_snn", "train", "--output", str(tmp_path / "out"), "--device", "cpu")
    while not catches(command.pid, signal.SIGTERM):
        assert command.poll() is None
    time.sleep(after)
    command.send_signal(number)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == STATUS[number]
    assert "Traceback" not in errors


def test_a_command_that_is_stopped_at_work_puts_everything_away_and_says_where_it_lies(tmp_path):
    out = tmp_path / "out"
    small = ("--width", "0.0625", "--steps", "2", "--epochs", "1000")
    command = start(
        *("-m", "art_snn", "train", *small, "--output", str(out)),
        *("--device", "cpu", "--threads", "1"),
    )
    deadline = time.monotonic() + 100
    while not (out / "training.pt").exists():
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    command.send_signal(signal.SIGTERM)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == STATUS[signal.SIGTERM]
    assert "Traceback" not in errors
    assert f"Results so far are in {out}; the same command continues." in errors
    assert [file.name for file in out.iterdir()] == ["training.pt"]


def test_within_the_block_signals_raise_but_in_other_threads_and_afterwards_do_what_they_did():
    def now() -> list[object]:
        return [signal.getsignal(number) for number in STATUS]

    def within() -> list[object]:
        with stoppable():
            return now()

    before = now()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(within).result() == before
    with pytest.raises(Terminated), stoppable():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        signal.raise_signal(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt
    assert now() == before


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_that_comes_while_a_destructor_runs_is_not_dropped(number, error):
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def work() -> None:
        with stoppable():
            Dying()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                time.sleep(0.001)

    hook = sys.unraisablehook
    with pytest.raises(error) as stop:
        work()
    assert type(stop.value) is error
    assert sys.unraisablehook is hook
