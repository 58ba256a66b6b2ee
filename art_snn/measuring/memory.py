"""Peak memory of a call."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones (glibc only).

    By default glibc gives every tensor above 32 MiB back to the system and has the next one paged
    in anew, which costs time with large and short-lived tensors. For commands and scripts; a
    library has no business to decide this. Returns whether the C library took the setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def peak_during(operate: Callable[[], object], device: str) -> int:
    """Bytes by which memory rises at most while `operate` runs, on "gpu" or "cpu".

    On a GPU the allocator's own peak; on Linux the peak of the process's resident memory, which is
    set back beforehand; elsewhere the rise of its lifetime peak, so call it in a fresh process."""
    gc.collect()
    if device == "gpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        operate()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    if CLEAR.exists():
        CLEAR.write_text("5")
        before = _status("VmRSS")
        operate()
        return _status("VmHWM") - before
    before = _lifetime_peak()
    operate()
    return _lifetime_peak() - before


def _status(field: str) -> int:
    line = next(li for li in STATUS.read_text().splitlines() if li.startswith(field))
    return int(line.split()[1]) * 1024


def _lifetime_peak() -> int:
    if resource is None:
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
