"""Damage to files: single bits that flip, and disks that take nothing more."""

import contextlib
import signal
from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """The content with one bit of one byte flipped."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def flips(file, content, unseen, every=97):
    """Flip one bit of every 97th byte, and the bits in turn: those flips that go unseen.

    :param content: of the whole file, which is left damaged.
    :param unseen: whether nothing is complained about."""
    missed = []
    for turn, place in enumerate(range(0, len(content), every)):
        file.write_bytes(flipped(content, place, turn % 8))
        if unseen():
            missed.append((place, turn % 8))
    return missed


@contextlib.contextmanager
def small_files_only(limit: int = 1000) -> Iterator[None]:
    """No file of this process grows beyond so many bytes within the block, as on a full disk."""
    if resource is None:
        import pytest

        pytest.skip("files cannot be limited here")
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, previous[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
        signal.signal(signal.SIGXFSZ, handler)
