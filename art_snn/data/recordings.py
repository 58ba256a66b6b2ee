"""The event recordings that the package tonic reads, cut into frames."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import MissingFile, MissingPackage
from art_snn.data.sizes import ImageSize, pooled
from art_snn.data.split import stratified
from art_snn.files import write_arrays
from art_snn.progress import over


@dataclass(frozen=True)
class Recordings:
    """A set of tonic: the name of its class, which is also its folder below root.

    Without a split it comes in one part; reading it takes the packages."""

    kind: str
    split: bool = True
    image_size: int | None = None
    packages: tuple[str, ...] = ("tonic",)
    mirrored: bool = True


def convert(
    source: Recordings, root: Path, download: bool, frames: int, size: ImageSize | None, cache: Path
) -> None:
    """Write the frames of all recordings to the file, which appears only once it is whole."""
    kind = _kind(source, root, download)
    to_frame = import_module("tonic.transforms").ToFrame(kind.sensor_size, n_event_bins=frames)

    def frame(recording: Any) -> np.ndarray:
        # tonic gives floating point for a recording without events.
        counts = to_frame(recording).astype(np.int16, copy=False)
        return counts if size is None else pooled(counts, size)

    if source.split:
        x_train, y_train = _part(kind(str(root), train=True), frame, "training")
        x_test, y_test = _part(kind(str(root), train=False), frame, "test")
    else:
        x, y = _part(kind(str(root)), frame, "all")
        train, test = stratified(y, 0.1, 0, "test_share")
        x_train, y_train, x_test, y_test = x[train], y[train], x[test], y[test]
    write_arrays(cache, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def _part(
    recordings: Any, frame: Callable[[Any], np.ndarray], words: str
) -> tuple[np.ndarray, np.ndarray]:
    # By name, since tonic lists some sets in the order of the file system.
    order = np.argsort(np.array([str(file) for file in recordings.data]))
    x: np.ndarray | None = None
    y = np.empty(len(order), np.int64)
    for row, index in enumerate(over(order, f"Frames, {words} part", unit="recordings")):
        counts, y[row] = frame(recordings[int(index)][0]), recordings.targets[int(index)]
        x = np.empty((len(order), *counts.shape), counts.dtype) if x is None else x
        x[row] = counts
    assert x is not None, "tonic found the set whole"
    small = x.dtype == np.int16 and x.max() <= np.iinfo(np.uint8).max
    return x.astype(np.uint8) if small else x, y


def _kind(source: Recordings, root: Path, download: bool) -> Any:
    """The class in tonic, which fetches by itself: one that says what is missing instead."""
    for package in source.packages:
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            expected = f"expected the package {package}, to read {source.kind}, but there is none"
            remedy = "Install it by pip install 'art_snn[events]'."
            raise MissingPackage("data", f"{expected} ({error}). {remedy}") from error
    kind = getattr(import_module("tonic.datasets"), source.kind)
    folder = root / source.kind

    def fetch(self: Any) -> None:
        try:
            if download:
                kind.download(self)
                return
            reason = "nothing is fetched unless asked for"
        except Exception as error:
            reason = str(error) or type(error).__name__
        files = f"{getattr(self, 'filename', 'recordings')} and what it holds in {folder}"
        remedy = "Pass download=True, --download in commands: it unpacks an archive that is there, "
        remedy += "and fetches it otherwise."
        raise MissingFile("data", f"expected {files}, which are not all there ({reason}). {remedy}")

    # tonic names the folder after the class.
    return type(source.kind, (kind,), {"download": fetch})
