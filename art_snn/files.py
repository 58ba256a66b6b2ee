"""Files that are written whole or not at all, and checked by checksums when they are read.

Archives (.pt, .npz) end in the SHA-256 of all bytes before it. It is the comment of the zip file,
so torch and numpy read them as usual. A JSON object holds that of its content, in any layout."""

import glob
import hashlib
import json
import os
import re
import secrets
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from art_snn.checks import WriteFailed

SEAL, DIGITS = b"sha256=", 64
PLAIN_END = b"PK\x05\x06"
"""What the last 22 bytes of a zip file without a comment begin with."""

HEAD = 512
"""Bytes of a file in which a mark of ours stands."""

UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part$")
"""End of the name of a file while it is written."""

ABANDONED = 24 * 60 * 60
"""Seconds after which an unfinished file is removed."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A file to write into, which takes the place of `path` when the block ends well.

    A block that fails or is interrupted leaves an earlier file as it was. Folders are made. Two
    processes do not disturb each other. WriteFailed where the system refuses."""
    path = Path(path)
    partial = path.with_name(f"{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(path.name[:100])}.*.part"):
            with suppress(OSError):  # Of a process that was killed.
                if time.time() - left.stat().st_mtime > ABANDONED:
                    left.unlink()
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())  # Not even a power cut leaves half of it.
        partial.replace(path)
    except WriteFailed:
        raise
    except OSError as error:
        raise WriteFailed(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write the text, in UTF-8."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write the content as JSON, one value per line, an object with its checksum."""
    if isinstance(content, dict):
        content = content | {"sha256": _sum(json.loads(json.dumps(content)))}
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write the arrays as a compressed .npz file with a checksum."""
    with whole(path) as partial:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        _seal(partial)


def write_tensors(path: Path, content: object) -> None:
    """Write what torch saves, with a checksum."""
    with whole(path) as partial:
        try:
            with partial.open("wb") as stream:
                torch.save(content, stream)
        except RuntimeError as error:
            # torch hides what the system said, and that a signal came.
            hidden = isinstance(error.__context__, OSError | KeyboardInterrupt)
            raise error.__context__ if hidden else error from None  # type: ignore[misc]
        _seal(partial)


def read_json(path: Path) -> Any:
    """What a file of :func:`write_json` holds; ValueError when it is no JSON or is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"holds no JSON ({str(error) or type(error).__name__})") from error
    if not isinstance(content, dict):
        return content
    if content.pop("sha256", None) != _sum(content):
        raise ValueError("is damaged: its checksum does not match its content")
    return content


def begins_with(path: Path, *marks: str) -> bool:
    """Whether a file can be read, and one of the marks stands in its first lines."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return False
    return any(mark.encode() in head for mark in marks)


def damage(path: Path, parts: bool = True) -> str | None:
    """What is wrong with an archive, or None; other files are not looked into.

    :param parts: without our checksum, check those of zip for every part; numpy does so itself."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        start = stream.read(2)
        stream.seek(max(0, size - len(SEAL) - DIGITS))
        end = stream.read()
        # Of the same stream: another process may put another file in its place at any time.
        checksum = _sum_of(stream, size - len(end)) if end.startswith(SEAL) else b""
    if checksum:
        same = checksum == end[len(SEAL) :]
        return None if same else "is damaged: its checksum does not match its content"
    if start != b"PK":
        return None
    if not end[-22:].startswith(PLAIN_END) or end[-2:] != b"\0\0":
        return "is cut off or damaged at its end"
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip() if parts else None
    except Exception as error:
        # A damaged archive fails in any way its bytes happen to lead to.
        return f"is damaged ({error})"
    return None if bad is None else f"is damaged in its part {bad}"


def _seal(path: Path) -> None:
    """Append the checksum to an archive without a comment, as the comment."""
    with path.open("rb+") as stream:
        stream.seek(-2, os.SEEK_END)
        stream.write((len(SEAL) + DIGITS).to_bytes(2, "little"))
        stream.write(SEAL + _sum_of(stream, stream.seek(0, os.SEEK_END)))


def _sum_of(stream: BinaryIO, size: int) -> bytes:
    """SHA-256 of the first bytes of a file, in hexadecimal digits; leaves the place behind them."""
    checksum = hashlib.sha256()
    stream.seek(0)
    while size > 0 and (block := stream.read(min(size, 2**20))):
        checksum.update(block)
        size -= len(block)
    return checksum.hexdigest().encode()


def _sum(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(settings: object, *arrays: np.ndarray) -> str:
    """A text that changes with the repr of the settings, but for addresses, and with the arrays."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings))
    checksum = hashlib.sha256(text.encode())
    for array in arrays:
        checksum.update(np.ascontiguousarray(array).data)
    return checksum.hexdigest()
