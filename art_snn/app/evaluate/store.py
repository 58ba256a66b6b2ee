"""A folder of blocks that are done: each is written once, and never computed again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import require
from art_snn.files import digest, read_arrays, read_json, write_arrays, write_json

Content = dict[str, Any]


class Store:
    """A folder of blocks that are done.

    :param key: fingerprint of what they are about."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def file(self, name: str, ending: str = "json") -> Path:
        """The JSON of a block, or its arrays."""
        return self.folder / f"{name}.{ending}"

    def done(self, names: Sequence[str]) -> set[str]:
        """Names of the blocks that are done, and not damaged or exchanged since."""
        return {name for name in names if self.file(name).exists() and self._fits(name)}

    def _fits(self, name: str) -> bool:
        try:
            content = read_json(self.file(name))
            key = content.get("key")
        except (ValueError, AttributeError):
            return False
        expected = "a folder without results, or with results of the same evaluation"
        got = f"{self.folder.parent}, with blocks of other settings, code, weights or samples"
        remedy = f"Choose another folder, or delete {self.folder}."
        require(key == self.key, "output", expected, got, remedy)
        try:
            arrays = read_arrays(self.file(name, "npz"), "output", expected, remedy)
        except (ValueError, FileNotFoundError):
            return False
        return bool(content.get("name") == name and content.get("arrays") == _digest(arrays))

    def put(self, name: str, content: Content, arrays: dict[str, np.ndarray]) -> None:
        """Write a block; it is done when its JSON is there, which comes last."""
        write_arrays(self.file(name, "npz"), **arrays)
        seal = {"key": self.key, "name": name, "arrays": _digest(arrays)}
        write_json(self.file(name), seal | content)

    def read(self, name: str) -> Content:
        """The content of a block."""
        content: Content = read_json(self.file(name))
        return content

    def array(self, name: str, which: str) -> np.ndarray:
        """An array of a block."""
        with np.load(self.file(name, "npz")) as file:
            array: np.ndarray = file[which]
        return array


def _digest(arrays: dict[str, np.ndarray]) -> str:
    forms = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    return digest(forms, *arrays.values())
