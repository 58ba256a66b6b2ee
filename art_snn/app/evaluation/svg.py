"""Figures as elements of a page, in the page's font and colours."""

import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from art_snn.app.colours import ROLES

STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "art_snn"}
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True)
class Drawing:
    """A figure on a page, with its title and the words below it.

    :param element: a picture, or several panels."""

    title: str
    element: Markup
    words: str = ""


def inline(figure: Figure, name: str, title: str, words: str) -> Markup:
    """The figure as an element of a page; the same figure gives the same element.

    :param words: what is to be seen, in numbers, for those who do not see it."""
    with matplotlib.rc_context(STYLE):
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=NOTHING)
    svg = stream.getvalue()
    body = _recoloured(_renamed(svg[svg.index("<defs>") : svg.rindex("</svg>")], name))
    box = re.search(r'viewBox="([\d. ]+)"', svg)
    assert box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box[1]}"'
        f' aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-words">{escape(words)}</desc>'
    )
    # Matplotlib has escaped what it was given, and the rest is escaped above.
    return Markup(f"{head}{body}</svg>")


def _renamed(body: str, name: str) -> str:
    """The names of elements under that of the figure, since a page has several figures."""
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    return re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)


def _recoloured(body: str) -> str:
    for colour, role in ROLES.items():
        body = body.replace(colour, f"var(--{role})")
    # The font is the page's.
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
