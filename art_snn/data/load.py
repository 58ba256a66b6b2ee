"""One word, file or folder for every data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from art_snn.checks import invalid
from art_snn.data.dataset import Dataset
from art_snn.data.digits import digits
from art_snn.data.events import EVENTS, events
from art_snn.data.folder import from_folder
from art_snn.data.images import IMAGES, images
from art_snn.data.npz import from_npz
from art_snn.data.sizes import ImageSize


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    :param make: gives the data set.
    :param options: those of :func:`load` that it understands.
    """

    make: Callable[..., Dataset]
    options: tuple[str, ...] = ()


NAMES: Mapping[str, Source] = MappingProxyType(
    {"digits": Source(digits)}
    | {name: Source(partial(images, name), ("root", "download", "image_size")) for name in IMAGES}
    | {
        name: Source(
            partial(events, name), ("root", "download", "image_size", "value_range", "frames")
        )
        for name in EVENTS
    }
)
"""The data sets that have a name."""


def load(
    name: str,
    *,
    root: str | Path = "data",
    download: bool = False,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] | None = None,
    frames: int = 10,
) -> Dataset:
    """A data set by its name, or from a .npz file or a folder.

    :param name: a word of :data:`NAMES`; otherwise the path of a file for :func:`from_npz` or of a
        folder for :func:`from_folder`. A word wins over a folder of that name: write ./digits.
    :param root: folder of the sets that are kept on disk.
    :param download: fetch a set that is not there; without it nothing is ever fetched.
    :param image_size: side or (height, width) of images, pictures and event frames; None keeps
        theirs, save for cifar10-dvs.
    :param value_range: (low, high) of .npz files and event recordings.
    :param frames: frames T of event recordings.
    :raises FileNotFoundError: when the set, file or folder is not there.
    :raises ValueError: for a name that is none of them, and an option that it has no use for.
    """
    source = NAMES.get(name) or _of_path(name)
    values = {
        "root": root,
        "download": download,
        "image_size": image_size,
        "value_range": value_range,
        "frames": frames,
    }
    for option, value in (("image_size", image_size), ("value_range", value_range)):
        if value is not None and option not in source.options:
            raise invalid(
                option,
                expected=f"None for {name}, {_REASONS[option]}",
                got=repr(value),
                remedy="Leave it out, or save the data as you want them for from_npz.",
            )
    return source.make(**{option: values[option] for option in source.options})


_REASONS = {
    "image_size": "whose images have the size they have",
    "value_range": "whose values are shares from 0 to 1",
}


def _of_path(name: str) -> Source:
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(partial(from_folder, path), ("image_size",))
    if path.is_file() or path.suffix == ".npz":
        return Source(partial(from_npz, path), ("value_range",))
    raise invalid(
        "data",
        expected=f"one of {', '.join(NAMES)}, a .npz file or a folder of pictures",
        got=repr(name),
        remedy="Check the spelling and the path.",
    )
