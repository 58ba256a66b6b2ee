"""What a command left in its folder, in a form that two runs have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from art_snn.files import corruption, read_json

MACHINE = ("machine", "seconds", "date", "commit", "inference", "peak", "command")
"""Fields that differ from run to run, and the command line, which names the folder."""
ENDINGS = {".png": b"IEND\xaeB`\x82"}

Results = Mapping[str, str]
"""name of a file -> its content, or how it is spoilt."""


def results(folder: Path) -> Results:
    """All files, also those that a run should have removed."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): _content(file) for file in files}


def spoilt(folder: Path) -> list[str]:
    """Files that are not whole, or that a run should have removed."""
    contents = results(folder) if folder.is_dir() else {}
    return [f"{name} {content}" for name, content in contents.items() if content[:3] == "is "]


def differences(got: Results, wanted: Results) -> str:
    """The files in which results differ, in words; empty for none."""
    return "; ".join(
        f"{n}: {got.get(n, 'missing')[:90]} in place of {wanted.get(n, 'nothing')[:90]}"
        for n in sorted(got.keys() | wanted.keys())
        if got.get(n) != wanted.get(n)
    )


def _content(file: Path) -> str:
    if file.suffix == ".part" or file.name in (".lock", ".running"):
        return "is left over"
    if not file.stat().st_size:
        return "is empty"
    try:
        if why := file.suffix in (".pt", ".npz") and corruption(file):
            return why
        if file.suffix == ".pt":
            return _sum(torch.load(file, weights_only=True))
        if file.suffix == ".safetensors":
            return _sum(load_file(file))
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                return _sum(dict(arrays))
        if file.suffix == ".json":
            return json.dumps(_without_machine(read_json(file)))
    except ValueError as error:
        return f"is damaged ({error})"
    # Times are drawn and written, too: such a file is only complete or not.
    return "whole" if file.read_bytes().endswith(ENDINGS.get(file.suffix, b"\n")) else "is cut off"


def _sum(content: Any) -> str:
    """Of all values, to the last bit."""
    return hashlib.sha256(repr(_plain(content)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return [(key, _plain(one)) for key, one in value.items()]
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _without_machine(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_machine(v) for k, v in content.items() if k not in MACHINE}
    return [_without_machine(one) for one in content] if isinstance(content, list) else content
