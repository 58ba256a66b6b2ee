"""Paths as users give them: what is there, without opening it."""

import os
import stat
from pathlib import Path

from art_snn.checks import ArgumentError, MissingFile, invalid, require, shown

FILE, FOLDER = "a file", "a folder"

_REMEDY = "Check the spelling and the path."
_KINDS = {"-": FILE, "d": FOLDER, "p": "a named pipe", "s": "a socket"}
_KINDS |= dict.fromkeys("cb", "a device")


def expand_path(argument: str, path: str | Path) -> Path:
    """The path with its ~ expanded; ValueError where it cannot be looked up."""
    require(str(path), argument, "a path", "an empty word", _REMEDY)
    try:
        expanded = Path(path).expanduser()
    except (RuntimeError, ValueError) as error:
        raise _unknown(argument, path, error) from error
    path_kind(argument, expanded)
    return expanded


def path_kind(argument: str, path: Path) -> str | None:
    """FILE, FOLDER, or in words what else is there; None for nothing."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unknown(argument, path, error) from error
    return _KINDS.get(stat.filemode(mode)[0], "no file")


def require_kind(argument: str, path: Path, kind: str, expected: str) -> None:
    """Refuse anything but a file, or a folder, that is there and may be read."""
    there = path_kind(argument, path)
    if there is None:
        link = f", a link to {os.readlink(path)}," if path.is_symlink() else ""
        raise MissingFile(argument, f"expected {expected}, but {path}{link} does not exist.")
    require(there == kind, argument, expected, f"{path}, {there}", f"Give {kind} instead.")
    may = os.access(path, os.R_OK | os.X_OK if kind == FOLDER else os.R_OK)
    got = f"{path}, which may not be read"
    require(may, argument, expected, got, "Change its permissions, or take a copy.")


def require_root(root: str | Path) -> Path:
    """The folder of the sets that are kept on disk, with its ~ expanded; it may be missing."""
    path = expand_path("root", root)
    if path_kind("root", path) is not None:
        require_kind("root", path, FOLDER, "a folder of data sets")
    return path


def _unknown(argument: str, path: str | Path, error: Exception) -> ArgumentError:
    # str of an OSError repeats the whole path, which may be what is too long.
    got = f"{shown(str(path))} ({getattr(error, 'strerror', None) or error})"
    return invalid(argument, "a path that can be looked up", got, _REMEDY)
