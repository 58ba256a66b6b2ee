"""Recordings of event cameras as frames."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from art_snn.checks import require, require_count
from art_snn.data.dataset import Dataset
from art_snn.data.npz import from_npz
from art_snn.data.recordings import Recordings, convert
from art_snn.data.samples import checked_range
from art_snn.data.sizes import ImageSize, sides, sized_name
from art_snn.paths import require_root

EVENTS: Mapping[str, Recordings] = MappingProxyType(
    {
        "nmnist": Recordings("NMNIST", mirrored=False),
        "dvs128-gesture": Recordings("DVSGesture", mirrored=False),
        "cifar10-dvs": Recordings(
            "CIFAR10DVS", split=False, image_size=48, packages=("tonic", "aedat")
        ),
    }
)
"""The sets by name."""


def events(
    name: str,
    root: str | Path = "data",
    *,
    frames: int = 10,
    download: bool = False,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] | None = None,
) -> Dataset:
    """Recordings of an event camera as frames of counts [N, T, 2, H, W], one channel per polarity.

    Needs ``pip install 'art_snn[events]'``. Every frame of a recording has (events // frames)
    events (tonic.transforms.ToFrame with n_event_bins); the last (events % frames) are left out.

    Sizes, training and test samples: nmnist 2x34x34, 60,000 and 10,000; dvs128-gesture 2x128x128,
    eleven classes, 1,077 and 264; cifar10-dvs 2x128x128, 10,000, split 9 to 1 by seed 0, each class
    in proportion, and pooled to 48x48. A smaller frame holds mean counts.

    The frames are kept in root as a .npz file. All of N-MNIST in ten frames take 6.5 GB of memory.

    :param root: folder of the recordings, one folder per set, and of the frames.
    :param frames: number of frames T.
    :param download: fetch or unpack recordings that are missing; without it nothing is fetched.
    :param image_size: side or (height, width) of the frames.
    :param value_range: (low, high) of the counts that an attack may use; None leaves it open.
    :raises ModuleNotFoundError: when tonic is needed and not installed.
    :raises FileNotFoundError: when the recordings are not there or cannot be fetched.
    :raises ValueError: for another name, a bad number, or counts outside the range."""
    remedy = "Convert other recordings to frames [N, T, C, H, W] and use from_npz."
    require(name in EVENTS, "name", f"one of {', '.join(EVENTS)}", repr(name), remedy)
    frames = require_count("frames", frames, remedy="The papers use 4 to 20 frames.")
    if value_range is not None:
        checked_range(value_range)
    source, root = EVENTS[name], require_root(root)
    size = source.image_size if image_size is None else sides(image_size)
    cache = root / f"{sized_name(name, size).replace(' ', '-')}-{frames}-frames.npz"
    if not cache.exists():
        convert(source, root, download, frames, size, cache)
    # We wrote it, perhaps in hours: no size is refused.
    data = from_npz(cache, value_range, largest=sys.maxsize)
    return replace(data, name=sized_name(name, size), mirrored=source.mirrored)
