"""Addresses of pages of the documentation, as far as they are known."""

from importlib.metadata import PackageNotFoundError, metadata
from urllib.parse import urljoin

UNKNOWN = "/OWNER/"
"""Stands in an address that nobody has filled in yet."""


def documentation() -> str:
    """The address of the documentation, as the installed package states it; "" where unknown."""
    try:
        addresses = metadata("art-snn").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = dict(address.split(", ", 1) for address in addresses)
    address: str = pairs.get("Documentation", "")
    return "" if UNKNOWN in address else address


def page_address(address: str, page: str) -> str:
    """The address of another page: of a .md file next to a .md file, or else of an .html file."""
    ending = "md" if address.endswith(".md") else "html"
    folder = address if address.endswith((".md", ".html", "/")) else f"{address}/"
    return urljoin(folder, f"{page}.{ending}")
