"""A folder of blocks that are done: each is written once, and never computed again."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import require
from art_snn.files import read_arrays, write_arrays

Content = dict[str, Any]
PART = ".part"
"""After the name of a block: how far it is, in place of the block."""
_CONTENT = "content"
"""The array that holds the content of a block as JSON, with its name and key."""


class Store:
    """A folder of blocks that are done, each in one file.

    :param key: fingerprint of what they are about."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

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
            key, kept = content["key"], content["name"]
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return False
        got = f"{self.folder.parent}, with blocks of other settings, code, weights or samples"
        require(key == self.key, "output", expected, got, remedy)
        return bool(kept == name)

    def put(self, name: str, content: Content, arrays: dict[str, np.ndarray]) -> None:
        """Write a block, in the place of an earlier one of that name."""
        text = json.dumps({"key": self.key, "name": name} | content)
        write_arrays(self.file(name), **arrays, **{_CONTENT: np.array(text)})

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of a block."""
        with np.load(self.file(name)) as file:
            return {name: file[name] for name in file if name != _CONTENT}

    def read(self, name: str) -> Content:
        """The content of a block."""
        with np.load(self.file(name)) as file:
            content: Content = json.loads(str(file[_CONTENT]))
        return content
