"""A folder of blocks that are done: each is written once, and never computed again."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from art_snn.checks import require
from art_snn.files import read_arrays, write_arrays

Content = dict[str, Any]
Arrays = dict[str, np.ndarray]
PART = ".part"
"""After the name of a block: how far it is, in place of the block."""
TOOK = "took"
"""Name of the seconds that a block took, in its content."""
PAUSE = 5.0
"""Seconds at least between two writings of a part."""
_SHARE = 0.01
"""Share of the time that these writings may take."""
_CONTENT = "content"
"""The array that holds the content of a block as JSON, with its name and key."""


class Store:
    """A folder of blocks that are done, each in one file.

    :param key: fingerprint of what they are about."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def file(self, name: str) -> Path:
        """The file of a block."""
        return self.folder / f"{name}.npz"

    def done(self, names: Collection[str]) -> set[str]:
        """Names of those that are whole; those of something else are refused, parts too."""
        files = (*names, *(name + PART for name in names))
        return {*names} & {name for name in files if self.whole(name)}

    def whole(self, name: str) -> bool:
        """True where a block is there and undamaged; one of something else is refused."""
        expected = "a folder without results, or with results of the same evaluation"
        remedy = f"Choose another folder, or delete {self.folder}."
        try:
            arrays = read_arrays(self.file(name), "output", expected, remedy)
            content = json.loads(str(arrays[_CONTENT]))
            key = content["key"]
            kept = content["name"]
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return False
        require(
            key == self.key,
            "output",
            expected,
            f"{self.folder.parent}, with blocks of other settings, code, weights or samples",
            remedy,
        )
        return bool(kept == name)

    def put(self, name: str, content: Content, arrays: Arrays) -> None:
        """Write a block, in the place of an earlier one of that name."""
        text = json.dumps({"key": self.key, "name": name} | content)
        write_arrays(self.file(name), **arrays, **{_CONTENT: np.array(text)})

    def arrays(self, name: str) -> Arrays:
        """All arrays of a block."""
        with np.load(self.file(name)) as file:
            return {name: file[name] for name in file if name != _CONTENT}

    def read(self, name: str) -> Content:
        """The content of a block."""
        with np.load(self.file(name)) as file:
            content: Content = json.loads(str(file[_CONTENT]))
        return content


class Part:
    """How far a block is, in a file of its own: a killed run goes on from there.

    :param block: name of the block."""

    def __init__(self, store: Store, block: str) -> None:
        self._store = store
        self._name = block + PART
        started = store.whole(self._name)
        self.arrays = store.arrays(self._name) if started else None
        """Those of an earlier run; None where there was none."""
        self.took: float = store.read(self._name)[TOOK] if started else 0.0
        """Seconds of earlier runs."""
        self._began = monotonic()
        self._due = self._began + PAUSE

    def write(self, collect: Callable[[], Arrays]) -> None:
        """Write the arrays that are collected, unless the last time was a moment ago."""
        now = monotonic()
        if now < self._due:
            return
        self._store.put(self._name, {TOOK: self.took + now - self._began}, collect())
        written = monotonic()
        self._due = written + max(PAUSE, (written - now) / _SHARE)
