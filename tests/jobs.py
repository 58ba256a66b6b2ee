"""Jobs of several processes on this machine, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def started(*arguments: str, processes: int = 2, cwd: Path) -> subprocess.Popen[str]:
    """Start them, of one thread each, in a session of their own."""
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    several += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.Popen(
        [sys.executable, *several, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def script(text: str, folder: Path, *, processes: int = 2) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of so many processes that run the text in the folder."""
    file = folder / "script.py"
    file.write_text(text)
    job = started(str(file), processes=processes, cwd=folder)
    out, errors = job.communicate(timeout=300)
    return job.returncode, out, errors
