"""Commands in forks of a process that has imported everything.

They begin within milliseconds, so that whatever happens to one happens at its work; what happens
while Python imports is tried where a command is started anew."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from art_snn.app.cli import COMMANDS, run_command
from art_snn.progress import leave_at_once
from tests.faults.report import LEAVING, Report

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
LOCK = threading.Lock()
"""Processes are begun and reaped by one thread at a time, else they lose their exit status."""
MARK = "ART_SNN_FAULTS_RUN"
ROOMS = [import_module(f"art_snn.app.{name}") for name in COMMANDS]
LONGEST = 300
"""Seconds after which a run hangs."""


def warm() -> None:
    """Begin the process that all runs are forks of, which takes seconds; Ctrl-C passes it by."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    forkserver.ensure_running()
    signal.signal(signal.SIGINT, before)
    assert Run(["--version"]).ended() == 0


def fork(target: Callable[..., Any], *arguments: Any) -> Any:
    """A process that has begun to call the target."""
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    with LOCK:
        process.start()
    return process


class Run:
    """A command at work.

    :param words: of the command line, behind art-snn.
    :param size: bytes beyond which no file of the process grows, as on a full disk.
    :param bound: that it writes only where permissions let it, although root started it."""

    def __init__(self, words: Sequence[str], *, size: int | None = None, bound: bool = False):
        assert not LEAVING.is_set(), "jobs have been stopped"
        self.words, self.mark, self.stderr = list(words), secrets.token_hex(8), ""
        self._errors, writer = FORKS.Pipe(duplex=False)
        self.began = time.monotonic()
        self._process = fork(_command, words, self.mark, writer, size, bound)
        writer.close()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def wait(self, seconds: float = LONGEST) -> bool:
        """Whether it ends within so many seconds; what it writes is taken in."""
        until = time.monotonic() + seconds
        ended, sources = self._process.sentinel, [self._errors]
        while (left := until - time.monotonic()) > 0:
            ready = connection.wait([ended, *sources], left)
            if self._errors in ready:
                read = os.read(self._errors.fileno(), 2**16)
                self.stderr += read.decode(errors="replace")
                sources = sources if read else []
            elif ended in ready:
                with LOCK:
                    self._process.join()
                return True
        return False

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for its end; returns the exit status, that of a run that hangs being 124."""
        if self.wait():
            return int(self._process.exitcode)
        self.send(signal.SIGKILL)
        self.wait()
        return 124

    def expect_end(
        self, report: Report, statuses: Sequence[int], what: str = "", naming: str = ""
    ) -> int:
        """Wait for its end, which has one of these statuses, no traceback, and names something."""
        status = self.ended()
        right = status in statuses and naming in self.stderr and "Traceback" not in self.stderr
        where = f"{what}, {self}: status {status}, not one of {statuses}"
        report.expect(right, f"{where}, {self.stderr[-900:]}")
        return status

    def children(self, seconds: float = 0) -> list[int]:
        """Measuring processes of its that are there, still so after so many seconds."""
        until = time.monotonic() + seconds
        while (processes := _marked(self.mark)) and time.monotonic() < until:
            time.sleep(0.1)
        return processes

    def __str__(self) -> str:
        last = self.stderr.replace("\r", "\n").strip().splitlines()[-3:]
        return f"{shlex.join(['art-snn', *self.words])}: {' / '.join(last)}"


def _command(words: Sequence[str], mark: str, errors: Any, size: Any, bound: bool) -> None:
    os.environ[MARK] = mark
    # Its usual lock is one of the system's, which a killed process would leave behind.
    tqdm.set_lock(threading.RLock())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(errors.fileno(), 2)
    errors.close()
    if size is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if bound and os.geteuid() == 0:
        _heed_permissions()
    leave_at_once()
    sys.exit(run_command(words))


def _heed_permissions() -> None:
    """Take from root the capability to write against permissions; it may still read everything.

    Another user could not read packages that root installed in a private folder."""
    library, override = ctypes.CDLL(None, use_errno=True), 1 << 1  # CAP_DAC_OVERRIDE
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert library.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    sets[0], sets[1] = sets[0] & ~override, sets[1] & ~override  # Effective and permitted.
    assert library.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def _marked(mark: str) -> list[int]:
    """Processes that were started by a run, as their environment says; the run is none of them."""
    processes = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in place.read_bytes():
                processes.append(int(place.parent.name))
    return processes
