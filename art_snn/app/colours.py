"""Titles, and colours and lines that mean the same in every picture."""

import textwrap

from matplotlib.figure import Figure

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6a3d9a", "#e69f00", "#6b6b1a", "#45c4e8")
GREY = "#999999"


def titled(figure: Figure, *lines: str, fontsize: str = "medium") -> None:
    """Write a title whose lines are folded where they would leave the picture, which grows."""
    room = int(11 * figure.get_figwidth())
    text = "\n".join(textwrap.fill(line, room) for line in lines)
    folded = text.count("\n") + 1 - len(lines)
    figure.set_figheight(figure.get_figheight() + 0.2 * folded)  # Inches.
    # What users write, such as the name of a file, is no formula.
    figure.suptitle(text, fontsize=fontsize).set_parse_math(False)
