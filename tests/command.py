"""The command line as the tests call it, and what stands in the way of doing things twice."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_snn.app.cli import run_command

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status, and all that it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """What went to stderr in one line, without the frames that are drawn around it."""
        lines = (line.strip("│| ") for line in self.stderr.splitlines())
        return " ".join(" ".join(lines).split())


def call(*arguments: str) -> Done:
    """Run art-snn in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run_command(arguments)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def succeed(*arguments: str) -> str:
    """What a call prints that ends well."""
    done = call(*arguments)
    assert done.status == 0, done.stderr
    return done.stdout


def complain(*arguments: str) -> str:
    """What a call that is refused complains about; it prints nothing else."""
    done = call(*arguments)
    assert (done.status, done.stdout) == (2, "")
    return done.complaint


def start(*arguments, cwd=ROOT, session=False, **environment):
    """Start a fresh interpreter that finds this package and takes one thread.

    :param session: as the leader of a session of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    where = {"cwd": cwd, "env": env, "start_new_session": session}
    return subprocess.Popen([sys.executable, *arguments], **pipes, **where)


def python(*arguments: str, **environment: str) -> Done:
    """Run a fresh interpreter to its end."""
    process = start(*arguments, **environment)
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err)


def forbidden(*_: Any, **__: Any) -> None:
    """Stands in the place of what must not be done again."""
    raise AssertionError("done again although it had been done")


def interrupted(*_: Any, **__: Any) -> None:
    """Stands in the place of what a user stops."""
    raise KeyboardInterrupt
