"""Recordings of event cameras as frames."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch.nn import functional

from art_snn.checks import (
    MissingFile,
    first_line,
    refusing,
    require_choice,
    require_count,
    require_root,
)
from art_snn.data.dataset import (
    Dataset,
    ImageSize,
    Sides,
    ValueRange,
    from_npz,
    read_size,
    require_range,
)
from art_snn.files import write_arrays
from art_snn.progress import progress_over

EVENTS = {"nmnist": "NMNIST", "dvs128-gesture": "DVSGesture", "cifar10-dvs": "CIFAR10DVS"}
"""The sets by name: their classes in tonic, which are also their folders below root."""

_WHOLE = "cifar10-dvs"
"""The set that comes in one part, as aedat files, and is pooled."""


def events(
    name: str,
    root: str | Path = "data",
    *,
    frames: int = 10,
    download: bool = False,
    image_size: ImageSize | None = None,
    value_range: ValueRange | None = None,
) -> Dataset:
    """Recordings of an event camera as frames of counts [N, T, 2, H, W], one channel per polarity.

    Needs ``pip install 'art_snn[events]'``. Every frame of a recording has (events //
    frames) events (tonic.transforms.ToFrame with n_event_bins); the last (events %
    frames) are left out.

    Sizes, training and test samples: nmnist 2x34x34, 60,000 and 10,000; dvs128-gesture
    2x128x128, eleven classes, 1,077 and 264; cifar10-dvs 2x128x128, 10,000, split 9 to 1
    by seed 0, each class in proportion, and pooled to 48x48. A smaller frame holds mean
    counts.

    The frames are kept in root as a .npz file. All of N-MNIST in ten frames take 6.5 GB of memory.

    :param root: folder of the recordings, one folder per set, and of the frames.
    :param frames: number of frames T.
    :param download: fetch or unpack recordings that are missing; without it nothing is fetched.
    :param image_size: side or (height, width) of the frames.
    :param value_range: (low, high) of the counts that an attack may use; None leaves it open.
    :raises FileNotFoundError: when the recordings are not there or cannot be fetched.
    :raises ValueError: for another name, a bad number, or counts outside the range."""
    remedy = "Convert other recordings to frames [N, T, C, H, W] and use from_npz."
    require_choice("name", name, EVENTS, remedy=remedy)
    frames = require_count("frames", frames, remedy="The papers use 4 to 20 frames.")
    if value_range is not None:
        require_range(value_range)
    root = require_root(root)
    if name == _WHOLE and image_size is None:
        image_size = 48
    full_name, size = read_size(name, image_size)
    cache = root / f"{full_name.replace(' ', '-')}-{frames}-frames.npz"
    if not cache.exists():
        _convert(name, root, download, frames, size, cache)
    # We wrote it, perhaps in hours: no size is refused.
    share = 0.1 if name == _WHOLE else None
    data = from_npz(cache, value_range, test_share=share, largest=sys.maxsize)
    return replace(data, name=full_name, mirrored=name == _WHOLE)


def _convert(
    name: str, root: Path, download: bool, frames: int, size: Sides, cache: Path
) -> None:
    """Write the frames of all recordings to the file, which appears only once it is whole."""
    kind = _kind(name, root, download)
    to_frame = import_module("tonic.transforms").ToFrame(
        kind.sensor_size, n_event_bins=frames
    )

    def frame(recording: Any) -> ndarray:
        # tonic gives floating point for a recording without events.
        counts = to_frame(recording).astype(np.int16, copy=False)
        if size is None:
            return counts  # type: ignore[no-any-return]
        # [T, C, H, W] -> means of areas.
        values = torch.from_numpy(counts.astype(np.float32))
        return functional.interpolate(values, size, mode="area").numpy()

    if name == _WHOLE:
        x, y = _part(kind(str(root)), frame, "all")
        write_arrays(cache, x=x, y=y)
        return
    x_train, y_train = _part(kind(str(root), train=True), frame, "training")
    x_test, y_test = _part(kind(str(root), train=False), frame, "test")
    write_arrays(cache, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def _part(
    recordings: Any, frame: Callable[[Any], ndarray], words: str
) -> tuple[ndarray, ndarray]:
    # By name, since tonic lists some sets in the order of the file system.
    order = np.argsort([str(file) for file in recordings.data])
    x: ndarray | None = None
    y = np.asarray(recordings.targets, np.int64)[order]
    for row, index in enumerate(
        progress_over(order, f"Frames, {words} part", unit="recordings")
    ):
        counts = frame(recordings[int(index)][0])
        x = np.empty((len(order), *counts.shape), counts.dtype) if x is None else x
        x[row] = counts
    assert x is not None, "tonic found the set whole"
    small = x.dtype == np.int16 and x.max() <= np.iinfo(np.uint8).max
    return x.astype(np.uint8) if small else x, y


def _kind(name: str, root: Path, download: bool) -> Any:
    """The class in tonic, which fetches by itself: one that says what is missing instead."""
    class_name = EVENTS[name]
    for package in ("tonic", "aedat") if name == _WHOLE else ("tonic",):
        expected = f"the package {package}, to read {class_name}"
        remedy = "Install it by pip install 'art_snn[events]'."
        with refusing("data", expected, "none", remedy):
            import_module(package)
    kind = getattr(import_module("tonic.datasets"), class_name)
    folder = root / class_name

    def fetch(self: Any) -> None:
        try:
            if download:
                kind.download(self)
                return
            reason = "nothing is fetched unless asked for"
        except Exception as error:
            reason = first_line(error)
        files = f"{getattr(self, 'filename', 'recordings')} and what it holds in {folder}"
        remedy = "Pass download=True: it unpacks an archive that is there, or fetches it."
        raise MissingFile(
            "data", f"expected {files}, which are not all there ({reason}). {remedy}"
        )

    # tonic names the folder after the class.
    return type(class_name, (kind,), {"download": fetch})
