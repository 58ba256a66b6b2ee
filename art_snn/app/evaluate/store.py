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
        """Names of those that are whole; those of something else are refused, parts too."""
        all_names = {*names, *(path.stem for path in self.folder.glob("*.[0-9]*.json"))}
        return {*names} & {one for one in all_names if self.file(one).exists() and self._fits(one)}

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

    def latest_part(self, name: str) -> str:
        """The last of the parts "NAME.1", "NAME.2" ... of a block that is whole, or ""."""
        parts = [path.stem for path in self.folder.glob(f"{name}.[0-9]*.json")]
        parts.sort(key=lambda part: int(part.rpartition(".")[2]), reverse=True)
        return next((part for part in parts if self._fits(part)), "")

    def drop_parts(self, name: str, but: str = "") -> None:
        """Remove all such parts of a block but one."""
        for path in self.folder.glob(f"{name}.[0-9]*.*"):
            if path.stem != but:
                path.unlink(missing_ok=True)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of a block."""
        with np.load(self.file(name, "npz")) as file:
            return dict(file)

    def read(self, name: str) -> Content:
        """The content of a block."""
        content: Content = read_json(self.file(name))
        return content


def _digest(arrays: dict[str, np.ndarray]) -> str:
    forms = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    return digest(forms, *arrays.values())
