"""Recordings of event cameras as frames."""

import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch.nn import functional

from art_snn.checks import (
    MissingFile,
    first_line,
    require,
    require_choice,
    require_count,
    require_root,
)
from art_snn.data import raw_events
from art_snn.data.dataset import (
    Dataset,
    ImageSize,
    Sides,
    ValueRange,
    from_npz,
    read_size,
    require_range,
)
from art_snn.files import read_arrays, write_arrays
from art_snn.progress import progress_over

EVENTS = {"nmnist": "NMNIST", "dvs128-gesture": "DVSGesture", "cifar10-dvs": "CIFAR10DVS"}
"""The sets by name: their classes in tonic, which are also their folders below root."""

_COLUMNS = ("x", "y", "p", "t")
_ARRAYS = (*_COLUMNS, "events", "recording", "label")
"""Columns of raw events, and arrays that a file of them may have."""

_WHOLE = "cifar10-dvs"
"""The set that comes in one part, as aedat files, and is pooled."""


def holds_events(path: str | Path) -> bool:
    """True if a file is a .npz file of raw events: x, y, p and t, or a structured array."""
    # A pipe would be waited for, and a device read without an end.
    if not Path(path).is_file():
        return False
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        names = {Path(name).stem for name in archive.namelist()}
        return names >= {*_COLUMNS} or "events" in names
    return False


def from_events(
    path: str | Path,
    value_range: ValueRange | None = None,
    *,
    frames: int = 10,
    image_size: ImageSize | None = None,
    bins: raw_events.Bins = "count",
    test_share: float | None = None,
) -> Dataset:
    """Recordings of a .npz file of raw events, as frames of counts.

    The file has the columns x, y, p and t (E,), or the array `events` with these fields,
    as tonic gives it; `recording`, the number of each event's recording (E,); and `label`,
    the class of each recording (N,).

    :param frames, bins: as :func:`frames` has `steps` and `bins`.
    :param image_size: side or (height, width) [from the largest y and x].
    :param value_range, test_share: as :func:`from_npz` has them.
    :return: whose `milliseconds` take times for microseconds.
    :raises ValueError: for other arrays."""
    arrays = "x=..., y=..., p=..., t=..., recording=..., label=..."
    remedy = f"Write it with numpy.savez(path, {arrays})."
    content = read_arrays(Path(path), "data", "a .npz file", remedy, names=_ARRAYS)
    if "events" in content and {*_COLUMNS} <= {*(content["events"].dtype.names or ())}:
        content |= {name: content["events"][name] for name in _COLUMNS}
    missing = {*_COLUMNS, "recording", "label"} - {*content}
    expected = "x, y, p, t, recording and label"
    got = f"{path} without {', '.join(sorted(missing))}"
    require(not missing, "data", expected, got, remedy)
    columns = [content[name] for name in _COLUMNS]
    x, y, _, t = columns
    size = image_size or (int(y.max()) + 1, int(x.max()) + 1)
    recording = content["recording"]
    cut: dict[str, Any] = {"steps": frames, "size": size, "bins": bins}
    samples = raw_events.frames(*columns, recording=recording, **cut)

    last = np.full(len(samples), -np.inf)
    first = np.full(len(samples), np.inf)
    np.maximum.at(last, recording, t)
    np.minimum.at(first, recording, t)
    lasting = np.isfinite(last)
    return Dataset.split(
        Path(path).name,
        samples,
        content["label"],
        test_share,
        value_range=value_range,
        milliseconds=(last - first)[lasting].mean() / frames / 1000 or None,
    )


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
        counts: ndarray = to_frame(recording).astype(np.int16, copy=False)
        if size is None:
            return counts
        # [T, C, H, W] -> means of areas.
        values = torch.from_numpy(counts.astype(np.float32))
        return functional.interpolate(values, size, mode="area").numpy()

    parts: dict[str, Any] = {"_train": {"train": True}, "_test": {"train": False}}
    if name == _WHOLE:
        parts = {"": {}}
    arrays = {}
    for part, options in parts.items():
        arrays[f"x{part}"], arrays[f"y{part}"] = _part(kind(str(root), **options), frame)
    write_arrays(cache, **arrays)


def _part(recordings: Any, frame: Callable[[Any], ndarray]) -> tuple[ndarray, ndarray]:
    # By name, since tonic lists some sets in the order of the file system.
    order = np.argsort([str(file) for file in recordings.data])
    x: ndarray | None = None
    y = np.asarray(recordings.targets, np.int64)[order]
    for row, index in enumerate(progress_over(order, "Frames", unit="recordings")):
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
        require(find_spec(package), "data", expected, "none", remedy)
    kind = getattr(import_module("tonic.datasets"), class_name)
    folder = root / class_name

    def fetch(self: Any) -> Any:
        reason = "nothing is fetched unless asked for"
        if download:
            try:
                return kind.download(self)
            # tonic has a RuntimeError for files that are not there or not whole.
            except (OSError, RuntimeError) as error:
                reason = first_line(error)
        files = f"{getattr(self, 'filename', 'recordings')} and what it holds in {folder}"
        remedy = "Pass download=True: it unpacks an archive that is there, or fetches it."
        raise MissingFile(
            "data", f"expected {files}, which are not all there ({reason}). {remedy}"
        )

    # tonic names the folder after the class.
    return type(class_name, (kind,), {"download": fetch})
