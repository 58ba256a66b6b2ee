"""Networks, classifiers and samples of the zoo, and the files that they come from.

Files lie in the folder that ART_SNN_ZOO names, otherwise in examples/zoo of a checkout, otherwise
in the cache of the user. What is missing there is fetched."""

import logging
import os
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import art_snn
from art_snn import checkpoint
from art_snn.checks import (
    FILE,
    MissingFile,
    WriteFailed,
    expand_path,
    invalid,
    require,
    require_kind,
    shown,
)
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import Source
from art_snn.network import SpikingNetwork
from art_snn.zoo.entry import FIRST, MANIFEST, Manifest, ZooData, ZooEntry, from_text

VARIABLE = "ART_SNN_ZOO"
CHECKOUT, CACHE, FETCHED = "checkout", "cache", "to fetch"
"""Where files are, next to the folder that the variable names."""

_Part = TypeVar("_Part", ZooEntry, ZooData)


def names() -> list[str]:
    """The names of all networks.

    :raises ArgumentError: when no manifest is there, and none can be fetched."""
    return [network.name for network in manifest().networks]


def entry(name: str, argument: str = "name") -> ZooEntry:
    """The entry of a network in the manifest.

    :param argument: named in complaints.
    :raises ArgumentError: for another name, with those that are near; and as :func:`names`."""
    return _find(name, argument, manifest().networks)


def load(name: str) -> SpikingNetwork:
    """The network with its weights, in evaluation mode, on the CPU.

    :return: network from ``[N, *input_shape]`` to ``[N, classes]``.
    :raises ArgumentError: as :func:`entry`, and when its weights are damaged or cannot be fetched.
    :raises WriteFailed: when they cannot be written into the cache."""
    about = entry(name)
    channels, *sides = about.input_shape[-3:]
    form: dict[str, Any] = {"in_channels": channels, "image_size": tuple(sides)}
    network = about.architecture.build(classes=about.classes, **form)
    checkpoint.load(network, local_file(about))
    return network.eval()


def classifier(name: str, device: str = "gpu") -> PyTorchSpikingClassifier:
    """The network of :func:`load` as ART sees it, with the value range of its data.

    :param device: gpu, which is cpu where there is none; or cpu."""
    about = entry(name)
    limits = data_set(about.data).value_range
    return wrap(load(name), about.input_shape, about.classes, limits, device)  # type: ignore[no-any-return]


