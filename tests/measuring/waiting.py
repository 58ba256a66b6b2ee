"""A process that measures for ever, and whether it runs; imports nothing that takes time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from art_snn.measuring.process import in_fresh_process


def measure(place: Path) -> None:
    in_fresh_process(note_and_wait, str(place))


def note_and_wait(place: str) -> None:
    Path(place).write_text(str(os.getpid()))
    time.sleep(600)


def alive(pid: int) -> bool:
    """Whether the process runs, and is not merely waited for."""
    status = Path(f"/proc/{pid}/status")
    if not Path("/proc/self/status").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_for(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
