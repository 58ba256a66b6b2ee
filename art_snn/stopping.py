"""Ctrl-C and SIGTERM: a command that is stopped leaves quietly, with its signal's exit status."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143
SIGNALS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
AGAIN = 0.01
"""Seconds until a signal that was dropped is raised again."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: it unwinds as Ctrl-C does."""


def leave_at_once() -> None:
    """Let signals end the process silently while libraries are imported, which would hide them."""
    for number, status in SIGNALS.items():
        signal.signal(number, lambda *_, status=status: os._exit(status))


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block signals raise KeyboardInterrupt, so that everything is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raising = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    before = {number: signal.signal(number, handler) for number, handler in raising.items()}
    try:
        with _raised_again():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _raised_again() -> Iterator[None]:
    """Within the block Python drops no signal that comes while a destructor runs."""
    hook, timers = sys.unraisablehook, list[threading.Timer]()

    def repeat(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            hook(dropped)
            return
        number = signal.SIGTERM if isinstance(dropped.exc_value, Terminated) else signal.SIGINT
        timers.append(threading.Timer(AGAIN, signal.raise_signal, [number]))
        timers[-1].start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for timer in timers:
            timer.cancel()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
