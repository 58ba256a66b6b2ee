"""A data set by one word: its name, file or folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path

from art_snn.checks import FILE, FOLDER, expand_path, invalid, path_kind, require
from art_snn.data.dataset import Dataset, ImageSize, ValueRange, from_npz
from art_snn.data.events import EVENTS, events, from_events, holds_events
from art_snn.data.images import IMAGES, digits, from_folder, holds_pictures, images
from art_snn.data.raw_events import Bins

NAMES: Mapping[str, Callable[..., Dataset]] = (
    {"digits": digits}
    | {name: partial(images, name) for name in IMAGES}
    | {name: partial(events, name) for name in EVENTS}
)
"""The data sets that have a name, each with a function that takes some fields of a Source."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set by its name, or from a .npz file or a folder.

    :param data: digits, mnist, cifar10, nmnist, ...; a .npz file; or a folder of
        pictures. A name comes before a folder of that name: write ./digits [digits; of a
        network of the zoo its own]. FOLDER/cifar10 is the set in that folder, unless
        pictures of yours are there.
    :param root: folder of the data sets that are kept on disk, where data does not name it.
    :param download: fetch a data set that is not there; without it nothing is fetched.
    :param image_size: side of images, pictures and event frames [theirs; cifar10-dvs: 48].
    :param value_range: LOW,HIGH: values that samples of a .npz file or events may have.
    :param frames: frames T of event recordings [10].
    :param bins: how raw events of a .npz file are cut into frames: by count or by time [count].
    :param test_share: share for testing where a file or folder has no split of its own [0.2]."""

    data: str | None = None
    root: Path = Path("data")
    download: bool = False
    image_size: ImageSize | None = None
    value_range: ValueRange | None = None
    frames: int | None = None
    bins: Bins | None = None
    test_share: float | None = None

    @property
    def name(self) -> str:
        """Name, file or folder of the data set."""
        return "digits" if self.data is None else self.data

    @property
    def is_cut(self) -> bool:
        """True if the data are recordings, which are cut into frames."""
        return self.name in EVENTS or holds_events(self.name)

    def load(self) -> Dataset:
        """The data set.

        :raises FileNotFoundError: when the set, file or folder is not there.
        :raises ValueError: for an unknown name, or an option that the data have no use for."""
        path = expand_path("data", self.name)
        kind = path_kind("data", path)
        is_kept = path.name in {*IMAGES, *EVENTS} and kind != FILE
        make: Callable[..., Dataset]
        if self.name in NAMES:
            make = NAMES[self.name]
        elif is_kept and not holds_pictures(path):
            return replace(self, data=path.name, root=path.parent).load()
        elif kind == FOLDER:
            make = partial(from_folder, path)
        elif kind == FILE or path.suffix == ".npz":
            make = partial(from_events if holds_events(path) else from_npz, path)
        else:
            raise invalid(
                "data",
                f"one of {', '.join(NAMES)}, FOLDER/NAME, a .npz file or a folder of pictures",
                f"{self.name!r}, {kind}" if kind else repr(self.name),
                "Check the spelling and the path.",
            )
        names = signature(make).parameters
        for option in ("image_size", "value_range", "frames", "bins", "test_share"):
            value = getattr(self, option)
            require(
                value is None or option in names,
                option,
                f"None for {self.name}, which has its own",
                repr(value),
                "Leave it out, or save the data as you want them for from_npz.",
            )
        given = {
            name: value
            for name, value in vars(self).items()
            if name in names and value is not None
        }
        return make(**given)
