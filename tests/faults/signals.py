"""Signals that stop a command, and whether it has begun to mind them."""

from __future__ import annotations

import signal
from pathlib import Path

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def catches(process: int, number: int) -> bool:
    """Whether the process has begun: before that the interpreter itself still starts."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "SigCgt 0")
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
