"""Measure in a process of its own: nothing left over from before, and nothing lost with it.

Run as a program, the module is the other side of :func:`in_fresh_process`."""

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any


class ProcessFailed(RuntimeError):
    """A measuring process ended without a result: the reason in one line, and all that it wrote."""

    def __init__(self, reason: str, errors: str = "") -> None:
        super().__init__(f"{reason}\n{errors}".rstrip())
        self.reason = reason


def in_fresh_process(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns, as JSON gives it back, out of a process that has done nothing else.

    :param call: a function of a module, found there by its name; its arguments can be pickled.
    :raises ProcessFailed: when the call raises, or the process is killed, as when memory runs out.
    """
    command = [sys.executable, "-m", "art_snn.measuring.process"]
    done = subprocess.run(
        command, input=pickle.dumps((call, arguments)), capture_output=True, check=False
    )
    if done.returncode != 0:
        errors = done.stderr.decode(errors="replace")
        raise ProcessFailed(_reason(done.returncode, errors), errors)
    return json.loads(done.stdout.splitlines()[-1])


def _reason(code: int, errors: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        short = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"process killed by {name}{short}"
    lines = errors.strip().splitlines()
    return lines[-1] if lines else f"process ended with exit code {code}"


if __name__ == "__main__":
    operate, given = pickle.load(sys.stdin.buffer)
    sys.stdout.write(f"\n{json.dumps(operate(*given))}\n")
