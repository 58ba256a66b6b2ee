"""Results as JSON: one converter for all of them, and earlier ones that a run is taken up from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cattrs
import numpy as np

from art_snn.checks import require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import digest, read_json
from art_snn.metrics import Share


def digits(values: np.ndarray) -> str:
    """Booleans (N,) as one digit each."""
    return "".join("1" if value else "0" for value in values)


def booleans(text: str) -> np.ndarray:
    """The inverse of :func:`digits`."""
    return np.array([digit == "1" for digit in text], dtype=bool)


converter = cattrs.Converter()
"""What turns results into JSON and back."""
converter.register_unstructure_hook(Share, Share.as_dict)
converter.register_structure_hook(Share, lambda found, _: Share(found["count"], found["total"]))
converter.register_unstructure_hook(np.ndarray, digits)
converter.register_structure_hook(np.ndarray, lambda found, _: booleans(found))


def plain(content: object) -> Any:
    """The content as JSON gives it back: dicts, lists, strings and numbers."""
    found = converter.unstructure(content)
    if isinstance(found, dict):
        return {str(name): plain(value) for name, value in found.items()}
    return [plain(value) for value in found] if isinstance(found, list | tuple) else found


def fingerprint(
    settings: object, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> str:
    """A key that changes with settings (their repr), network, weights, clip values and samples."""
    network = classifier.model
    given = classifier.clip_values
    limits = None if given is None else [np.asarray(limit).tolist() for limit in given]
    parts = (settings, network.encoder, network.layers, limits)
    weights = (tensor.detach().cpu().numpy() for tensor in network.state_dict().values())
    return digest(parts, *weights, x, y)


def earlier(file: Path | None, what: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Earlier results, empty where there are none.

    :param what: the kind of results, for the complaint.
    :param fits: whether the content is of the same settings, weights and samples.
    :raises ValueError: when the file holds anything else."""
    if file is None or not file.exists():
        return {}
    content = read_json(file)
    same = bool(content) and isinstance(content, dict) and fits(content)
    expected = f"a folder without results, or with results of the same {what}"
    got = f"{file} of other settings, weights or samples"
    require(same, "output", expected, got, "Choose another folder, or delete that file.")
    return dict(content)
