"""A folder of blocks that are done: each is written once, and never computed again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from art_snn.checks import FILE, invalid, require, require_kind
from art_snn.files import atomic_write, corruption, digest, read_json, write_arrays, write_json
from art_snn.team import Team

Content = dict[str, Any]


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


class Store:
    """A folder of blocks that are done.

    :param key: fingerprint of what they are about."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def file(self, name: str, ending: str = "json") -> Path:
        """The JSON of a block, or its arrays."""
        return self.folder / f"{name}.{ending}"

    def done(self, names: Sequence[str]) -> set[str]:
        """Which blocks are done; what was damaged, exchanged or written by others since is not."""
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
        return bool(content.get("name") == name and content.get("arrays") == self._arrays(name))

    def _arrays(self, name: str) -> str | None:
        """Digest of the arrays of a block; None where they are gone or damaged."""
        path = self.file(name, "npz")
        if not path.exists() or corruption(path) is not None:
            return None
        with np.load(path) as file:
            return _digest(dict(file))

    def put(self, name: str, content: Content, arrays: dict[str, np.ndarray]) -> None:
        """Write a block; it is done when its JSON is there, which comes last."""
        write_arrays(self.file(name, "npz"), **arrays)
        seal = {"key": self.key, "name": name, "arrays": _digest(arrays)}
        write_json(self.file(name), seal | content)

    def discard(self, names: Iterable[str]) -> None:
        """Remove blocks that are not done, so that what is there is."""
        for name in names:
            self.file(name).unlink(missing_ok=True)

    def read(self, name: str) -> Content:
        """The content of a block."""
        content: Content = read_json(self.file(name))
        return content

    def array(self, name: str, which: str) -> np.ndarray:
        """An array of a block."""
        with np.load(self.file(name, "npz")) as file:
            array: np.ndarray = file[which]
        return array

    def collect(self, names: Sequence[str], team: Team) -> None:
        """Bring all blocks to the leading process, whose folder may be on another machine."""
        missing = team.broadcast(self._missing(names))
        for parcel in team.gather({} if team.leads else self._parcel(missing)):
            self._unpack(parcel if team.leads else {})

    def share(self, names: Sequence[str], team: Team) -> None:
        """Bring all blocks to every process."""
        mine = self._missing(names)
        missing = sorted(set().union(*team.gather(mine)))
        for parcel in team.gather(self._parcel(missing)):
            self._unpack({n: part for n, part in parcel.items() if Path(n).stem in mine})

    def _missing(self, names: Sequence[str]) -> list[str]:
        done = self.done(names)
        return [name for name in names if name not in done]

    def _parcel(self, names: Sequence[str]) -> dict[str, bytes]:
        """The files of those blocks that are here; the JSON of a block comes last."""
        paths = [self.file(name, ending) for name in names for ending in ("npz", "json")]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    def _unpack(self, parcel: dict[str, bytes]) -> None:
        for name, content in parcel.items():
            with atomic_write(self.folder / name) as partial:
                partial.write_bytes(content)

    def clear(self) -> None:
        """Remove all blocks."""
        rmtree(self.folder, ignore_errors=True)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    forms = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    return digest(forms, *arrays.values())
