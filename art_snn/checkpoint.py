"""Weights on disk: saved with notes about the network, loaded without running foreign code."""

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from art_snn.checks import ArgumentError, first_line, require
from art_snn.files import damage, write_tensors
from art_snn.interop import AdaptedNetwork
from art_snn.network import SpikingNetwork
from art_snn.paths import FILE, expand_path, require_kind
from art_snn.state import to_cpu
from art_snn.tensors import ENDING, read_safetensors, write_safetensors

FORMAT = "art_snn.checkpoint.1"


class CheckpointError(ArgumentError):
    """A file that is no checkpoint, is damaged, or belongs to another network."""


def save(network: SpikingNetwork, path: str | Path, **notes: Any) -> None:
    """Write the parameters and buffers; an interrupted save leaves an earlier file whole.

    :param path: a name that ends in .safetensors makes a file of that library.
    :param notes: numbers, strings, lists and dicts to keep with the weights, such as accuracy;
        numpy numbers and arrays become plain ones.
    :raises TypeError: for a note of another type, before anything is written.
    :raises ValueError: when a weight is NaN or infinite, before anything is written.
    :raises WriteFailed: when the file cannot be written."""
    state, (names, sound) = network.state_dict(), _soundness(network)
    values = to_cpu([*state.values(), *sound])
    _require_sound("network", names, values[len(state) :])
    weights = dict(zip(state, values, strict=False))
    plain = {name: _plain(name, value) for name, value in notes.items()}
    if Path(path).suffix == ENDING:
        write_safetensors(Path(path), weights, plain)
    else:
        write_tensors(Path(path), {"format": FORMAT, "network": weights, "notes": plain})


def load(network: SpikingNetwork, path: str | Path) -> dict[str, Any]:
    """Read weights into the network, on whatever device it is; returns the notes.

    The file is opened with weights_only=True, or by safetensors: it can hold tensors and plain
    values, no code. Its checksum must match. When anything is wrong the network is left as it was.

    :param path: file written by :func:`save`, or a plain state dict of this network, or of the
        model that an adapted network is around; a name that ends in .safetensors is read as such.
    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is damaged, is no checkpoint, does not fit, or holds NaN,
        infinity, or tensors without values."""
    content = _read(Path(path))
    weights = content.get("network") if content.get("format") == FORMAT else content
    if not isinstance(weights, Mapping):
        raise _unreadable(path, "holds no weights", "Save it again.")
    expected = network.state_dict()
    if isinstance(network, AdaptedNetwork) and weights is content:
        # Of the model itself, as its own framework saves it.
        inner = {f"layers.{name}": weight for name, weight in weights.items()}
        bare = len(inner.keys() & expected.keys()) >= len(weights.keys() & expected.keys())
        weights = inner if bare else weights
    problems = misfits(expected, weights)
    if problems:
        named = f"{'; '.join(problems[:5])}{' ...' if len(problems) > 5 else ''}"
        got = f"a file that differs in {named}: {path}"
        remedy = "Build the network with the options it was saved with."
        raise CheckpointError.of("path", "weights of this network", got, remedy)
    noted = _notes(path, content)
    network.load_state_dict(weights)
    return noted


def notes(path: str | Path) -> dict[str, Any]:
    """The notes of a checkpoint, without its network; empty for a plain state dict.

    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is damaged, no checkpoint, or has unreadable notes."""
    return _notes(path, _read(Path(path)))


def _notes(path: str | Path, content: Mapping[str, Any]) -> dict[str, Any]:
    if content.get("format") != FORMAT:
        return {}
    noted = content.get("notes", {})
    try:
        if not isinstance(noted, dict):
            raise TypeError(f"a {type(noted).__name__} in the place of notes")
        return {name: _plain(name, value) for name, value in noted.items()}
    except (TypeError, ValueError, RecursionError) as error:
        remedy = "Save it again with art_snn.checkpoint.save."
        raise _unreadable(path, f"holds notes that cannot be read ({error})", remedy) from error


def _read(path: Path) -> dict[str, Any]:
    require_kind("path", expand_path("path", path), FILE, "a checkpoint file")
    if path.suffix == ENDING:
        return _read_safe(path)
    try:
        spoilt = damage(path)
        content = None if spoilt else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file fails in any way; of a pickle torch advises to run its code.
        pickled = isinstance(error, UnpicklingError)
        reason = "no archive of tensors and plain values" if pickled else first_line(error)
        remedy = "It is truncated or no checkpoint: save it again."
        raise _unreadable(path, f"cannot be read ({reason})", remedy) from error
    if spoilt is not None:
        raise _unreadable(path, spoilt, "Take another copy of it, or save it again.")
    if not isinstance(content, dict):
        remedy = "Save the network's weights, not an object."
        raise _unreadable(path, f"holds a {type(content).__name__}", remedy)
    return content


def _read_safe(path: Path) -> dict[str, Any]:
    try:
        weights, noted = read_safetensors(path)
    except ValueError as error:
        raise _unreadable(path, str(error), "Take another copy of it, or save it again.") from error
    return weights if noted is None else {"format": FORMAT, "network": weights, "notes": noted}


def _unreadable(path: str | Path, why: str, remedy: str) -> CheckpointError:
    expected = "a checkpoint written by art_snn.checkpoint.save"
    return CheckpointError.of("path", expected, f"{path}, which {why}", remedy)


def check_weights(network: SpikingNetwork, argument: str) -> None:
    """ValueError for parameters that are not finite, and buffers that hold NaN."""
    names, sound = _soundness(network)
    _require_sound(argument, names, to_cpu(sound))


def _soundness(network: SpikingNetwork) -> tuple[list[str], list[torch.Tensor]]:
    """Names of parameters and buffers, and whether they are finite, or no NaN, where they are."""
    sound = {name: weight.isfinite().all() for name, weight in network.named_parameters()}
    sound |= {name: ~buffer.isnan().any() for name, buffer in network.named_buffers()}
    return list(sound), list(sound.values())


def _require_sound(argument: str, names: list[str], sound: list[torch.Tensor]) -> None:
    bad = [name for name, fine in zip(names, sound, strict=True) if not fine]
    got, remedy = f"NaN or infinity in {', '.join(bad[:3])}", "Train it at a lower learning rate."
    require(not bad, argument, "a network of finite weights", got, remedy)


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
            elif there.layout != torch.strided or there.is_meta or there.is_quantized:
                problems.append(f"{name} (no tensor of plain values)")
            else:
                # A mask of minus infinity may be the network's.
                odd = ~torch.isfinite(there)
                if not torch.equal(there[odd].to(here.dtype), here.detach().cpu()[odd]):
                    problems.append(f"{name} (NaN or infinity)")
        elif name in weights:
            problems.append(f"{name} ({type(there).__name__})")
    return problems


def _plain(name: str, value: Any) -> Any:
    """The note with numpy numbers and arrays turned into plain ones."""

    def of_numpy(entry: Any) -> Any:
        if isinstance(entry, np.generic | np.ndarray):
            return entry.tolist()
        raise TypeError(
            f"{name}: expected a number, a string, or lists and dicts of them, got {entry!r}. "
            "A checkpoint holds no objects, so that loading it runs no code."
        )

    return json.loads(json.dumps(value, default=of_numpy))
