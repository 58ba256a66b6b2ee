"""Kinds of files that make a marker when they are unpickled by a reader without care."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Code:
    """Calls something when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *given: Any) -> None:
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.given


CODE: Mapping[str, Callable[[Path], Code]] = {
    "os.system": lambda marker: Code(os.system, f"touch {marker}"),
    "eval": lambda marker: Code(builtins.eval, f"open({str(marker)!r}, 'w').close()"),
    "exec": lambda marker: Code(builtins.exec, f"import os; os.mkdir({str(marker)!r})"),
    "os.mkdir": lambda marker: Code(os.mkdir, str(marker)),
}
shell, python = CODE["os.system"], CODE["eval"]


def _pickled(protocol: int, file: Path, marker: Path) -> None:
    file.write_bytes(pickle.dumps({"network": shell(marker)}, protocol=protocol))


def _saved(content: Callable[[Path], Any], file: Path, marker: Path, **how: Any) -> None:
    torch.save(content(marker), file, **how)


def _by_opcodes(file: Path, marker: Path) -> None:
    file.write_bytes(f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode())


def _replaced(file: Path, marker: Path) -> None:
    """A state dict whose pickle is another, with the checksums that belong to it."""
    genuine = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, genuine)
    with zipfile.ZipFile(genuine) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            evil = pickle.dumps({"network": python(marker)}, protocol=2)
            new.writestr(name, evil if name.endswith("data.pkl") else old.read(name))


def _tar(file: Path, marker: Path) -> None:
    """As torch wrote files before version 0.1."""
    with tarfile.open(file, "w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(shell(marker), protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _objects(file: Path, marker: Path) -> None:
    """Arrays of objects, as numpy pickles them."""
    x, y = np.array([shell(marker), 0]), np.arange(2)
    with file.open("wb") as stream:
        np.savez(stream, x_train=x, y_train=y, x_test=x, y_test=y)


def _members(file: Path, marker: Path) -> None:
    """Pickles in the places of arrays."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, pickle.dumps(shell(marker)))


def _one_array(file: Path, marker: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.array([CODE["os.mkdir"](marker), 0]), allow_pickle=True)


def _progress(marker: Path) -> dict[str, Any]:
    return {"run": "", "samples": "", "history": [], "best": shell(marker), "network": {}}


KINDS: Mapping[str, Callable[[Path, Path], None]] = {
    **{f"pickle of protocol {number}": partial(_pickled, number) for number in range(6)},
    "pickle written by hand": _by_opcodes,
    **{f"torch file, {name}": partial(_saved, code) for name, code in CODE.items()},
    "torch file of old": partial(_saved, shell, _use_new_zipfile_serialization=False),
    "torch file, protocol 5": partial(_saved, shell, pickle_protocol=5),
    "torch tar": _tar,
    "checkpoint, another pickle": _replaced,
    "training state": partial(_saved, _progress),
    "npz of objects": _objects,
    "npz of pickles": _members,
    "npy of objects": _one_array,
}


def carelessly(file: Path, marker: Path) -> bool:
    """Whether the code is run by pickle, torch or numpy where they take anything."""
    for read in (
        lambda: pickle.loads(file.read_bytes()),
        lambda: torch.load(file, weights_only=False),
        lambda: dict(np.load(file, allow_pickle=True)),
    ):
        with contextlib.suppress(Exception):
            read()
    was_run = marker.exists()
    shutil.rmtree(marker) if marker.is_dir() else marker.unlink(missing_ok=True)
    return was_run
