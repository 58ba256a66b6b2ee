"""Files that are written whole or not at all, and digests by which content is known again."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A file to write into, which takes the place of `path` when the block ends well.

    A block that fails or is interrupted leaves an earlier file as it was. Folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write the text, in UTF-8."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write the content as JSON, one value per line."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write the arrays as a compressed .npz file."""
    with whole(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_json(path: Path) -> Any:
    """What the file holds, or None where it holds no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def digest(settings: object, *arrays: np.ndarray) -> str:
    """Changes with whatever the settings tell in their repr, and with the values of the arrays.

    Places in memory, which the repr of a function tells, are not counted: they change at every
    start of the program."""
    told = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings))
    found = hashlib.sha256(told.encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
