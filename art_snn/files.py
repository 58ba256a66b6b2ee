"""Files that are written whole or not at all, and whose content is checked when it is read.

Archives (.pt, .npz) have the checksums of zip. A JSON object holds the SHA-256 of its content, in
any layout."""

import hashlib
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import FILE, WriteFailed, invalid, require, require_kind

UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part$")
"""End of the name of a file while it is written."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A file to write into, which replaces `path` when the block ends well.

    A block that fails or is interrupted leaves an earlier file as it was. Folders are made. Two
    processes do not disturb each other. WriteFailed where the system refuses."""
    path = Path(path)
    partial = path.with_name(f"{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write the content as JSON, one value per line, an object with its checksum."""
    if isinstance(content, dict):
        content = content | {"sha256": _sum(json.loads(json.dumps(content)))}
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write the arrays as a compressed .npz file."""
    with atomic_write(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, argument: str, expected: str, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, by name.

    :param argument: named in complaints, with what was expected and the remedy.
    :raises FileNotFoundError: when it is not there.
    :raises ValueError: when it is damaged or something else."""
    require_kind(argument, path, FILE, expected)
    spoilt = corruption(path)
    require(spoilt is None, argument, expected, f"{path}, which {spoilt}", remedy)
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:
        # What is no such archive fails in any way its bytes happen to lead to.
        got = f"{path}, which cannot be read ({type(error).__name__})"
        raise invalid(argument, expected, got, remedy) from error


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


def corruption(path: Path) -> str | None:
    """What is wrong with an archive, or None; other files are not looked into."""
    # One stream: another process may put another file there at any time.
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return None
        try:
            with zipfile.ZipFile(stream) as archive:
                bad = archive.testzip()
        except Exception as error:
            # A damaged archive fails in any way its bytes happen to lead to.
            return f"is damaged ({error})"
    return None if bad is None else f"is damaged in its part {bad}"


def digest(settings: object, *arrays: np.ndarray | Tensor) -> str:
    """SHA-256 of the repr of the settings, without addresses, and of the bytes of the arrays."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings))
    checksum = hashlib.sha256(text.encode())
    for array in arrays:
        if isinstance(array, Tensor):
            # As bytes, since numpy has no bfloat16.
            array = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        checksum.update(np.ascontiguousarray(array).data)
    return checksum.hexdigest()


def _sum(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
