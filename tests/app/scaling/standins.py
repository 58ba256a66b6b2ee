"""A small protocol, its figures by hand, and what stands in the place of measuring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_snn.app.scaling import Cell, Growth, Settings
from art_snn.app.scaling.settings import Protocol
from art_snn.data import Dataset, Source
from art_snn.measuring import process
from art_snn.measuring.workload import CostRow, Workload

MIB = 2**20
MODELS = ("vgg5", "vgg11")


def settings(output: Path | None = None, **change: Any) -> Settings:
    """Ten random images of 4x4 pixels, four at a time, by narrow models."""
    small: dict[str, Any] = {
        "models": MODELS[:1],
        "steps": (2, 4),
        "batch_size": 4,
        "samples": 10,
        "source": Source(data="random", image_size=4),
        "channels": 1,
        "width": 0.05,
        "repeats": 1,
        "threads": 1,
    }
    return Settings(output=output or Path("unused"), **small | change)


def figures(**change: Any) -> Growth:
    """RGA takes 1 + T seconds and 8 MiB, STBP 2 T seconds and T MiB, inference T / 2 and 1 MiB."""
    asked = settings(**{"width": None} | change)
    made = []
    for model in asked.models:
        for steps in asked.steps:
            seconds = {"inference": steps / 2, "rga": 1.0 + steps, "stbp": 2.0 * steps}
            peak = {"inference": MIB, "rga": 8 * MIB, "stbp": steps * MIB}
            made.append(Cell(model, steps, seconds, peak))
    return Growth(Protocol.of(asked, asked.images()), "a machine", tuple(made))


def names(rows: CostRow | list[CostRow]) -> Any:
    """The text of a row, or the texts of several."""
    return str(rows) if isinstance(rows, CostRow) else [*map(str, rows)]


def measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process."""
    monkeypatch.setattr(process, "in_fresh_process", lambda call, *words: call(*words))


def spoilt(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str, Workload, Any], None]) -> None:
    """Let `spoil` raise in place of measuring; everything else costs one second and one MiB."""

    def instead(call: Callable[..., Any], load: Workload, rows: Any, *_: Any) -> Any:
        spoil(call.__name__, load, names(rows))
        return MIB if isinstance(rows, CostRow) else dict.fromkeys(names(rows), 1.0)

    monkeypatch.setattr(process, "in_fresh_process", instead)


def photographs(count: int = 6) -> Dataset:
    """Test images of 3x5 pixels with one channel, in three classes."""
    draw = np.random.default_rng(0)
    x = draw.random((count, 1, 3, 5), dtype=np.float32)
    return Dataset("photographs", x, np.arange(count) % 3, x[::-1], np.arange(count) % 3)


def saved(data: Dataset, folder: Path) -> Source:
    """The data as a file, which has their name."""
    path = folder / f"{data.name}.npz"
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **{name: getattr(data, name) for name in names})
    return Source(data=str(path))
