"""Build hook: in a package index, README's relative links lead to the repository."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from hatchling.metadata.plugin.interface import MetadataHookInterface

TARGET = re.compile(r"(?<=\]\()(?![a-z]+:|#)[^)\s]+")
"""What a relative Markdown link or picture leads to."""
PICTURES = (".png", ".svg")


def absolute(text: str, repository: str) -> str:
    """The text with links to the pages of the repository, and to the files of its pictures."""

    def address(target: re.Match[str]) -> str:
        view = "raw" if target[0].endswith(PICTURES) else "blob"
        return urljoin(f"{repository}/{view}/main/README.md", target[0])

    return TARGET.sub(address, text)


class ReadmeHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = absolute(text, metadata["urls"]["Repository"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
