"""The machine: its name, its threads, its memory, and what calls take of it."""

import ctypes
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from art_snn.checks import require
from art_snn.progress import progress_over

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def set_threads(threads: int | None) -> None:
    """Threads of torch in this process; None leaves them."""
    if threads is not None:
        torch.set_num_threads(threads)


def require_device(device: str) -> None:
    """Refuse "gpu" where torch sees no CUDA device."""
    fits, remedy = device == "cpu" or torch.cuda.is_available(), "Use cpu, or install a CUDA build."
    require(fits, "device", "a device that torch can see", "gpu", remedy)


def torch_device(device: str) -> torch.device:
    """The current CUDA device for "gpu" where there is one, otherwise the CPU."""
    return torch.device("cuda" if device == "gpu" and torch.cuda.is_available() else "cpu")


def device_type(device: torch.device) -> str:
    """ "cpu" or "gpu", as ART says it."""
    return "cpu" if device.type == "cpu" else "gpu"


def describe_machine(device: str, threads: int | None = None) -> str:
    """The card of "gpu", or processor and threads (None: torch's own), and torch's version."""
    if torch_device(device).type == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    count = threads or torch.get_num_threads()
    return f"{processor()}, {count} threads, torch {torch.__version__}"


def processor() -> str:
    """Name of the processor from Linux, elsewhere from Python."""
    listing = Path("/proc/cpuinfo")
    for line in listing.read_text().splitlines() if listing.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def measure_medians(
    operations: dict[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds of each operation over `repeats` rounds, one after the other in turn.

    So a slow spell of the machine falls on all. One round runs beforehand and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in operations}
    for round_ in progress_over(range(repeats + 1), "Timing", unit="rounds"):
        for name, operate in operations.items():
            _synchronise(device)
            start = time.perf_counter()
            operate()
            _synchronise(device)
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _synchronise(device: str) -> None:
    if device == "gpu":
        torch.cuda.synchronize()


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors, which glibc gives back to the system.

    For commands and scripts, not for libraries. Returns whether the C library took the setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def measure_peak(operate: Callable[[], object], device: str) -> int:
    """Bytes by which memory rises at most while `operate` runs, on "gpu" or "cpu".

    On a GPU the allocator's peak; on Linux the peak of the process's resident memory, reset
    beforehand; elsewhere the rise of its lifetime peak, so call it in a fresh process."""
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
