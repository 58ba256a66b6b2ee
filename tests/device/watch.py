"""Count the waits and transfers of a block, by line."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

from tests.device import standin


class Watch:
    """Counts within the block.

    :param folder: its lines are named, and ART's: the innermost two."""

    def __init__(self, folder: str = "art_snn") -> None:
        self.folders = (f"/{folder}/", "/art/")
        self.places: Counter[str] = Counter()

    def __enter__(self) -> Watch:
        standin.listen(self._hear)
        return self

    def __exit__(self, *_: Any) -> None:
        standin.listen(None)

    def _hear(self, kind: str, name: str, size: int) -> None:
        frame: FrameType | None = sys._getframe(1).f_back
        lines: list[str] = []
        while frame is not None and len(lines) < 2:
            file = frame.f_code.co_filename
            inside = [folder for folder in self.folders if folder in file]
            if inside:
                name_of_file = inside[0][1:] + file.rpartition(inside[0])[2]
                lines.append(f"{name_of_file}:{frame.f_lineno}")
            frame = frame.f_back
        self.places[f"{kind} {name}: {' < '.join(lines)}"] += 1
