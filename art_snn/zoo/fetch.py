"""Files of the zoo from its address, whole or not at all."""

import logging
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from art_snn import __version__
from art_snn.checks import ArgumentError, invalid
from art_snn.files import atomic_write

AGAIN = 1
"""How many more times a fetch that failed is tried."""


def address() -> str:
    """The address of the zoo: Zoo among the URLs of pyproject.toml, as it is installed.

    :raises ArgumentError: when it is not installed, or without that address."""
    lines: list[str] = []
    with suppress(PackageNotFoundError):
        lines = metadata("art-snn").get_all("Project-URL") or []
    addresses = dict(line.split(", ", 1) for line in lines)
    if "Zoo" not in addresses:
        remedy = "Install it by pip, or name the folder zoo of the repository by ART_SNN_ZOO."
        raise invalid("zoo", "the address of the zoo", "no metadata of art-snn with it", remedy)
    return addresses["Zoo"]


def cache() -> Path:
    """The folder of the user's that fetched files lie in, one for every version of art_snn."""
    folder: str = _pooch().os_cache("art_snn")
    return Path(folder) / "zoo" / __version__


def fetch(
    file: str,
    folder: Path,
    sha256: str | None = None,
    check: Callable[[Path], object] = lambda path: None,
) -> None:
    """Fetch a file into the folder, where it appears once all its bytes are there and right.

    :param sha256: of the file; None: `check` raises a ValueError where its bytes are wrong.
    :raises ArgumentError: when the address cannot be reached, or gives other bytes.
    :raises WriteFailed: when the file cannot be written."""
    failures = (import_module("requests").RequestException, ValueError)
    url = f"{address()}/{file}"
    with atomic_write(folder / file) as partial:
        options: dict[str, Any] = {"path": partial.parent, "base_url": "", "retry_if_failed": AGAIN}
        options |= {"registry": {partial.name: sha256}, "urls": {partial.name: url}}
        try:
            _pooch().create(**options).fetch(partial.name)
            check(partial)
        except failures as error:
            # Failures of requests are OSErrors, too, but nothing that this machine refuses.
            raise _failed(file, url, error) from error


def _pooch() -> Any:
    """The library that fetches: it takes a tenth of a second, and few commands need it."""
    pooch = import_module("pooch")
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def _failed(file: str, url: str, error: Exception) -> ArgumentError:
    remedy = "Try again, or name the folder zoo of the repository by ART_SNN_ZOO."
    reason = str(error).rstrip(".")
    return invalid("zoo", f"{file} from {url}", f"none ({reason})", remedy)
