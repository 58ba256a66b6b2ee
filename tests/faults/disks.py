"""Disks that take nothing more."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


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
