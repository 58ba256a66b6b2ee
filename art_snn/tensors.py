"""Weights as files of the library safetensors: tensors and one text, which can hold no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from art_snn.files import digest, whole
from art_snn.identity import values

ENDING = ".safetensors"
KEY = "art_snn"
"""Where such a file keeps notes and checksum; others' files have nothing there."""


def write_safetensors(path: Path, weights: Mapping[str, Tensor], notes: object) -> None:
    """Write tensors and notes, always the same bytes for the same ones."""
    plain = {name: weight.detach().cpu().clone().contiguous() for name, weight in weights.items()}
    text = json.dumps({"notes": notes, "sha256": _sum(plain)}, sort_keys=True)
    with whole(path) as partial:
        partial.write_bytes(safetensors.torch.save(plain, {KEY: text}))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU, and the notes; None for notes that art_snn did not write.

    :raises ValueError: saying what is wrong with the file."""
    try:
        with safe_open(path, "pt") as file:
            names, texts = file.keys(), file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in names}
        content = json.loads(texts[KEY]) if KEY in texts else {"notes": None}
        notes, checksum = content["notes"], content.get("sha256")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"holds no tensors that can be read ({error})") from error
    if KEY in texts and checksum != _sum(weights):
        raise ValueError("is damaged: its checksum does not match its content")
    return weights, notes


def _sum(weights: Mapping[str, Tensor]) -> str:
    names = sorted(weights)
    forms = [(name, str(weights[name].dtype), list(weights[name].shape)) for name in names]
    return digest(forms, *(values(weights[name]) for name in names))
