"""What is computed at a time, written when it is done, and never computed again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from art_snn.checks import require
from art_snn.experiments.evaluate.progress import Progress
from art_snn.files import damage, digest, read_json, whole, write_arrays, write_json
from art_snn.team import Team

Content = dict[str, Any]
Computed = tuple[Content, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Unit:
    """Something that one process computes, by itself.

    :param name: of its files.
    :param samples: how many it is about.
    :param words: for the bar.
    :param compute: gives what it found, for JSON, and arrays; it tells of its stages.
    :param length: how long it takes, roughly, beside others; long ones are dealt out first, so that
        no process waits long for another at the end."""

    name: str
    samples: int
    words: str
    compute: Callable[[Progress], Computed]
    length: float = 1.0


@dataclass(frozen=True)
class Blocks:
    """A folder of units that are done.

    :param folder: where they lie.
    :param key: fingerprint of what they are about."""

    folder: Path
    key: str

    def file(self, name: str) -> Path:
        """The JSON of a unit."""
        return self.folder / f"{name}.json"

    def arrays(self, name: str) -> Path:
        """The arrays of a unit."""
        return self.folder / f"{name}.npz"

    def known(self, names: Sequence[str]) -> set[str]:
        """Which units are done; what was damaged, exchanged or written by others since is not.

        :raises ValueError: when the folder holds units of something else."""
        return {name for name in names if self.file(name).exists() and self._fits(name)}

    def _fits(self, name: str) -> bool:
        try:
            content = read_json(self.file(name))
            found = content.get("key")
        except (ValueError, AttributeError):
            return False
        expected = "a folder without results, or with results of the same evaluation"
        got = f"{self.folder.parent}, with blocks of other settings, code, weights or samples"
        remedy = f"Choose another folder, or delete {self.folder}."
        require(found == self.key, "output", expected, got, remedy)
        return bool(content.get("name") == name and content.get("arrays") == self._arrays(name))

    def _arrays(self, name: str) -> str | None:
        """Digest of the arrays of a unit; None where they are gone or damaged."""
        path = self.arrays(name)
        if not path.exists() or damage(path) is not None:
            return None
        with np.load(path) as file:
            return _digest(dict(file))

    def put(self, name: str, content: Content, arrays: dict[str, np.ndarray]) -> None:
        """Write a unit; it is done when its JSON is there, which comes last."""
        write_arrays(self.arrays(name), **arrays)
        told = {"key": self.key, "name": name, "arrays": _digest(arrays)}
        write_json(self.file(name), told | content)

    def read(self, name: str) -> Content:
        """What a unit found."""
        found: Content = read_json(self.file(name))
        return found

    def array(self, name: str, which: str) -> np.ndarray:
        """An array of a unit."""
        with np.load(self.arrays(name)) as file:
            found: np.ndarray = file[which]
        return found

    def collect(self, names: Sequence[str], team: Team) -> None:
        """Bring all units to the leading process, whose folder may be on another machine."""
        own = self.known(names)
        lacking = team.told([name for name in names if name not in own])
        paths = [path for name in lacking for path in (self.arrays(name), self.file(name))]
        parcels = {path.name: path.read_bytes() for path in paths if path.exists()}
        for parcel in team.gathered({} if team.leads else parcels):
            for name, content in parcel.items() if team.leads else ():
                with whole(self.folder / name) as partial:
                    partial.write_bytes(content)

    def clear(self) -> None:
        """Remove them."""
        rmtree(self.folder, ignore_errors=True)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    told = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    return digest(told, *arrays.values())
