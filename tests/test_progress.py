"""Progress as a bar or as lines, and commands that are stopped by a signal."""

import importlib
import logging
import signal
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import pytest

import art_snn
from art_snn.app.results import working
from art_snn.app.settings import Cost
from art_snn.progress import (
    SILENT,
    Progress,
    Terminated,
    _shows_bars,
    duration,
    lines_written,
    log_line,
    progress_over,
    silenced,
    stoppable,
)
from tests.command import start
from tests.faults.signals import STATUS, catches
from tests.terminal import Terminal


def work(**options):
    return list(progress_over(range(3), "Counting", unit="sheep", **options))


def test_a_terminal_shows_a_bar_and_no_line():
    with redirect_stderr(Terminal()) as terminal:
        assert work() == [0, 1, 2]
    shown = terminal.getvalue()
    assert "Counting: 100%|" in shown
    assert "| 3/3 [00:00<00:00]" in shown
    assert "sheep" not in shown


def test_elsewhere_there_is_one_line_of_the_whole_work(capsys):
    work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


def test_or_one_line_of_each_step(capsys):
    with Progress("Counting", 3, summary=False) as progress:
        for number in range(3):
            progress.step(f"number {number}")
    assert capsys.readouterr().err == "".join(f"Counting: number {n}, 0 s\n" for n in range(3))


def test_work_that_fails_says_nothing_more(capsys):
    with pytest.raises(ZeroDivisionError), Progress("Counting", 3):
        _ = 1 / 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("looks", [False, True])
def test_quiet_work_shows_nothing(looks, capsys, monkeypatch):
    if looks:
        monkeypatch.setattr(sys, "stderr", Terminal())
    stream = sys.stderr
    work(verbose=False)
    with silenced(True):
        work()
        log_line("A line.")
    assert (stream.getvalue() if looks else capsys.readouterr().err) == ""
    assert not SILENT.get()


def test_a_program_that_listens_gets_lines_instead_of_stderr(caplog, capsys):
    with caplog.at_level(logging.DEBUG, "art_snn"):
        work()
        work(verbose=False)
    words = [(record.levelname, record.getMessage()) for record in caplog.records]
    line = "Counting: 3 sheep, 0 s"
    assert words == [("INFO", line), ("DEBUG", line)]
    assert capsys.readouterr().err == ""


def test_a_command_writes_what_no_bar_has_shown(capsys):
    with lines_written():
        log_line("A line.")
        log_line("A detail.", verbose=False)
        log_line("As a bar showed.", shown=True)
    assert capsys.readouterr().err == "A line.\n"
    assert not logging.getLogger("art_snn").isEnabledFor(logging.INFO)


def test_an_experiment_is_quiet_where_that_is_asked_for(tmp_path, capsys):
    for quiet in (True, False):
        with working(Cost(output=tmp_path, quiet=quiet)):
            work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


def test_without_stderr_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not _shows_bars()
    with silenced(False):
        assert work() == [0, 1, 2]


def test_a_notebook_without_ipywidgets_is_not_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(art_snn)
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.", stacklevel=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (83, "1 min 23 s"), (3 * 3600 + 310, "3 h 5 min")],
)
def test_times_are_told_in_two_units(seconds, words):
    assert duration(seconds) == words


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.mark.slow
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


@pytest.mark.slow
@POSIX
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


@POSIX
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


@POSIX
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
