"""The machine that is measured: its name, its threads, its memory."""

import platform
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import arg

from art_snn.checks import require, require_count
from art_snn.classifier.inputs import check_device_type

MOST_THREADS = 1024
Device = Annotated[str, arg(metavar="{gpu,cpu}")]
"""What is computed on, as ART names it."""


def set_threads(threads: int | None) -> None:
    """Threads of torch in this process; None leaves them."""
    require_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)


def require_threads(threads: int | None) -> None:
    """Refuse anything but None and a whole number from 1 to 1024."""
    if threads is not None:
        remedy = "Leave it out for torch's own choice."
        require_count("threads", threads, up_to=MOST_THREADS, remedy=remedy)


def require_device(device: str) -> None:
    """Refuse anything but "cpu", and "gpu" where torch sees a CUDA device."""
    check_device_type(device, "device")
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
