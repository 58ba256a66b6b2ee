"""Blocks of samples, whose results are written, resumed and handed to processes together.

They lie in a folder of blocks that are done: each is written once, and never computed again."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy import ndarray

from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Bounds, derive_seed, predict_classes
from art_snn.app.results import as_json, converter
from art_snn.attacks import Outcome
from art_snn.checks import require
from art_snn.files import digest, read_arrays, write_arrays

Arrays = dict[str, ndarray]
PART = ".part"
"""After the name of a block: how far it is, in place of the block."""
PAUSE = 5.0
"""Seconds at least between two writings of a part."""
_SHARE = 0.01
"""Share of the time that these writings may take."""
_CONTENT = "content"
"""The array that holds the result of a block as JSON, with its name, its key and what it took."""


@dataclass(frozen=True)
class Store:
    """A folder of blocks that are done, each in one file.

    :param key: fingerprint of what they are about."""

    folder: Path
    key: str

    def file(self, name: str) -> Path:
        """The file of a block."""
        return self.folder / f"{name}.npz"

    def done(self, names: Collection[str]) -> set[str]:
        """Names of those that are whole; those of something else are refused, parts too."""
        for name in names:
            self.whole(name + PART)
        return {name for name in names if self.whole(name)}

    def whole(self, name: str) -> bool:
        """True where a block is there and undamaged; one of something else is refused."""
        expected = "a folder without results, or with results of the same evaluation"
        remedy = f"Choose another folder, or delete {self.folder}."
        try:
            arrays = read_arrays(self.file(name), "output", expected, remedy)
            content = json.loads(str(arrays[_CONTENT]))
            key = content["key"]
            kept = content["name"]
        except (ValueError, KeyError, TypeError):
            return False
        require(
            key == self.key,
            "output",
            expected,
            f"{self.folder.parent}, with blocks of other settings, code, weights or samples",
            remedy,
        )
        return bool(kept == name)

    def put(self, name: str, result: object, arrays: Arrays, took: float) -> None:
        """Write a block, which replaces an earlier one of that name.

        :param took: seconds that it took."""
        content = {"key": self.key, "name": name, "result": as_json(result), "took": took}
        text = np.array(json.dumps(content))
        write_arrays(self.file(name), **arrays | {_CONTENT: text})

    def arrays(self, name: str) -> Arrays:
        """All arrays of a block."""
        with np.load(self.file(name)) as file:
            return {name: file[name] for name in file if name != _CONTENT}

    def read(self, name: str, kind: Any) -> Any:
        """The result of a block, which is of that kind."""
        return converter.structure(self._content(name)["result"], kind)

    def took(self, name: str) -> float:
        """Seconds that a block took, or a part of it."""
        return float(self._content(name)["took"])

    def _content(self, name: str) -> Any:
        with np.load(self.file(name)) as file:
            return json.loads(str(file[_CONTENT]))


class PartialBlock:
    """How far a block is, in a file of its own: a killed run goes on from there.

    :param block: name of the block.
    :param note: shows a few words next to the bar."""

    def __init__(self, store: Store, block: str, note: Callable[[str], None]) -> None:
        self.note = note
        self._store = store
        self._name = block + PART
        started = store.whole(self._name)
        self.arrays = store.arrays(self._name) if started else None
        """Those of an earlier run; None where there was none."""
        earlier = store.took(self._name) if started else 0.0
        self._began = monotonic() - earlier
        self._due = monotonic() + PAUSE

    @property
    def took(self) -> float:
        """Seconds that the block took up to now, those of earlier runs included."""
        return monotonic() - self._began

    def write(self, collect: Callable[[], Arrays]) -> None:
        """Write the arrays that are collected, unless the last time was a moment ago."""
        now = monotonic()
        if now < self._due:
            return
        self._store.put(self._name, None, collect(), self.took)
        written = monotonic()
        self._due = written + max(PAUSE, (written - now) / _SHARE)


@dataclass(frozen=True)
class Block:
    """Some samples of a target, in their order, and the store of what is computed of them."""

    target: Target
    store: Store
    rows: slice

    @property
    def x(self) -> ndarray:
        """The samples ``(n, ...)``."""
        return self.target.x[self.rows]

    @property
    def y(self) -> ndarray:
        """Their classes (n,)."""
        return self.target.y[self.rows]

    @property
    def seed(self) -> int:
        """Its seed, which does not depend on other blocks."""
        return derive_seed(self.target.settings.seed, self.rows.start)

    def name(self, work: str) -> str:
        """The name under which work on the block is stored."""
        return f"{work}-{self.rows.start}"

    def name_attack(self, eps: float, plan: str) -> str:
        """The same of a plan at a budget; the name of the plan may not suit a file."""
        return self.name(f"attack-{eps}-{digest(plan)[:16]}")

    def predict(self) -> list[int]:
        """Predicted classes without an attack; -1 without a prediction."""
        size = self.target.settings.batch_size
        return predict_classes(self.target.classifier, self.x, size, self.seed)

    def read_bounds(self) -> dict[float, Bounds]:
        """Bounds at each budget; nothing where bounds were not asked for."""
        return {
            eps: self.store.read(self.name(f"bounds-{eps}"), Bounds)
            for eps in self.target.bounded
        }

    def read_outcome(self, eps: float, plan: str) -> Outcome:
        """The outcome of a plan at a budget."""
        return self.store.read(self.name_attack(eps, plan), Outcome)  # type: ignore[no-any-return]  # The store has blocks of any kind.
