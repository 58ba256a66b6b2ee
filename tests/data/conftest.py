"""Memory that is taken while files are read."""

import tracemalloc

import pytest


@pytest.fixture
def traced():
    """Bytes of memory at the peak since the beginning of the test, or since the last reset."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
