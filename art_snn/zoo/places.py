"""Where the files of the zoo are: a folder of the user's, a checkout, the cache, or an address."""

import os
from collections.abc import Mapping
from functools import partial
from hashlib import sha256 as checksum
from pathlib import Path

import art_snn
from art_snn.checks import FILE, expand_path, invalid, require_kind
from art_snn.zoo.entry import Zoo, ZooData, ZooEntry
from art_snn.zoo.fetch import cache, fetch
from art_snn.zoo.manifest import MANIFEST, from_text

VARIABLE = "ART_SNN_ZOO"
CHECKOUT, CACHE, FETCHED = "checkout", "cache", "to fetch"


def folders() -> Mapping[str, Path]:
    """Folders that files are looked for in, by what they are called, in that order.

    :raises FileNotFoundError: when ART_SNN_ZOO names a folder without a manifest."""
    places: dict[str, Path] = {}
    root = Path(art_snn.__path__[0]).parent
    if os.environ.get(VARIABLE):
        places[VARIABLE] = expand_path(VARIABLE, os.environ[VARIABLE])
        require_kind(VARIABLE, places[VARIABLE] / MANIFEST, FILE, "the manifest of a zoo")
    # Something else may be called zoo next to an installed package.
    if (root / "pyproject.toml").is_file() and (root / "examples" / "zoo" / MANIFEST).is_file():
        places[CHECKOUT] = root / "examples" / "zoo"
    return places | {CACHE: cache()}


def manifest(anew: bool = False) -> Zoo:
    """All networks and data sets: of the first folder that has a manifest, or fetched.

    :param anew: fetch it even where the cache has one.
    :raises ArgumentError: when it can neither be read nor fetched.
    :raises WriteFailed: when it cannot be written into the cache."""
    place, folder = next(iter(folders().items()))
    file = folder / MANIFEST
    if place == CACHE and (anew or not file.is_file()):
        fetch(MANIFEST, folder, check=lambda path: from_text(path.read_text("utf-8"), path))
    return from_text(file.read_text("utf-8"), file)


def place_of(part: ZooEntry | ZooData) -> str:
    """Where the file of a network or a data set is: ART_SNN_ZOO, checkout, cache or to fetch."""
    places = (name for name, folder in folders().items() if _is_there(folder, part))
    return next(places, FETCHED)


def local_file(part: ZooEntry | ZooData) -> Path:
    """The file of a network or a data set, which is fetched into the cache where it is nowhere.

    :raises ArgumentError: when it lies damaged next to its manifest, or cannot be fetched.
    :raises WriteFailed: when it cannot be written."""
    places, place = folders(), place_of(part)
    if place != FETCHED:
        return places[place] / part.file
    first, folder = next(iter(places.items()))
    if first != CACHE and (folder / part.file).is_file():
        expected, got = f"the file of the manifest, of SHA-256 {part.sha256}", "other bytes"
        remedy = "Take another copy of it."
        raise invalid("zoo", expected, f"{folder / part.file} with {got}", remedy)
    fetch(part.file, places[CACHE], part.sha256)
    return places[CACHE] / part.file


def _is_there(folder: Path, part: ZooEntry | ZooData) -> bool:
    """Whether the folder has the file with the bytes that the manifest states."""
    path = folder / part.file
    if not path.is_file() or path.stat().st_size != part.bytes:
        return False
    digest = checksum()
    with path.open("rb") as stream:
        for block in iter(partial(stream.read, 2**20), b""):
            digest.update(block)
    return digest.hexdigest() == part.sha256
