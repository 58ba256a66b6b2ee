"""Files that are written whole or not at all, and whose content is checked when it is read.

Archives (.pt, .npz) have the checksums of zip. A JSON object holds the SHA-256 of its
content, in any layout."""

import hashlib
import json
import math
import os
import re
import secrets
import zipfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from numpy.lib import format as npy
from torch import Tensor

from art_snn.checks import FILE, WriteFailed, refusing, require_kind

UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part$")
"""End of the name of a file while it is written."""
LARGEST = 16 * 2**30
"""Bytes that the arrays of one file may unpack to; a file of a thousandth of that can hold them."""

# The third version is for names of fields, which no array of numbers has.
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; zipfile unpacks others a whole block at once, however large that becomes."""


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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the content as JSON, one value per line, with its checksum."""
    checked = content | {"sha256": _sum(json.loads(json.dumps(content)))}
    write_text(path, json.dumps(checked, indent=1) + "\n")


def write_arrays(path: Path, **arrays: ndarray) -> None:
    """Write the arrays as a compressed .npz file."""
    with atomic_write(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # One of them might be allow_pickle.


def read_arrays(
    path: Path,
    argument: str,
    expected: str,
    remedy: str,
    *,
    names: Container[str] | None = None,
    largest: int = LARGEST,
) -> dict[str, ndarray]:
    """The arrays of a .npz file, by name. Sizes that it states are checked before it is unpacked.

    :param argument: named in complaints, with what was expected and the remedy.
    :param names: of arrays that are read where they are there; None: all.
    :param largest: bytes that these may take, unpacked.
    :raises FileNotFoundError: when it is not there.
    :raises ValueError: when it is damaged, larger or something else."""
    require_kind(argument, path, FILE, expected)
    # One stream: another process may put another file there at any time.
    with (
        refusing(argument, expected, f"{path}, which cannot be read", remedy),
        path.open("rb") as stream,
        zipfile.ZipFile(stream) as archive,
    ):
        members = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is None or name in names:
                members[name] = info
        _check_members(members.values(), largest)
        return {name: _unpack(archive, info) for name, info in members.items()}


def _check_members(members: Iterable[zipfile.ZipInfo], largest: int) -> None:
    """ValueError where members of an archive state more bytes, or are of another compression."""
    size = 0
    for info in members:
        size += info.file_size
        if info.compress_type not in _METHODS:
            raise ValueError(f"{info.filename} is not compressed as numpy does it")
    if size > largest:
        raise ValueError(f"it states {size:,} bytes, unpacked, of at most {largest:,}")


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ndarray:
    """One array, whose header must fit the size of its member before memory is taken."""
    with archive.open(info) as member:
        shape, _, kind = _HEADERS[npy.read_magic(member)](member)
        size = member.tell() + math.prod(shape) * kind.itemsize
        if not kind.hasobject and size != info.file_size:
            stated = f"{info.file_size:,} bytes states {kind} of shape {shape}"
            raise ValueError(f"{info.filename} of {stated}")
        member.seek(0)
        array: ndarray = npy.read_array(member, allow_pickle=False)
    return array


def read_json(path: Path) -> Any:
    """The content of a file of :func:`write_json`; ValueError when it is no JSON or is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"holds no JSON ({str(error) or type(error).__name__})"
        ) from error
    if not isinstance(content, dict):
        return content
    if content.pop("sha256", None) != _sum(content):
        raise ValueError("is damaged: its checksum does not match its content")
    return content


def corruption(path: Path, *, packed: bool = True) -> str | None:
    """The damage of an archive in words, or None; files of other kinds are not examined.

    :param packed: True if it may state more bytes than the file has; those of torch never do."""
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return None
        try:
            with zipfile.ZipFile(stream) as archive:
                largest = LARGEST if packed else path.stat().st_size
                _check_members(archive.infolist(), largest)
                bad = archive.testzip()
        except Exception as error:
            # A damaged archive fails in any way its bytes happen to lead to.
            return f"is damaged ({error})"
    return None if bad is None else f"is damaged in its part {bad}"


def digest(settings: object, *arrays: ndarray | Tensor) -> str:
    """SHA-256 of the repr of the settings, without addresses, and of the bytes of the arrays."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings))
    # Batch norms of torch before 2.13 do not show that they have a bias.
    text = re.sub(r"(affine=(True|False)), track", r"\1, bias=\2, track", text)
    checksum = hashlib.sha256(text.encode())
    for array in arrays:
        if isinstance(array, Tensor):
            # As bytes, since numpy has no bfloat16.
            array = (
                array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            )
        checksum.update(np.ascontiguousarray(array).data)
    return checksum.hexdigest()


def _sum(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
