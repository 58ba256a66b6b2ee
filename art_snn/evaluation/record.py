"""Results in one JSON file that an interrupted run is taken up from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.identity import digest


def fingerprint(
    settings: object, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> str:
    """A key that changes with settings, network, weights, clip values and samples.

    :param settings: whatever tells itself wholly in its repr.
    :param x: samples ``(N, *input_shape)``.
    :param y: class indices (N,).
    """
    network = classifier.model
    given = classifier.clip_values
    limits = None if given is None else [np.asarray(limit).tolist() for limit in given]
    parts = (settings, network.encoder, network.layers, limits)
    weights = (tensor.detach().cpu().numpy() for tensor in network.state_dict().values())
    return digest(parts, *weights, x, y)


def load(file: Path | None) -> dict[str, Any] | None:
    """What the file holds: {} where there is no file, None where it holds no results."""
    if file is None or not file.exists():
        return {}
    try:
        content = json.loads(file.read_text())
    except ValueError:
        return None
    return content if content and isinstance(content, dict) else None


def read(file: Path | None, what: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Earlier results, empty where there are none.

    :param what: the kind of results, for the complaint.
    :param fits: whether the content is of the same settings, weights and samples.
    :raises ValueError: when the file holds anything else.
    """
    content = load(file)
    if content is None or (content and not fits(content)):
        raise invalid(
            "output",
            expected=f"a folder without results, or with results of the same {what}",
            got=f"{file} of other settings, weights or samples",
            remedy="Choose another folder, or delete that file.",
        )
    return content


def write(file: Path | None, content: dict[str, Any]) -> None:
    """Write the results, atomically: an interrupted write leaves the earlier ones whole."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)


def digits(values: np.ndarray) -> str:
    """Booleans (N,) as one digit each."""
    return "".join("1" if value else "0" for value in values)


def booleans(text: str) -> np.ndarray:
    """The inverse of :func:`digits`."""
    return np.array([digit == "1" for digit in text], dtype=bool)
