"""What does not fit into the memory of this machine is refused before it is made."""

import os

from art_snn.checks import require


def total_memory() -> int:
    """Bytes of memory that this machine has."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil  # Windows

    return int(psutil.virtual_memory().total)


def require_memory(argument: str, value: object, what: str, needed: int, *, remedy: str) -> None:
    """ValueError when what an argument asks for needs more memory than there is.

    :param what: in the plural, such as "weights".
    :param needed: its bytes."""
    there = total_memory()
    expected = f"{what} that fit into the {there / 2**30:,.1f} GiB of memory of this machine"
    got = f"{value}, which makes {what} of {needed / 2**30:,.1f} GiB"
    require(needed <= there, argument, expected, got, remedy)
