"""Every kind of file that is read again: a whole one, its reader, and a command that reads it.

A reader returns whether it refuses the file, as the library does with its complaint."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from art_snn import checkpoint
from art_snn.app.compare import Comparison
from art_snn.app.resume import earlier
from art_snn.app.scaling import Growth
from art_snn.app.sweep.result import Content
from art_snn.checks import ArgumentError
from art_snn.data import from_npz
from art_snn.training import Recipe, train
from tests import small
from tests.faults.commands import Bench

RECIPE = Recipe.short(1, 0)
COMMANDS = ("scaling", "compare", "sweep", "train")
"""Commands whose files are taken."""


def _trained(state: Path) -> None:
    model = small.classifier().model
    x = np.random.default_rng(0).random((4, *small.SHAPE), dtype=np.float32)
    with contextlib.redirect_stderr(io.StringIO()):
        train(model.float(), x, np.arange(4), RECIPE, resume=state)


def _refused(read: Callable[[Path], Any]) -> Callable[[Path], bool]:
    def reader(file: Path) -> bool:
        try:
            read(file)
        except ArgumentError as error:
            return file.name in str(error)
        return False

    return reader


READERS: Mapping[str, Callable[[Path], bool]] = {
    "network.safetensors": _refused(lambda file: checkpoint.load(small.classifier().model, file)),
    "training.pt": _refused(_trained),
    "compare.json": _refused(lambda file: earlier(file, "comparison", Comparison, bool)),
    "sweep.json": _refused(lambda file: earlier(file, "sweep", Content, bool)),
    "scaling.json": _refused(lambda file: earlier(file, "protocol", Growth, bool)),
    "frames.npz": _refused(from_npz),
}


def genuine(bench: Bench, name: str) -> bytes:
    """A whole file, as the library or a command writes it."""
    file = bench.folder / f"genuine-{name}"
    if name == "network.safetensors":
        checkpoint.save(small.classifier().model, file, accuracy=0.5)
    elif name == "training.pt":
        _trained(file)
    else:
        file = bench.data if name == "frames.npz" else bench.whole(Path(name).stem) / name
    return file.read_bytes()


def in_command(bench: Bench, name: str) -> tuple[Path, list[str]]:
    """A whole file in a folder of its own, and the words of a command that reads it."""
    command = {"network.safetensors": "compare", "training.pt": "train", "frames.npz": "compare"}
    room = command.get(name, Path(name).stem)
    output = bench.fresh(room)
    words = bench.words(room, output)
    if name != "frames.npz":
        shutil.copytree(bench.whole(room), output)
        return output / name, words
    output.mkdir()
    shutil.copy(bench.data, output / name)
    return output / name, [str(output / name) if w == str(bench.data) else w for w in words]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file as it is."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
