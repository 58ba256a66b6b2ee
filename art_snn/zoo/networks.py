"""Networks, classifiers and samples of the zoo, and the files that they come from.

Files lie in the folder that ART_SNN_ZOO names, otherwise in examples/zoo of a checkout,
otherwise in the package, which brings three small networks. What is missing there is taken
from examples/zoo of the current folder, or fetched into a cache."""

import logging
import os
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, TypeVar

from numpy import ndarray

import art_snn
from art_snn import checkpoint
from art_snn.checks import (
    FILE,
    WriteFailed,
    expand_path,
    invalid,
    require,
    require_choice,
    require_kind,
)
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import Source
from art_snn.models import build_model
from art_snn.network import SpikingNetwork
from art_snn.zoo.entry import FIRST, MANIFEST, Manifest, ZooData, ZooEntry, from_text

VARIABLE = "ART_SNN_ZOO"
_NEAR = Path("examples", "zoo")
"""The zoo of a checkout that is the current folder, where the package is installed elsewhere."""

_Part = TypeVar("_Part", ZooEntry, ZooData)


def names() -> list[str]:
    """The names of all networks.

    :raises ArgumentError: when the manifest cannot be read."""
    return [network.name for network in manifest().networks]


def entry(name: str, argument: str = "name") -> ZooEntry:
    """The entry of a network in the manifest.

    :param argument: named in complaints.
    :raises ArgumentError: for another name, with those that are near; and as :func:`names`."""
    return _find(name, argument, manifest().networks)


def load_network(name: str) -> SpikingNetwork:
    """The network with its weights, in evaluation mode, on the CPU.

    :return: network from ``[N, *input_shape]`` to ``[N, classes]``.
    :raises ArgumentError: as :func:`entry`, and when its weights are damaged or cannot be fetched.
    :raises WriteFailed: when they cannot be written into the cache."""
    about = entry(name)
    channels, *sides = about.input_shape[-3:]
    network = build_model(
        about.architecture,
        in_channels=channels,
        image_size=tuple(sides),
        classes=about.classes,
    )
    checkpoint.load(network, local_file(about))
    return network.eval()


def classifier(name: str, device: str = "gpu") -> PyTorchSpikingClassifier:
    """The network of :func:`load_network` as ART sees it, with the value range of its data.

    :param device: gpu, which is cpu where there is none; or cpu."""
    about = entry(name)
    limits = _find(about.data, "name", manifest().data).value_range
    return wrap(load_network(name), about.input_shape, about.classes, limits, device)  # type: ignore[no-any-return]  # ART has no types.


def samples(name: str) -> tuple[ndarray, ndarray]:
    """The first test samples of a data set, as the classifiers take them.

    :param name: of a data set of the zoo, such as digits.
    :return: x float32 ``[n, *input_shape]`` and classes y int64 ``[n]``, 200 samples at most.
    :raises ArgumentError: as :func:`entry`.
    :raises FileNotFoundError: when the zoo may not hold them and they are not there."""
    data = source_of(name).load()
    return data.x_test[:FIRST], data.y_test[:FIRST]


def source_of(name: str) -> Source:
    """Where a data set comes from: the samples that the zoo holds, otherwise the whole of it.

    :raises ArgumentError: as :func:`entry`."""
    about = _find(name, "name", manifest().data)
    if not about.sha256:
        return about.source
    return Source(data=str(local_file(about)), value_range=about.source.value_range)


def manifest() -> Manifest:
    """All networks and data sets.

    :raises FileNotFoundError: when ART_SNN_ZOO names a folder without a manifest.
    :raises ArgumentError: when it cannot be read."""
    file = _folder() / MANIFEST
    return from_text(file.read_text("utf-8"), file)


def local_file(part: ZooEntry | ZooData) -> Path:
    """The file of a network or a data set, which is fetched where it is missing.

    :raises ArgumentError: when it is damaged in a folder of the user, or cannot be fetched.
    :raises WriteFailed: when it cannot be written."""
    folder = _folder()
    file = folder / part.file
    if not file.exists():
        near = _NEAR / part.file
        if _holds(near, part.sha256):
            return near
        return _fetch(part.file, part.sha256, folder)
    require(
        _holds(file, part.sha256),
        "zoo",
        f"the file of the manifest, of SHA-256 {part.sha256}",
        f"{file} with other bytes",
        "Take another copy of it.",
    )
    return file


def is_here(part: ZooEntry | ZooData) -> bool:
    """True if the file of a network or a data set is on this machine, or none is needed."""
    folders = (_folder(), _NEAR, _cache())
    return not part.sha256 or any((folder / part.file).is_file() for folder in folders)


def _holds(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file.read_bytes()).hexdigest() == digest


def _folder() -> Path:
    """The folder of the manifest: the one named, that of a checkout, or that of the package."""
    if os.environ.get(VARIABLE):
        folder = expand_path(VARIABLE, os.environ[VARIABLE])
        require_kind(VARIABLE, folder / MANIFEST, FILE, "the manifest of a zoo")
        return folder
    root = Path(art_snn.__path__[0]).parent
    # Something else may be called examples next to an installed package.
    if (root / "pyproject.toml").is_file() and (
        root / "examples" / "zoo" / MANIFEST
    ).is_file():
        return root / "examples" / "zoo"
    return Path(__file__).parent


def _cache() -> Path:
    """The folder of what was fetched for this version."""
    return Path(_pooch().os_cache("art_snn")) / "zoo" / art_snn.__version__


def _fetch(file: str, digest: str, looked: Path) -> Path:
    """The file in the cache, where it appears once all its bytes are there and right."""
    folder = _cache()
    if _holds(folder / file, digest):
        return folder / file
    address = _address()
    options = {
        "base_url": f"{address}/",
        "registry": {file: digest},
        "retry_if_failed": 1,
    }
    reason = "the address of the repository is not set in this version"
    try:
        # Anybody may register the account of a placeholder.
        if address.startswith("http") and "/OWNER/" not in address:
            return Path(_pooch().create(path=folder, **options).fetch(file))
    except Exception as error:
        # Failures of a connection are OSErrors as well, but without a number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise WriteFailed(folder / file, error) from error
        reason = f"{address}: {error if isinstance(error, ValueError) else type(error).__name__}"
    raise invalid(
        "zoo",
        f"{file} in {looked}, in {folder} or at the repository",
        f"none ({reason.rstrip('.')})",
        f"Name the folder examples/zoo of a checkout by {VARIABLE}.",
    )


def _address() -> str:
    """The address of the zoo: Zoo among the URLs of pyproject.toml, as it is installed; or ""."""
    lines: list[str] = []
    with suppress(PackageNotFoundError):
        lines = metadata("art-snn").get_all("Project-URL") or []
    return dict(line.split(", ", 1) for line in lines).get("Zoo", "")


def _pooch() -> Any:
    """The library that fetches: it takes a tenth of a second, and few commands need it."""
    pooch = import_module("pooch")
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def _find(name: str, argument: str, parts: tuple[_Part, ...]) -> _Part:
    there = {part.name: part for part in parts}
    require_choice(argument, name, there, remedy="art-snn zoo lists them.")
    return there[name]
