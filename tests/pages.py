"""A page of HTML as a tree, and its colours as numbers."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest

from art_snn.app.evaluation import figures

VOID = {"meta", "link", "img", "br", "wbr"}


@dataclass
class Element:
    """An element with what it holds."""

    name: str
    attributes: dict[str, str]
    children: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = [one if isinstance(one, str) else one.text for one in self.children]
        return " ".join("".join(parts).split())

    def every(self, *names: str) -> list[Any]:
        """All elements of those names within, in their order; of all names where none is given."""
        found = []
        for one in self.children:
            if isinstance(one, Element):
                found += [one] if not names or one.name in names else []
                found += one.every(*names)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {n: value or "" for n, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"{self.open[-1].name} is closed by {tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def tree(page: str) -> Element:
    """The page; every element is closed in the order in which they were opened."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    (document,) = parser.open
    return document


def without_charts(patch: pytest.MonkeyPatch) -> None:
    """Pages have no charts, which take most of their time."""
    patch.setattr(figures, "_chart", lambda *_: {"title": "", "words": "", "pictures": []})
