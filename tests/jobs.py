"""Jobs of several processes on this machine, as torchrun starts them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.command import start


def started(*arguments: str, processes: int = 2, cwd: Path) -> subprocess.Popen[str]:
    """Start them, of one thread each, in a session of their own."""
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    several += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return start(*several, *arguments, cwd=cwd, session=True)


def script(text: str, folder: Path, *, processes: int = 2) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of so many processes that run the text in the folder."""
    file = folder / "script.py"
    file.write_text(text)
    job = started(str(file), processes=processes, cwd=folder)
    out, errors = job.communicate(timeout=300)
    return job.returncode, out, errors
