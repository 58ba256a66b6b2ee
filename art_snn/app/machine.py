"""The machine: its name, its devices, its memory, and the time that calls take on it."""

import ctypes
import gc
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

from art_snn.progress import progress_over

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
"""What mallopt of glibc sets: blocks apart from the heap, and free bytes at its end."""


def keep_memory() -> None:
    """Let this process keep memory that tensors free: new pages cost a fault and zeros each.

    Only glibc can. Not where ART_SNN_KEEP_MEMORY is 0, nor where the environment sets malloc up."""
    tuned = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if tuned or os.environ.get("ART_SNN_KEEP_MEMORY") == "0":
        return
    # Other libraries lack the function.
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**30)


def torch_device(device: str) -> torch.device:
    """The current CUDA device for "gpu" where there is one, otherwise the CPU."""
    return torch.device(
        "cuda" if device == "gpu" and torch.cuda.is_available() else "cpu"
    )


def describe_machine(device: str) -> str:
    """The card of "gpu", or processor and threads, and torch's version."""
    if torch_device(device).type == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    name = _read_proc("cpuinfo", "model name")
    processor = name or platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def measure_medians(
    operations: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds of each operation over `repeats` rounds, one after the other in turn.

    So a slow spell of the machine falls on all. One round runs beforehand and is not counted."""
    wait = getattr(torch, torch_device(device).type).synchronize
    seconds: dict[str, list[float]] = {name: [] for name in operations}
    for round_ in progress_over(range(repeats + 1), "Timing", unit="rounds"):
        for name, operate in operations.items():
            wait()
            start = time.perf_counter()
            operate()
            wait()
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


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
        return torch.cuda.max_memory_allocated() - before
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    before = _read_resident("VmRSS")
    operate()
    return _read_resident("VmHWM") - before


def _read_proc(file: str, field: str) -> str:
    """The value of a field in a file below /proc; "" where there is none, as outside of Linux."""
    path = Path("/proc", file)
    text = path.read_text() if path.exists() else ""
    line = re.search(rf"^{field}\s*:(.*)", text, re.MULTILINE)
    return line[1].strip() if line else ""


def _read_resident(field: str) -> int:
    """Bytes of this process: resident (VmRSS) or its peak (VmHWM); where /proc does not
    tell them, the peak of its lifetime."""
    size = _read_proc("self/status", field)
    if size:
        return int(size.removesuffix("kB")) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
