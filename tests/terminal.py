"""Terminals that people look at, for the tests of what they show."""

import contextlib
import io
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator

import pytest


class Terminal(io.StringIO):
    """Takes what is written, and says that people look at it."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def pseudo_terminal(columns: int = 80) -> Iterator[list[str]]:
    """stderr is a terminal of that width within the block; afterwards all that it was sent.

    What it was sent is in pieces that begin anew at the left edge, without control sequences."""
    fcntl, termios = map(pytest.importorskip, ("fcntl", "termios"))
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    received: list[bytes] = []
    pieces: list[str] = []

    def read() -> None:
        with contextlib.suppress(OSError):
            while block := os.read(leader, 4096):
                received.append(block)

    reader = threading.Thread(target=read)
    reader.start()
    before = sys.stderr
    try:
        with open(follower, "w", buffering=1) as sys.stderr:
            yield pieces
    finally:
        sys.stderr = before
        reader.join()
        os.close(leader)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", b"".join(received).decode())
    pieces += re.split(r"[\r\n]+", text)