def samples(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The first test samples of a data set, as the classifiers take them.

    :param name: of a data set of the zoo, such as digits.
    :return: x float32 ``[n, *input_shape]`` and classes y int64 ``[n]``, 200 samples at most.
    :raises ArgumentError: as :func:`entry`.
    :raises FileNotFoundError: when the zoo may not hold them and they are not in the folder data;
        it says what to fetch."""
    about = data_set(name)
    try:
        data = source_of(about).load()
    except MissingFile as error:
        raise not_held(about, error) from error
    return data.x_test[:FIRST], data.y_test[:FIRST]


def not_held(about: ZooData, error: MissingFile, argument: str = "name") -> MissingFile:
    """The error for samples that the zoo does not hold, in place of one that names a file."""
    expected = f"samples of {about.name}, which the zoo does not hold ({about.licence})"
    options = about.options.items()
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options)
    remedy = f"Fetch them: {given} --download in commands."
    if str(about.source.data).endswith(".npz"):
        remedy = f"Make the file: {about.attribution}."
    return MissingFile(argument, f"expected {expected}. {remedy} {error.complaint}")


def data_set(name: str) -> ZooData:
    """The entry of a data set of the zoo; errors as those of :func:`entry`."""
    return _find(name, "name", manifest().data)


def source_of(about: ZooData) -> Source:
    """Where a data set comes from: the samples that the zoo holds, otherwise the whole of it."""
    if not about.sha256:
        return about.source
    return Source(data=str(local_file(about)), value_range=about.source.value_range)


def manifest() -> Manifest:
    """All networks and data sets.

    :raises FileNotFoundError: when ART_SNN_ZOO names a folder without a manifest.
    :raises ArgumentError: when it can neither be read nor fetched.
    :raises WriteFailed: when it cannot be written into the cache."""
    place, folder = _folder()
    file = folder / MANIFEST
    if place == CACHE and not file.is_file():
        fetched = _fetch(MANIFEST, folder, None)
        try:
            return from_text(fetched.read_text("utf-8"), f"{MANIFEST} from {_address()}")
        except BaseException:
            fetched.unlink()  # What is no manifest is not kept.
            raise
    return from_text(file.read_text("utf-8"), file)


def place_of(part: ZooEntry | ZooData) -> str:
    """Where the file of a network or a data set is: ART_SNN_ZOO, checkout, cache or to fetch."""
    place, folder = _folder()
    return place if _has_bytes(folder / part.file, part.sha256) else FETCHED


def local_file(part: ZooEntry | ZooData) -> Path:
    """The file of a network or a data set, which is fetched where it is missing.

    :raises ArgumentError: when it is damaged in a folder of the user, or cannot be fetched.
    :raises WriteFailed: when it cannot be written."""
    place, folder = _folder()
    file = folder / part.file
    right = _has_bytes(file, part.sha256)
    expected = f"the file of the manifest, of SHA-256 {part.sha256}"
    remedy = "Take another copy of it."
    damaged = place != CACHE and file.exists() and not right
    require(not damaged, "zoo", expected, f"{file} with other bytes", remedy)
    return file if right else _fetch(part.file, folder, part.sha256)


def _folder() -> tuple[str, Path]:
    """The folder of the manifest and of all files, and what it is called."""
    if os.environ.get(VARIABLE):
        folder = expand_path(VARIABLE, os.environ[VARIABLE])
        require_kind(VARIABLE, folder / MANIFEST, FILE, "the manifest of a zoo")
        return VARIABLE, folder
    root = Path(art_snn.__path__[0]).parent
    # Something else may be called examples next to an installed package.
    if (root / "pyproject.toml").is_file() and (root / "examples" / "zoo" / MANIFEST).is_file():
        return CHECKOUT, root / "examples" / "zoo"
    return CACHE, Path(_pooch().os_cache("art_snn")) / "zoo" / art_snn.__version__


def _fetch(file: str, folder: Path, digest: str | None) -> Path:
    """Fetch a file into the folder, where it appears once all its bytes are there and right."""
    options = {"base_url": f"{_address()}/", "registry": {file: digest}, "retry_if_failed": 1}
    try:
        return Path(_pooch().create(path=folder, **options).fetch(file))
    except Exception as error:
        # Failures of a connection are OSErrors as well, but without a number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise WriteFailed(folder / file, error) from error
        remedy = f"Try again, or name a folder with the files by {VARIABLE}."
        got = f"none ({str(error).rstrip('.')})"
        raise invalid("zoo", f"{file} from {_address()}", got, remedy) from error


def _address() -> str:
    """The address of the zoo: Zoo among the URLs of pyproject.toml, as it is installed.

    :raises ArgumentError: when it is not installed with one, or with a placeholder."""
    lines: list[str] = []
    with suppress(PackageNotFoundError):
        lines = metadata("art-snn").get_all("Project-URL") or []
    address = dict(line.split(", ", 1) for line in lines).get("Zoo", "nothing")
    # Anybody may register the account of that name.
    real = address.startswith("http") and "/OWNER/" not in address
    got = f"{address}, which is no address of ours"
    remedy = f"Name the folder examples/zoo of the repository by {VARIABLE}."
    require(real, "zoo", "the address of the zoo", got, remedy)
    return address


def _has_bytes(file: Path, digest: str) -> bool:
    """True for a file of that SHA-256."""
    return file.is_file() and sha256(file.read_bytes()).hexdigest() == digest


def _pooch() -> Any:
    """The library that fetches: it takes a tenth of a second, and few commands need it."""
    pooch = import_module("pooch")
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def _find(name: str, argument: str, parts: tuple[_Part, ...]) -> _Part:
    there = {part.name: part for part in parts}
    if name in there:
        return there[name]
    near = get_close_matches(str(name), there, n=3, cutoff=0.4)
    remedy = f"Did you mean {' or '.join(near)}?" if near else "art-snn zoo lists them."
    raise invalid(argument, f"one of {', '.join(there)}", shown(name), remedy)
