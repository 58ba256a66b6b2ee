"""Measure in a process of its own, with nothing left over from before.

Run as a program, the module is the other side of :func:`in_fresh_process`."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any


class ProcessFailed(RuntimeError):
    """A measuring process ended without a result: the reason in one line, and its output."""

    def __init__(self, reason: str, errors: str = "") -> None:
        super().__init__(f"{reason}\n{errors}".rstrip())
        self.reason = reason


def in_fresh_process(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns, as JSON gives it back, in a process that has done nothing else.

    :param call: a function of a module; its arguments can be pickled.
    :raises ProcessFailed: when the call raises, or the process is killed, as for lack of memory."""
    command = [sys.executable, "-m", "art_snn.measuring.process"]
    inner, outer = os.pipe()
    with subprocess.Popen(
        command, stdin=inner, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        os.close(inner)
        try:
            # Left open while the child works: it ends when the other end of its pipe is gone.
            with open(outer, "wb", buffering=0) as pipe:
                with contextlib.suppress(BrokenPipeError):
                    _write(pipe, pickle.dumps((call, arguments)))
                stdout, stderr = child.communicate()
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        errors = stderr.decode(errors="replace")
        raise ProcessFailed(_reason(child.returncode, errors), errors)
    return json.loads(stdout.splitlines()[-1])


def _write(pipe: Any, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[pipe.write(view) :]


def _reason(code: int, errors: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        short = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"process killed by {name}{short}"
    lines = errors.strip().splitlines()
    return lines[-1] if lines else f"process ended with exit code {code}"


def _end_with_parent() -> None:
    """End this process when the process at the other end of its standard input has ended."""

    def watch() -> None:
        # Python's buffer has a lock for which the end of the interpreter would wait.
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    operate, given = pickle.load(sys.stdin.buffer)
    _end_with_parent()
    sys.stdout.write(f"\n{json.dumps(operate(*given))}\n")
