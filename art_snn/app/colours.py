"""Titles, and colours and lines that mean the same in every picture."""

import textwrap
from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure

from art_snn.metrics import Share

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6a3d9a", "#e69f00", "#6b6b1a", "#45c4e8")
GREY = "#999999"


def to_percent(shares: Iterable[Share]) -> tuple[np.ndarray, np.ndarray]:
    """Shares in percent (N,), and the lengths of their error bars below and above (2, N)."""
    some = list(shares)
    values = 100 * np.array([share.value for share in some])
    ends = 100 * np.array([share.interval for share in some]).T
    return values, np.abs(ends - values)


def titled(figure: Figure, *lines: str, fontsize: str = "medium") -> None:
    """Write a title whose lines are folded where they would leave the picture, which grows."""
    room = int(11 * figure.get_figwidth())
    text = "\n".join(textwrap.fill(line, room) for line in lines)
    folded = text.count("\n") + 1 - len(lines)
    figure.set_figheight(figure.get_figheight() + 0.2 * folded)  # Inches.
    # What users write, such as the name of a file, is no formula.
    figure.suptitle(text, fontsize=fontsize).set_parse_math(False)
