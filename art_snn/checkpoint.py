"""Weights on disk: saved with a word about the network, loaded without running foreign code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_snn.checks import ArgumentError, MissingFile
from art_snn.files import whole
from art_snn.network import SpikingNetwork

PLAIN = (str, bool, int, float)
FORMAT = "art_snn.checkpoint.1"


class CheckpointError(ArgumentError):
    """A file that is no checkpoint, is damaged, or belongs to another network."""


def save(network: SpikingNetwork, path: str | Path, **notes: Any) -> None:
    """Write the weights, atomically: an interrupted save leaves an earlier file whole.

    :param network: its parameters and buffers are saved, on the CPU.
    :param path: file to write.
    :param notes: numbers, strings, lists and dicts to keep beside the weights, such as accuracy;
        numpy numbers and arrays become plain ones.
    :raises TypeError: for a note of another type, before anything is written."""
    path = Path(path)
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    plain = {name: _plain(name, value) for name, value in notes.items()}
    with whole(path) as partial:
        torch.save({"format": FORMAT, "network": weights, "notes": plain}, partial)


def load(network: SpikingNetwork, path: str | Path) -> dict[str, Any]:
    """Read weights into the network, on whatever device it is.

    The file is opened with weights_only=True: it can hold tensors and plain values, no code. When
    anything is wrong the network is left as it was.

    :param network: a network of the architecture that was saved.
    :param path: file written by :func:`save`, or a plain state dict of this network.
    :return: the notes that were saved.
    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is truncated, is no checkpoint, or does not fit."""
    content = _read(Path(path))
    weights = content.get("network") if content.get("format") == FORMAT else content
    if not isinstance(weights, Mapping):
        raise _unreadable(path, "holds no weights", "Save it again.")
    expected = network.state_dict()
    problems = misfits(expected, weights)
    if problems:
        named = f"{'; '.join(problems[:5])}{' ...' if len(problems) > 5 else ''}"
        got = f"a file that differs in {named}: {path}"
        remedy = "Build the network with the options it was saved with."
        raise CheckpointError.of("path", "weights of this network", got, remedy)
    network.load_state_dict(weights)
    notes: dict[str, Any] = content.get("notes", {}) if weights is not content else {}
    return notes


def notes(path: str | Path) -> dict[str, Any]:
    """The notes of a checkpoint, without its network; empty for a plain state dict.

    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is truncated or no checkpoint."""
    content = _read(Path(path))
    found = content.get("notes", {}) if content.get("format") == FORMAT else {}
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFile("path", f"expected a checkpoint file, but {path} does not exist.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to: OSError, KeyError, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "It is truncated or no checkpoint: save it again."
        raise _unreadable(path, f"cannot be read ({reason})", remedy) from error
    if not isinstance(content, dict):
        remedy = "Save the network's weights, not an object."
        raise _unreadable(path, f"holds a {type(content).__name__}", remedy)
    return content


def _unreadable(path: str | Path, why: str, remedy: str) -> CheckpointError:
    expected = "a checkpoint written by art_snn.checkpoint.save"
    return CheckpointError.of("path", expected, f"{path}, which {why}", remedy)


def misfits(expected: Mapping[str, Any], weights: Mapping[str, Any]) -> list[str]:
    """How weights differ from what a network's state dict expects, one phrase per difference."""
    problems = [f"{name} (missing)" for name in expected if name not in weights]
    problems += [f"{name} (unknown)" for name in weights if name not in expected]
    for name, here in expected.items():
        there = weights.get(name)
        if isinstance(there, torch.Tensor):
            if there.shape != here.shape:
                problems.append(f"{name} (shape {list(there.shape)})")
            elif not torch.can_cast(there.dtype, here.dtype):
                problems.append(f"{name} ({there.dtype})")
        elif name in weights:
            problems.append(f"{name} ({type(there).__name__})")
    return problems


def _plain(name: str, value: Any) -> Any:
    """The note with numpy numbers and arrays turned into plain ones."""
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(name, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    raise TypeError(
        f"{name}: expected a number, a string, or lists and dicts of them, got {value!r}. "
        "A checkpoint holds no objects, so that loading it runs no code."
    )
