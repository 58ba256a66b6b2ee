"""Weights in files of safetensors, saved with notes about the network.

Loading runs no code. Weights of other programs are also read from files of torch.save."""

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from art_snn.checks import (
    FILE,
    ArgumentError,
    expand_path,
    first_line,
    require,
    require_kind,
)
from art_snn.files import atomic_write, corruption, digest
from art_snn.interop import ModelBody
from art_snn.network import SpikingNetwork

_ENDING = ".safetensors"
_KEY = "art_snn"
"""Where a file keeps notes and checksum; others' files have nothing there."""


class CheckpointError(ArgumentError):
    """A file that is no checkpoint, is damaged, or belongs to another network."""


def save(network: SpikingNetwork, path: str | Path, **notes: Any) -> None:
    """Write the parameters and buffers; an interrupted save leaves an earlier file whole.

    The same weights and notes always give the same bytes.

    :param path: a name that ends in .safetensors; a ~ stands for the home folder, as in
        :func:`load`.
    :param notes: numbers, strings, lists and dicts to keep with the weights, such as
        accuracy; numpy numbers and arrays become plain ones.
    :raises TypeError: for a note of another type, before anything is written.
    :raises ValueError: for another name, or when a weight is NaN or infinite, before
        anything is written.
    :raises WriteFailed: when the file cannot be written."""
    path = expand_path("path", path)
    require(
        path.suffix == _ENDING,
        "path",
        "a name that ends in .safetensors",
        path,
        "Weights are kept in files of that kind.",
    )
    check_weights(network, "network")
    # No two share memory, which safetensors refuses.
    weights = {
        name: weight.cpu().clone().contiguous()
        for name, weight in network.state_dict().items()
    }
    plain = {name: _to_plain(name, value) for name, value in notes.items()}
    content = {"notes": plain, "notes_sha256": _sum_notes(plain), "sha256": _sum(weights)}
    text = json.dumps(content, sort_keys=True)
    with atomic_write(path) as partial:
        partial.write_bytes(safetensors.torch.save(weights, {_KEY: text}))


def load(network: SpikingNetwork, path: str | Path) -> dict[str, Any]:
    """Read weights into the network, on whatever device it is; returns the notes.

    The file is read by safetensors, or opened with weights_only=True: it can hold tensors
    and plain values, no code. Its checksums must match. When anything is wrong the
    network is left as it was.

    :param path: file written by :func:`save`; or a plain state dict of this network, or
        of the model that an adapted network is around, as safetensors or torch.save
        writes it; or a checkpoint of Lightning. A prefix of all names, such as "model.",
        is left out.
    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is damaged, is no checkpoint, does not fit, or
        holds NaN, infinity, or tensors without values."""
    weights, noted = _read(path)
    expected = network.state_dict()
    if noted is None:
        # Names as they are, and without the one prefix that a module around the model adds.
        forms = [weights]
        if len({str(name).partition(".")[0] for name in weights}) == 1:
            forms.append({str(name).partition(".")[2]: weights[name] for name in weights})
        if isinstance(network.body, ModelBody):
            forms = [
                {f"layers.{name}": form[name] for name in form} for form in forms
            ] + forms
        weights = max(forms, key=lambda form: len(form.keys() & expected.keys()))
    problems = misfits(expected, weights)
    if problems:
        more = " ..." if len(problems) > 5 else ""
        raise CheckpointError.of(
            "path",
            "weights of this network",
            f"a file that differs in {'; '.join(problems[:5])}{more}: {path}",
            "Build the network with the options it was saved with.",
        )
    network.load_state_dict(weights)
    return noted or {}


def notes(path: str | Path) -> dict[str, Any]:
    """The notes of a checkpoint, without its network; empty for a plain state dict.

    :raises FileNotFoundError: when there is no such file.
    :raises CheckpointError: when the file is damaged, no checkpoint, or has unreadable notes."""
    return _read(path)[1] or {}


def _read(path: str | Path) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """Weights and notes; None for a file that art_snn did not write."""
    path = require_kind("path", path, FILE, "a checkpoint file")
    if path.suffix == _ENDING:
        return _read_safetensors(path)
    damage = corruption(path, packed=False)
    if damage is not None:
        raise _unreadable(path, damage)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file fails in any way; of a pickle torch advises to run its code.
        reason = first_line(error)
        remedy = "It is truncated or no checkpoint: save it again."
        if isinstance(error, UnpicklingError):
            reason = "no archive of tensors and plain values"
            remedy = "Save the weights alone: torch.save(model.state_dict(), path)."
        raise _unreadable(path, f"cannot be read ({reason})", remedy) from error
    if not isinstance(content, dict):
        raise _unreadable(
            path,
            f"holds a {type(content).__name__}",
            "Save the network's weights, not an object.",
        )
    # The weights of Lightning, and of scripts that keep the state of a training next to them.
    for name in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(content.get(name), dict):
            return content[name], None
    return content, None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # A file of ours in which a bit of that key flipped is no file of others.
        if not any(key == _KEY or "notes_sha256" in text for key, text in texts.items()):
            return weights, None
        content = json.loads(texts[_KEY])
        noted = content["notes"]
        if not isinstance(noted, dict):
            raise TypeError(f"a {type(noted).__name__} in place of notes")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"holds no tensors and notes that can be read ({error})"
        raise _unreadable(path, why) from error
    # Networks of the zoo have none of their notes: the manifest has one of the file.
    notes_match = content.get("notes_sha256") in (None, _sum_notes(noted))
    if content.get("sha256") != _sum(weights) or not notes_match:
        raise _unreadable(path, "is damaged: its checksum does not match its content")
    return weights, noted


def _sum(weights: Mapping[str, Tensor]) -> str:
    names = sorted(weights)
    forms = [
        (name, str(weights[name].dtype), list(weights[name].shape)) for name in names
    ]
    return digest(forms, *(weights[name] for name in names))


def _sum_notes(notes: Mapping[str, Any]) -> str:
    return digest(json.dumps(notes, sort_keys=True))


def _unreadable(
    path: Path, why: str, remedy: str = "Take another copy of it, or save it again."
) -> CheckpointError:
    return CheckpointError.of(
        "path",
        "a checkpoint written by art_snn.checkpoint.save",
        f"{path}, which {why}",
        remedy,
    )


def check_weights(network: SpikingNetwork, argument: str) -> None:
    """ValueError for parameters that are not finite, and buffers that hold NaN."""
    bad = [
        name for name, weight in network.named_parameters() if not weight.isfinite().all()
    ]
    bad += [name for name, buffer in network.named_buffers() if buffer.isnan().any()]
    require(
        not bad,
        argument,
        "a network of finite weights",
        f"NaN or infinity in {', '.join(bad[:3])}",
        "Train it at a lower learning rate.",
    )


def misfits(expected: Mapping[str, Any], weights: Mapping[str, Any]) -> list[str]:
    """How weights differ from what a network's state dict expects, one phrase per difference."""
    problems = [f"{name} (missing)" for name in expected if name not in weights]
    problems += [f"{name} (unknown)" for name in weights if name not in expected]
    for name, here in expected.items():
        there = weights.get(name)
        if isinstance(there, Tensor):
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


def _to_plain(name: str, value: Any) -> Any:
    """The note with numpy numbers and arrays turned into plain ones."""

    def convert(entry: Any) -> Any:
        if isinstance(entry, np.generic | ndarray):
            return entry.tolist()
        raise TypeError(
            f"{name}: expected a number, a string, or lists and dicts of them, got {entry!r}. "
            "A checkpoint holds no objects, so that loading it runs no code."
        )

    return json.loads(json.dumps(value, default=convert))
