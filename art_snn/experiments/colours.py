"""Titles, and colours and lines that mean the same in every picture."""

import textwrap

from matplotlib.figure import Figure

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00", "SpikingJelly": "#009e73", "snnTorch": "#cc79a7"}
KINDS = {"temporal": COLOURS["stbp"], "rate": COLOURS["rga"]}
LINES = {"FGSM": "--", "PGD-10": "-"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
GREY = "#999999"


def titled(figure: Figure, *lines: str, fontsize: str = "medium") -> None:
    """Write a title whose lines are folded where they would leave the picture."""
    room = int(11 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, room) for line in lines), fontsize=fontsize)
