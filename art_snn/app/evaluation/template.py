"""What all pages share: their style, their colours, and how cells of tables are written."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from art_snn.app.colours import DARK, LIGHT
from art_snn.app.evaluation.verdict import CERTIFIED, UNION
from art_snn.app.evaluation.words import capital, count_words

HERE = Path(__file__).parent
SHARE = re.compile("((?:\u2264 )?[\\d.]+\u00a0%\u00a0)(\\[[^]]+\\])")


def environment(*folders: Path) -> Environment:
    """Templates of this folder, and of others, with all that they take for granted."""
    environment = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        # What users write, such as titles and commands, is text and never markup.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"unbroken": unbroken, "cell": cell}
    environment.filters |= {"capital": capital, "count_words": count_words}
    style = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    environment.globals |= {"style": style, "colours": {"light": LIGHT, "dark": DARK}}
    environment.globals |= {"summing": (UNION, CERTIFIED)}
    return environment


def unbroken(text: str) -> str:
    """The text with shares and their intervals in one piece each, and budgets with their names."""
    text = re.sub(r"(?<=\d) % \[([\d.]+), ", "\u00a0%\u00a0[\\1,\u00a0", text)
    text = re.sub(r"\bp ([<=]) (?=\d)", "p\u00a0\\1\u00a0", text)
    return re.sub(r"\beps (?=\d)", "eps\u00a0", text)


def cell(text: str) -> Markup:
    """The content of a cell: intervals are set apart, and long names may break at a bracket."""
    markup = re.sub(r"\(\b", "(<wbr>", str(escape(unbroken(text))))
    return Markup(re.sub(SHARE, r'<span class="share">\1<small>\2</small></span>', markup))
