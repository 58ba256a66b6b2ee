"""The folder of a run: writable before anything is done, and no other run's at the time."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from art_snn.checks import ArgumentError, WriteFailed, invalid
from art_snn.files import UNFINISHED, write_text

LOCK, HOLDER = ".lock", ".running"
MADE = ("blocks", "decay-*")
"""Folders that runs make in their output."""
MOMENT = 1.0
"""Seconds within which a run that holds a folder writes down who it is."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder is there, can be written into, and belongs to this run within the block.

    Unfinished files of a killed run are removed. A block that writes nothing leaves no folder."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
        try:
            since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            words = f"process {os.getpid()} on {platform.node()}, since {since},"
            write_text(folder / HOLDER, words)
            _sweep(folder)
        except BaseException:
            _let_go(folder, lock)
            raise
    except (WriteFailed, OSError) as error:
        _remove(missing)
        if isinstance(error, ArgumentError):
            raise
        got = f"{folder} ({error.strerror or error})"
        remedy = "Choose another folder, or make room in it."
        raise invalid("output", "a folder that can be written into", got, remedy) from error
    try:
        yield
    finally:
        _let_go(folder, lock)
        _remove(missing)


def _locked(folder: Path) -> FileLock:
    lock, until = FileLock(folder / LOCK), time.monotonic() + MOMENT
    holder = ""
    while not holder:
        try:
            lock.acquire(timeout=0)
            if (folder / LOCK).exists():
                return lock
            lock.release()  # Its last holder has just removed it.
        except Timeout:
            # One that begins or ends at this moment has no name there yet, or no longer.
            with suppress(OSError):
                holder = (folder / HOLDER).read_text(encoding="utf-8")
            if not holder and time.monotonic() > until:
                holder = "another run"
            time.sleep(0.01)
        except BaseException:
            if lock.is_locked:  # A signal came right after.
                _let_go(folder, lock)
            raise
    got, remedy = f"{folder}, which {holder} holds", "Wait for its end, or choose another."
    raise invalid("output", "a folder that no other run is writing into", got, remedy)


def _sweep(folder: Path) -> None:
    """Remove unfinished files of ours."""
    for place in (folder, *(made for name in MADE for made in folder.glob(name))):
        if place == folder or not (place / LOCK).exists():  # That of a run of its own.
            for left in filter(UNFINISHED.search, map(str, place.glob("*.part"))):
                Path(left).unlink(missing_ok=True)


def _let_go(folder: Path, lock: FileLock) -> None:
    for name in (HOLDER, LOCK):
        with suppress(OSError):
            (folder / name).unlink()
    lock.release()


def _remove(folders: list[Path]) -> None:
    """Remove folders that were made and stayed empty, the innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
