"""Networks that commands take by their name in the zoo: zoo:NAME in place of a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from art_snn import zoo
from art_snn.checks import require
from art_snn.data import RANDOM, Source
from art_snn.models import Architecture
from art_snn.models.own import ZOO
from art_snn.zoo.entry import MANIFEST, ZooEntry, from_text
from art_snn.zoo.networks import data_set, local_file, source_of

Network = tuple[Architecture, Sequence[Path], Source]


def from_zoo(architecture: Architecture, weights: Sequence[Path], source: Source) -> Network:
    """Architecture, checkpoints and data, with those of the zoo in place of a name of it.

    The checkpoint notes the architecture, which is left open. Its data come where none are named.

    :param weights: checkpoints that were given next to it.
    :raises ArgumentError: for weights next to a network of the zoo, and as :func:`zoo.load`."""
    model = architecture.model or ""
    if not model.startswith(ZOO):
        return architecture, weights, source
    expected, remedy = f"None next to {model}, which has weights", "Leave one of them out."
    require(not weights, "checkpoint", expected, ", ".join(map(str, weights)), remedy)
    about = zoo.entry(model.removeprefix(ZOO), "model")
    if source.data is None or source == Source(data=RANDOM):
        data = source_of(data_set(about.data))
        source = replace(source, data=data.data, **_given(data))
    return replace(architecture, model=None), (local_file(about),), source


def zoo_entry(checkpoint: Path | None, source: Source) -> ZooEntry | None:
    """What is known of a network of the zoo on its own data.

    :param checkpoint: weights; those of the zoo lie next to its manifest.
    :return: None for other weights, or on other data."""
    if checkpoint is None or not (manifest := checkpoint.parent / MANIFEST).is_file():
        return None
    try:
        shelf = from_text(manifest.read_text("utf-8"), manifest)
    except (ValueError, OSError):
        return None  # Another tool's file of that name.
    about = next((one for one in shelf.networks if one.file == checkpoint.name), None)
    data = next((one for one in shelf.data if about is not None and one.name == about.data), None)
    if data is None:
        return None
    same = source.data == (str(checkpoint.parent / data.file) if data.sha256 else data.source.data)
    return about if same else None


def _given(source: Source) -> dict[str, Any]:
    """What a source says of its data, next to their name."""
    names = ("image_size", "value_range", "frames", "axes", "test_share")
    return {name: value for name in names if (value := getattr(source, name)) is not None}
